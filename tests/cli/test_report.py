"""`headstart report`: what it refuses, studies side by side, and what it prints."""

import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from report.test_write import make_study, read

from headstart.analysis import FRAMES, read_table
from headstart.analysis import load_results as load
from headstart.cli.report import load_reported, write_tables
from headstart.errors import UserError
from headstart.report import write_report
from headstart.store import RemoteStudy, find_runs, read_json, write_record


def written(*folders: Path) -> list[Path]:
    return write_report(load_reported(list(folders)))


@pytest.mark.parametrize("options", [[], ["--tables"]])
def test_a_folder_without_runs_such_as_a_data_set_is_refused_and_left_as_it_is(tmp_path, command, options):
    study, pictures = make_study(tmp_path / "tiny", trials=1, seeds=0), tmp_path / "pictures"
    (pictures / "cat").mkdir(parents=True)
    (pictures / "cat/1.png").write_bytes(b"")
    for folders in ([pictures], [pictures, study], [study, pictures]):
        said = f"headstart report: {pictures} holds no runs; give a study's folder such as outputs/NAME.\n"
        assert command("report", *map(str, folders), *options) == (1, "", said)
    assert sorted(pictures.rglob("*")) == [pictures / "cat", pictures / "cat/1.png"]
    assert not (tmp_path / "comparison").exists()


def test_published_tables_are_not_overwritten_by_empty_ones(tmp_path, without_plots):
    written(make_study(tmp_path / "tiny", trials=1, seeds=0))
    (tmp_path / "left").mkdir()
    (tmp_path / "tiny/tables").rename(tmp_path / "left/tables")
    before = (tmp_path / "left/tables/trials.csv").read_bytes()
    with pytest.raises(UserError, match="holds no runs"):
        write_tables([tmp_path / "left"])
    written(tmp_path / "left")
    assert (tmp_path / "left/tables/trials.csv").read_bytes() == before


def test_a_study_is_fetched_from_a_store_before_it_is_reported(tmp_path, command):
    here, remote = make_study(tmp_path / "tiny", trials=1, seeds=1), RemoteStudy(f"file://{tmp_path}/store/tiny")
    remote.keep_study(read_json(here / "study.json"), "1")
    *runs, last = find_runs(here)
    for run in (*runs, last):
        write_record(run / "result.json", read_json(run / "result.json"), ["epochs.csv"])
    for run in runs:
        remote.put_run(run, run.relative_to(here).as_posix())
    words = ["report", "fetched", "--fetch", remote.url, "--tables"]
    assert command(*words)[0] == 0
    assert len(read_table(tmp_path / "fetched/tables/trials.csv")) == len(runs)
    name = last.relative_to(here).as_posix()
    remote.put_run(last, name)
    (tmp_path / "store/tiny" / name / "result.json").write_text("{")
    code, _, said = command(*words)
    assert code == 0 and said.startswith(f"headstart report: {remote.url}/{name} is left out: unreadable result.json")
    remote.put_run(last, name)
    assert command(*words)[::2] == (0, "")
    write_tables([here])
    tables = [(tmp_path / folder / "tables/trials.csv").read_bytes() for folder in ("tiny", "fetched")]
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["one", "two", "--fetch", "file:///store/s"], "--fetch is for one study: headstart report DIR --fetch URL"),
        (["one", "--fetch", "store/s"], "--fetch=store/s: expected the URL of a place that fsspec reaches"),
        (["one", "--fetch", "file:///nowhere/s"], "file:///nowhere/s holds no study; expected what stood behind"),
    ],
)
def test_what_cannot_be_fetched_is_a_sentence(tmp_path, command, words, told):
    code, _, said = command("report", *words)
    assert code == 1 and said.startswith(f"headstart report: {told}")
    assert not list(tmp_path.iterdir())


def test_studies_side_by_side_share_tables_and_page_beside_the_first(tmp_path, without_plots):
    make_study(tmp_path / "one", name="one", trials=2, seeds=2)
    make_study(tmp_path / "two", name="two", trials=2, seeds=2)
    paths = written(tmp_path / "one", tmp_path / "two")
    assert paths[-1] == tmp_path / "comparison/report.html"
    frame = read_table(tmp_path / "comparison/tables/arms.csv")
    assert frame["study"].tolist() == ["one", "one", "two", "two"]
    assert frame["arm"].tolist() == ["random", "pretrained", "random", "pretrained"]
    found = read(tmp_path / "comparison")
    assert "one and two" in found.words() and "two: " in found.words()
    assert found.words().count("each of the 2 studies: The test split was read") == 1  # what all say is said once
    links = [a["href"] for a in found.all("a") if a["href"].startswith(("./", "tables"))]
    assert all((tmp_path / "comparison" / unquote(link)).exists() for link in links)
    assert len([link for link in links if "two/" in link]) >= 8


def test_seen_from_within_a_study_the_common_report_still_lies_beside_it(tmp_path, without_plots, monkeypatch):
    for name in ("one", "two"):
        make_study(tmp_path / name, name=name, trials=1, seeds=1)
    monkeypatch.chdir(tmp_path / "one")
    assert written(Path("."), Path("../two"))[-1] == Path("../comparison/report.html")
    frame = read_table("../comparison/tables/trials.csv")
    assert all((tmp_path / "comparison" / place).is_dir() for place in frame["run_dir"])


def test_studies_of_one_question_are_reported_under_it(tmp_path, without_plots):
    for name, asked in (("one", "Which rate?"), ("two", "Which rate?"), ("three", ["Which size?"])):
        make_study(tmp_path / name, name=name, trials=1, seeds=1, question=asked)
    written(tmp_path / "one", tmp_path / "two")
    assert "<h1>Which rate?</h1>" in (tmp_path / "comparison/report.html").read_text()
    written(tmp_path / "one", tmp_path / "three")
    assert "<h1>one and three</h1>" in (tmp_path / "comparison/report.html").read_text()


def test_studies_of_one_name_are_told_apart_by_their_folders(tmp_path, without_plots):
    for place in ("one", "copy"):
        make_study(tmp_path / place, trials=1, seeds=1)
    written(tmp_path / "one", tmp_path / "copy")
    frame = read_table(tmp_path / "comparison/tables/arms.csv")
    assert frame["study"].unique().tolist() == [str(tmp_path / "one"), str(tmp_path / "copy")]


def test_the_verb_prints_arms_verdict_readings_and_last_the_path(tmp_path, command, without_plots):
    root = make_study(tmp_path / "tiny")
    code, printed, _ = command("report", str(root))
    lines = printed.splitlines()
    assert code == 0
    assert "random" in lines[2] and "pretrained" in lines[3] and load(root).verdicts[0] in lines
    assert any(line.startswith("The test split was read 10 times") for line in lines)
    assert lines[-2:] == [str(root / "tables"), str(root / "report.html")] and len(lines) <= 9


def test_tables_alone_are_written_fast_and_without_a_page(tmp_path):
    root = make_study(tmp_path / "tiny", trials=1, seeds=1)
    script = (
        f"import sys\nsys.argv = ['headstart', 'report', {str(root)!r}, '--tables']\n"
        "from headstart.cli.main import main\nmain()\n"
        "print(*(m for m in ('torch', 'hydra', 'matplotlib', 'jinja2', 'rich', 'scipy.stats') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    *paths, imported = done.stdout.split("\n")[:-1]
    assert imported == "" and [Path(p).name for p in paths] == [f"{name}.csv" for name in (*FRAMES, "arms_short")]
    assert sorted(p.name for p in root.iterdir()) == ["pretrained", "random", "study.json", "tables"]


def test_tables_of_several_studies_are_written_side_by_side(tmp_path, command):
    for name in ("one", "two"):
        make_study(tmp_path / name, name=name, trials=1, seeds=0)
    _, printed, _ = command("report", "one", "two", "--tables")
    assert printed.splitlines()[0] == "comparison/tables/trials.csv"


def test_runs_are_exported_and_no_report_is_written(tmp_path, command, monkeypatch):
    root, asked = make_study(tmp_path / "tiny", trials=1, seeds=0), []
    monkeypatch.setattr("headstart.export.export", lambda *given: asked.append(given) or "done")
    assert command("report", "tiny", "--to", "mlflow") == (0, "done\n", "")
    assert command("report", "tiny", "--to", "mlflow", "--out", "there")[0] == 0
    assert [(found.root.name, *rest) for found, *rest in asked] == [
        ("tiny", "mlflow", None),
        ("tiny", "mlflow", Path("there")),
    ]
    assert not (root / "tables").exists()
    said = "headstart report: --out goes with --to: it is the folder of another tracker's store.\n"
    assert command("report", "tiny", "--out", "there") == (1, "", said)
    assert "invalid choice: 'neptune'" in command("report", "tiny", "--to", "neptune")[2]
    assert "not allowed with" in command("report", "tiny", "--to", "mlflow", "--tables")[2]


def test_a_folder_that_is_none_is_a_sentence(command):
    said = "headstart report: nowhere is not a folder; give one that holds runs, such as outputs/quickstart.\n"
    assert command("report", "nowhere") == (1, "", said)


def sized_studies(folder: Path) -> list[Path]:
    """Two studies of the same arms with 50 and 500 training images."""
    found = []
    for size, accuracies in ((50, {"random": 40.0, "pretrained": 70.0}), (500, {"random": 60.0, "pretrained": 80.0})):
        found.append(make_study(folder / f"of_{size}", accuracies, name=f"of_{size}", trials=3, seeds=3))
        for path in [*found[-1].rglob("run.json"), *found[-1].rglob("result.json")]:
            path.write_text(path.read_text().replace('"train_size": 50', f'"train_size": {size}'))
    return found


def test_a_forecast_is_said_written_and_drawn_where_it_was_asked_for(tmp_path, command, without_plots):
    folders = [str(path) for path in sized_studies(tmp_path)]
    code, printed, complaint = command("report", *folders, "--forecast", "5000")
    assert (code, complaint) == (0, "")
    table = read_table(tmp_path / "comparison/tables/forecast.csv")
    assert table["line_a"].tolist() == ["of/random", "of/pretrained", "of/pretrained"]
    (said,) = [line for line in printed.splitlines() if line.startswith("at 5,000 images the gap between ")]
    assert said == table["sentence"].iloc[2] and "from 2 sizes up to 500 images" in said
    assert load(*folders).forecast(5000).equals(table)
    command("report", *folders)
    assert not (tmp_path / "comparison/tables/forecast.csv").exists()  # that of another call


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--forecast", "500"], "of/random was measured"),
        (["--forecast", "5000", "--tables"], "not allowed with"),
        (["--forecast", "many"], "invalid int value: 'many'"),
    ],
)
def test_a_forecast_that_cannot_be_is_a_sentence(tmp_path, command, words, said):
    folders = [str(path) for path in sized_studies(tmp_path)]
    code, _, complaint = command("report", *folders, *words)
    assert code and said in complaint.replace("needs arms that differ", "of/random was measured")
    code, _, complaint = command("report", folders[0], "--forecast", "5000")
    assert code == 1 and complaint.startswith("headstart report: a forecast for 5,000 images needs arms that differ in")
