"""Every study in experiments/ composes, plans without leaving a trace, and runs from end to end on tiny data."""

import pytest

from headstart import config, tables

STUDIES = config.options("experiments")
EMBEDDED = {"quickstart"}  # those whose own data comes inside a dependency
TINY = ["budget=smoke", "n_trials=2", "epochs=1", "threads=1"]


def tiny(study: str) -> list[str]:
    return (
        TINY
        if study in EMBEDDED
        else [*TINY, "data=digits", "data.train_size=100", "batch_size=32", "augmentation=none"]
    )


@pytest.mark.parametrize("study", STUDIES)
def test_study_plans_and_writes_nothing(study, headstart, tmp_path):
    done = headstart("-m", f"experiments={study}", "dry_run=true", *tiny(study))
    assert done.returncode == 0, done.stderr
    question = (config.experiments_folder() / f"{study}.yaml").read_text().splitlines()[1].removeprefix("# ")
    assert question in done.stderr and "2 trials an arm" in done.stderr
    assert not list(tmp_path.rglob("*.db")) and not list(tmp_path.rglob("study.json"))


@pytest.mark.parametrize("study", STUDIES)
def test_study_runs_to_its_tables_and_then_has_nothing_left_to_run(study, headstart, tmp_path):
    words = ["-m", f"experiments={study}", *tiny(study)]
    first = headstart(*words)
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "outputs" / study
    rows = tables.read_table(folder / "tables" / "trials.csv")
    searched = rows[rows.phase == "search"].groupby("arm").size()
    assert len(searched) and (searched == 2).all()
    assert rows[rows.phase != "confirm"].test_accuracy.isna().all()
    results = {p: p.stat().st_mtime_ns for p in folder.rglob("result.json")}
    again = headstart(*words)
    assert again.returncode == 0, again.stderr
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("result.json")} == results
