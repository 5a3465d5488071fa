"""What the documents say is what the code does."""

import re
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
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
    described = re.findall(r"^([a-z]+):.*## ", text, re.MULTILINE)
    assert sorted(phony.split()) == sorted(described)


def test_published_tables_have_the_columns_that_are_written_now():
    paths = sorted(RESULTS.rglob("*.csv"))
    assert {path.stem for path in paths} >= {"trials", "arms", "pairs", "ledger", "searches", "search_pairs"}
    for path in paths:
        found = [name for name in read_table(path) if not name.startswith("params_")]
        assert found == list(TABLES[path.stem]), path


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
    for folder in (small, large):
        assert any(verdict in quoted for verdict in read_table(folder / "pairs.csv")["verdict"])


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
        said = [" ".join(quote.split()).removesuffix(".") for quote in quotes if "% interval" in quote]
        assert said and set(said) <= set(judged["verdict"]), folder.name
        for mean in read_table(repeated if repeated.exists() else repeated.with_stem("arms"))["test_mean"]:
            assert f"{mean:.2f}" in section, (folder.name, mean)


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


def test_the_results_page_says_how_its_picture_of_two_studies_was_drawn(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (RESULTS / "README.md").read_text(), re.DOTALL)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    drawn: dict[str, Any] = {}
    exec(code, drawn)
    pyplot.close(drawn["ax"].figure)
    here, published = (pyplot.imread(path) for path in ("data_size.png", RESULTS / "data_size" / "data_size.png"))
    other = np.abs(here - published).max(axis=2) > 0.1  # a point or a line moved is a thousand pixels
    assert here.shape == published.shape and other.sum() < 100
