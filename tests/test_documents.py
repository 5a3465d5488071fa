"""What the documents say is what the code does."""

import re
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from conftest import RESULTS, ROOT
from matplotlib import pyplot

from headstart.analysis.columns import TABLES, dictionary_markdown
from headstart.analysis.csv_tables import read_table
from headstart.config.groups import experiments_folder, options


def test_outputs_readme_holds_the_data_dictionary():
    assert dictionary_markdown().strip() in (ROOT / "outputs" / "README.md").read_text()


def test_readme_is_short_and_names_only_options_that_exist():
    text = (ROOT / "README.md").read_text()
    assert text.count("\n") <= 200
    for group in ("search", "budget", "model", "experiments"):
        for values in re.findall(rf"\b{group}=([a-z0-9_,]+)", text):
            assert set(values.split(",")) <= set(options(group)), f"{group}={values}"


def test_every_study_is_listed_and_begins_with_its_question_and_command():
    listed = (ROOT / "experiments" / "README.md").read_text()
    for study in options("experiments"):
        lines = (experiments_folder() / f"{study}.yaml").read_text().splitlines()
        question = lines[1].removeprefix("# ")
        assert lines[0] == "# @package _global_" and question.endswith("?"), study
        assert lines[2].startswith("# make sweep"), study
        assert question in listed, study


def test_makefile_help_names_every_target(tmp_path):
    text = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    described = re.findall(r"^([a-z0-9]+):.*## ", text, re.MULTILINE)
    assert sorted(phony.split()) == sorted(described)


def test_every_version_that_is_pinned_has_the_digests_of_its_files():
    pinned = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    hashed = re.findall(r"^(\S+==\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", _locked(), re.MULTILINE)
    assert sorted(name for name, _ in hashed) == sorted(pinned)
    assert "".join(f"{name} \\\n{digests}" for name, digests in hashed) == _locked()


def _locked() -> str:
    return (ROOT / "constraints-hashed.txt").read_text()


def test_published_tables_have_the_columns_that_are_written_now():
    paths = sorted(RESULTS.rglob("*.csv"))
    assert {path.stem for path in paths} >= {"trials", "arms", "pairs", "ledger", "searches", "search_pairs"}
    for path in paths:
        found = [name for name in read_table(path) if not name.startswith("params_")]
        assert found == list(TABLES[path.stem]), path
        if path.stem == "arms":
            own, short = read_table(path), read_table(path.with_stem("arms_short"))
            assert short["test_accuracy_percent"].equals(own["test_mean"].rename("test_accuracy_percent")), path
            unreached = own["epochs_to_halfway"].isna() & own["halfway_accuracy"].notna()
            assert set(own["reached_halfway"][unreached]) <= {"never", "no epochs"}, path


def test_the_readme_leads_with_published_figures():
    text = (ROOT / "README.md").read_text()
    quoted = " ".join(text.replace("\n> ", " ").split())
    small, large = (RESULTS / f"pretraining_{size}" / "tables" for size in (5000, 45000))
    both = read_table(small / "arms.csv").merge(read_table(large / "arms.csv"), on="arm", how="outer")
    for row in both.to_dict("records"):
        cells = [row["arm"]]
        for k in "xy":
            mean, low, high = (row[f"test_{name}_{k}"] for name in ("mean", "ci_low", "ci_high"))
            cells += ["—", "—"] if pd.isna(mean) else [f"{mean:.2f}", f"{low:.2f} to {high:.2f}"]
        assert f"| {' | '.join(cells)} |" in text
    assert any(verdict in quoted for verdict in read_table(small / "pairs.csv")["verdict"])


def test_the_results_page_quotes_the_published_verdicts_and_means():
    text = (RESULTS / "README.md").read_text()
    sections = {part.split("\n")[0]: part for part in text.split("\n## ")[1:]}
    folders = [path for path in RESULTS.iterdir() if path.is_dir()]
    assert {path.name for path in folders} <= set(sections)
    for folder in folders:
        repeated = folder / "tables" / "searches.csv"
        section = sections[folder.name]
        judged = read_table(repeated.with_stem("search_pairs" if repeated.exists() else "pairs"))
        lines = [line[1:].strip() if line.startswith(">") else "" for line in section.splitlines()]
        quotes = "\n".join(lines).split("\n\n")
        judged_there = [quote for quote in quotes if "% interval" in quote or "no winner" in quote]
        said = [" ".join(quote.split()).removesuffix(".") for quote in judged_there]
        assert (said or judged.empty) and set(said) <= set(judged["verdict"]), folder.name
        for mean in read_table(repeated if repeated.exists() else repeated.with_stem("arms"))["test_mean"]:
            assert pd.isna(mean) or f"{mean:.2f}" in section, (folder.name, mean)


def test_the_results_pages_table_of_untuned_rates_is_that_of_the_trials():
    text = (RESULTS / "README.md").read_text()
    table = re.findall(r"^\| ([\d,]+) \| ([\d.]+) \| ([\d.*]+ .*) \|$", text, re.MULTILINE)
    studies = [
        ("data_size", "random_500", "pretrained_500"),
        ("data_size", "random_5000", "pretrained_5000"),
        ("pretraining_45000", "resnet18_random", "resnet18_cifar100_weights"),
    ]
    for (folder, random, pretrained), (images, best, cells) in zip(studies, table, strict=True):
        arms = read_table(RESULTS / folder / "tables/arms.csv").set_index("arm")
        trials = read_table(RESULTS / folder / "tables/trials.csv")
        first = trials[(trials["arm"] == pretrained) & (trials["phase"] == "search") & (trials["number"] < 5)]
        first = first.sort_values("lr")
        highest = arms.loc[random, "val_accuracy"]
        assert (images, best) == (f"{arms.loc[random, 'train_size']:,}", f"{highest:.2f}")
        assert first["lr"].tolist() == [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
        assert cells.split(" | ") == [f"**{v:.2f}**" if v > highest else f"{v:.2f}" for v in first["val_accuracy"]]


@pytest.mark.parametrize("picture", ["imagenet_5000_96_arms/image_size.png", "data_size/data_size.png"])
def test_the_results_page_says_how_its_pictures_of_two_studies_were_drawn(picture, tmp_path, monkeypatch):
    codes = re.findall(r"```python\n(.*?)```", (RESULTS / "README.md").read_text(), re.DOTALL)
    (code,) = (code for code in codes if Path(picture).name in code)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    drawn: dict[str, Any] = {}
    exec(code, drawn)
    pyplot.close(drawn["ax"].figure)
    here, published = (pyplot.imread(path) for path in (Path(picture).name, RESULTS / picture))
    other = np.abs(here - published).max(axis=2) > 0.1  # a point or a line moved is a thousand pixels
    assert here.shape == published.shape and other.sum() < 100


def test_what_was_reported_stands_beside_the_figures_of_the_published_tables():
    lines = [line for line in (RESULTS / "REPORTED.md").read_text().splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    columns = {
        "test accuracy": "test_mean",
        "parameters": "parameters",
        "test precision, macro": "test_precision_macro",
        "test recall, macro": "test_recall_macro",
    }
    checked = 0
    for _, _, figure, _, ours, interval, images, place, _ in rows[2:]:
        study, _, name = place.partition(", ")
        if figure not in columns or ours in ("", "not run") or study == "chance":
            continue
        arm = read_table(RESULTS / study / "tables/arms.csv").set_index("arm").loc[name]
        value = arm[columns[figure]]
        assert ours == (str(value) if figure == "parameters" else f"{value:.2f}")
        assert interval in ("", f"{arm['test_ci_low']:.2f} to {arm['test_ci_high']:.2f}")
        assert images in ("", f"{arm['train_size']:,}")
        checked += 1
    assert checked >= 9
    (reported,) = read_table(RESULTS / "chance/tables/reported.csv").query("metric == 'test_mean'").to_dict("records")
    assert f"| {reported['reported']} | {reported['ours']} |" in (RESULTS / "REPORTED.md").read_text()


def test_the_first_page_shows_the_imagenet_studies_as_published():
    text = (ROOT / "README.md").read_text()
    sizes = ("500_32_fixed", "500_64_fixed", "500_96_arms", "5000_32", "5000_64", "5000_96_arms")
    studies = [f"imagenet_{size}" for size in sizes]
    shown = [read_table(RESULTS / f"{name}/tables/arms.csv").set_index("arm") for name in studies]
    names = dict.fromkeys(["random", "frozen", "finetuned"]) | {
        "unfrozen": "frozen, then unfrozen, batch norm fixed",
        "finetuned_fixed": "finetuned, batch norm fixed",
    }
    assert set(shown[0].index) == set(names)
    for arm, name in names.items():
        cells = [_mean_and_interval(study.loc[arm]) if arm in study.index else "—" for study in shown]
        assert f"| {name or arm} | {' | '.join(cells)} |" in text
    quoted = " ".join(text.replace("\n> ", " ").split())
    assert any(verdict in quoted for verdict in read_table(RESULTS / studies[-1] / "tables/pairs.csv")["verdict"])
    for size in (128, 224):
        both = (read_table(RESULTS / f"imagenet_{images}_{size}/tables/arms.csv") for images in (500, 5000))
        few, many = (arms["test_mean"].item() for arms in both)
        assert f"{few:.2f} and {many:.2f} % at {size} px" in " ".join(text.split())


def _mean_and_interval(row: pd.Series) -> str:
    return f"{row['test_mean']:.2f} ({row['test_ci_low']:.2f} to {row['test_ci_high']:.2f})"
