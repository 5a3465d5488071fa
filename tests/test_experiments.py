"""Every study in experiments/ composes, plans without leaving a trace, and runs from end to end on tiny data."""

import pytest
from omegaconf import OmegaConf

from headstart.analysis import read_table
from headstart.config import experiments_folder, key_of
from headstart.config.groups import options
from headstart.store import check_figures

STUDIES = options("experiments")
TINY = ["budget=smoke", "n_trials=2", "confirm_seeds=1", "epochs=1", "threads=1", "augmentation=none"]
SMALL_DATA = ["data=digits", "data.train_size=100", "batch_size=32"]
UNTRAINED = ["model.weights=null"]  # no weights are fetched
SPECIAL = {
    "quickstart": [],  # its own data comes inside a dependency
    "pretraining": [*SMALL_DATA, *UNTRAINED],
    "cnn_or_resnet18": [*SMALL_DATA, *UNTRAINED],
    "lightning_course": [*SMALL_DATA, *UNTRAINED],
    "transfer_vgg": [*SMALL_DATA, *UNTRAINED, 'hydra.sweeper.arms.vgg16_finetune=["model=vgg16_frozen"]'],
    "image_size": [*SMALL_DATA, *UNTRAINED],
    "fast_baseline": [*SMALL_DATA, "augmentation=crop_flip"],
    "depth": ["data=digits", "data.train_size=300"],  # it searches the size of batches
    "imagenet": [*SMALL_DATA, "image_size=32", "epochs=4"],
    "data_size": [
        "data=digits",
        *UNTRAINED,
        *(f"~hydra.sweeper.arms.{arm}_{n}" for arm in ("random", "pretrained") for n in (5000, 45000)),
    ],
    "frozen_or_fan": [
        *SMALL_DATA,
        *UNTRAINED,
        "image_size=32",
        "data.train_size=40",
        "batch_size=20",
        "model.freeze=none",
        'hydra.sweeper.arms={resnet50v2_head: ["model=resnet50v2_head"], fan: ["model=fan"]}',
    ],
}
EVERY_DAY = {"quickstart", "lr_search", "pretraining", "chance"}  # the others run with --slow
ONE_TRIAL = {"chance"}  # nothing is searched there


def tiny(study: str) -> list[str]:
    """Words that make a study small, without those that its arms set themselves."""
    typed = SPECIAL.get(study, SMALL_DATA)
    replaced = [w for w in typed if w.startswith("hydra.sweeper.arms=")]
    arms = {} if replaced else config_of(study)["hydra"]["sweeper"].get("arms") or {}
    set_by_arms = {key_of(o) for arm in arms.values() for o in (arm["overrides"] if isinstance(arm, dict) else arm)}
    words = {key_of(w): w for w in [*TINY, *typed]}
    return [word for key, word in words.items() if key not in set_by_arms]


def config_of(study: str) -> dict:
    found = OmegaConf.load(experiments_folder() / f"{study}.yaml")
    return {"hydra": {"sweeper": {}}} | OmegaConf.to_container(found)


def some(study: str) -> object:
    return study if study in EVERY_DAY else pytest.param(study, marks=pytest.mark.slow)


@pytest.mark.parametrize("study", STUDIES)
def test_study_plans_and_writes_nothing(study, headstart, tmp_path):
    done = headstart("-m", f"experiments={study}", "dry_run=true", *tiny(study), program="brief")
    assert done.returncode == 0, done.stderr
    question = (experiments_folder() / f"{study}.yaml").read_text().splitlines()[1].removeprefix("# ")
    assert question in done.stderr and ("1 trial an arm" if study in ONE_TRIAL else "2 trials an arm") in done.stderr
    assert not list(tmp_path.rglob("*.db")) and not list(tmp_path.rglob("study.json"))


@pytest.mark.parametrize("study", list(map(some, STUDIES)))
def test_study_runs_to_its_tables_and_then_has_nothing_left_to_run(study, headstart, tmp_path):
    words = ["-m", f"experiments={study}", *tiny(study)]
    first = headstart(*words, program="brief")
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "outputs" / study
    rows = read_table(folder / "tables" / "trials.csv")
    searched = rows[rows.phase == "search"].groupby("arm").size()
    assert len(searched) and (searched == (1 if study in ONE_TRIAL else 2)).all()
    assert rows[rows.phase != "confirm"].test_accuracy.isna().all()
    results = {p: p.stat().st_mtime_ns for p in folder.rglob("result.json")}
    again = headstart(*words, program="brief")
    assert again.returncode == 0, again.stderr
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("result.json")} == results


def test_reported_figures_belong_to_arms_of_their_study_and_are_well_formed():
    reporting = {study: found for study in STUDIES if (found := config_of(study).get("reported"))}
    assert {"cnn_or_resnet18", "lightning_course", "frozen_or_fan", "transfer_vgg", "chance"} <= set(reporting)
    for study, figures in reporting.items():
        check_figures(figures)
        assert {figure["arm"] for figure in figures} <= set(config_of(study)["hydra"]["sweeper"]["arms"]), study
