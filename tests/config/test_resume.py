"""`resume=DIR` becomes what the run there was started with."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from config.helpers_config import composed
from headstart.config.resume import expand_resume
from headstart.errors import UserError
from headstart.store import write_json


@pytest.fixture
def begun(tmp_path):
    """`begun(*overrides, mode=...)` is the folder of a run that was started so and has not ended."""

    def start(*overrides: str, mode: str = "RUN") -> Path:
        folder = tmp_path / "run"
        (folder / ".hydra").mkdir(parents=True)
        OmegaConf.save(composed(*overrides), folder / ".hydra/config.yaml")
        OmegaConf.save(OmegaConf.create(list(overrides)), folder / ".hydra/overrides.yaml")
        OmegaConf.save(OmegaConf.create({"hydra": {"mode": mode}}), folder / ".hydra/hydra.yaml")
        return folder

    return start


@pytest.mark.parametrize("name", ["nowhere", "a" * 300, "nowhere/" + "a" * 300])
def test_a_folder_that_is_not_there_or_cannot_be_is_refused(name):
    with pytest.raises(UserError, match="no run was started there; give a folder that holds"):
        expand_resume([f"resume={name}"])


def test_words_without_resume_and_those_of_a_sweep_are_left_alone():
    for words in (["lr=1e-2"], ["-m", "resume=outputs/x"]):
        assert expand_resume(words) == words


def test_a_run_goes_on_in_its_folder_as_it_was_started(begun):
    folder = begun("lr=0.01", "model=fan")
    assert expand_resume([f"resume='{folder}'"]) == [
        "lr=0.01",
        "model=fan",
        f"resume={folder}",
        f"hydra.run.dir={folder}",
    ]


def test_a_tilde_is_the_home_folder(begun, monkeypatch):
    folder = begun()
    monkeypatch.setenv("HOME", str(folder.parent))
    assert f"resume={folder}" in expand_resume([f"resume='~/{folder.name}'"])


@pytest.mark.parametrize("name", ["what? 50%20#", 'it\'s "so"', "größe a\\b\\", "me:x@y {0},[1]", "x" * 200])
def test_a_run_goes_on_in_a_folder_of_any_name(begun, tmp_path, name):
    folder = begun().rename(tmp_path / name)
    run = composed(*expand_resume([f"resume={folder}"]), hydra=True)
    assert (run.resume, run.hydra.run.dir) == (str(folder), str(folder))


def test_what_changes_nothing_that_is_computed_may_be_typed_beside_it(begun):
    folder = begun("lr=0.01")
    assert expand_resume([f"resume={folder}", "keep=all", "lr=0.01"])[:3] == ["lr=0.01", "keep=all", "lr=0.01"]
    assert "data.root=moved" in expand_resume([f"resume={folder}", "data.root=moved"])
    with pytest.raises(UserError, match=r"lr=0\.5, model\.freeze=backbone would change it"):
        expand_resume([f"resume={folder}", "lr=0.5", "model.freeze=backbone"])


def as_an_earlier_version(folder: Path, **data) -> None:
    """Turn what was saved of a run into what was saved before there were folds, duplicates and a rule for batches."""
    path = folder / ".hydra/config.yaml"
    before = OmegaConf.to_container(OmegaConf.load(path))
    before["batch_size"] = 128
    del before["optimizer"]["fused"]  # whatever else may be new
    for key in ("folds", "fold", "duplicates"):
        before["data"].pop(key, None)
    before["model"].pop("batch_norm", None)
    before["data"] |= data
    OmegaConf.save(OmegaConf.create(before), path)


def test_a_run_of_an_earlier_version_goes_on_with_the_values_that_it_began_with(begun):
    folder = begun("data=digits", "lr=0.01")
    as_an_earlier_version(folder, validation_size=0.2)
    words = expand_resume([f"resume={folder}", "keep=all"])
    assert words[:4] == ["data=digits", "lr=0.01", "batch_size=128", "keep=all"]
    run = composed(*words)
    assert (run.batch_size, run.data.folds, run.data.validation_size) == (128, None, 0.2)
    for typed in ("batch_size=64", "data.validation_size=0.3"):
        with pytest.raises(UserError, match=f"{typed} would change it"):
            expand_resume([f"resume={folder}", typed])
    with pytest.raises(UserError, match=r"data\.folds=5, .*would change it"):
        expand_resume([f"resume={folder}", "data.folds=5"])


@pytest.mark.parametrize(("overrides", "mode"), [([], "MULTIRUN"), (["phase=search"], "RUN")])
def test_a_run_that_may_not_read_the_test_split_still_may_not(overrides, mode, begun):
    assert "phase=search" in expand_resume([f"resume={begun(*overrides, mode=mode)}"])


@pytest.mark.parametrize("phase", ["confirm", "source"])
def test_a_run_of_a_study_is_ended_by_the_study(phase, begun):
    with pytest.raises(UserError, match="belongs to a study and goes on when its command is given again"):
        expand_resume([f"resume={begun(f'phase={phase}')}"])


def test_folders_without_a_run_and_runs_that_have_ended_are_refused(begun, tmp_path):
    folder = begun()
    write_json(tmp_path / "study.json", {"command": "headstart -m model=cnn"})
    (tmp_path / "edited").mkdir()
    write_json(tmp_path / "edited/study.json", [])
    write_json(folder / "result.json", {"state": "DIVERGED"})
    said = {
        tmp_path / "nowhere": "no run was started there",
        tmp_path / "edited": "is a study, which goes on when its command is given again",
        tmp_path: "is a study, .* again: headstart -m model=cnn",
        folder: r"has ended already \(DIVERGED\)",
    }
    for where, text in said.items():
        with pytest.raises(UserError, match=text):
            expand_resume([f"resume={where}"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: [", r"config\.yaml can't be read"),
        ("db: {}", "no run of headstart"),
        ("[1]", r"config\.yaml can't be read \(expected a dict\)"),
        ("a: " + "[" * 5000 + "]" * 5000, r"config\.yaml can't be read \(maximum recursion"),
    ],
    ids=lambda value: value[:10],
)
def test_saved_files_that_are_no_run_of_headstart_are_refused(content, said, begun):
    folder = begun()
    (folder / ".hydra/config.yaml").write_text(content)
    with pytest.raises(UserError, match=said):
        expand_resume([f"resume={folder}"])


@pytest.mark.parametrize(("name", "content"), [("overrides", "[1, [2]]"), ("overrides", "a: 1"), ("hydra", "[1]")])
def test_the_other_saved_files_are_read_without_trust_too(name, content, begun):
    folder = begun()
    (folder / f".hydra/{name}.yaml").write_text(content)
    with pytest.raises(UserError, match=rf"{name}\.yaml can't be read \(expected a (dict|list)\)"):
        expand_resume([f"resume={folder}"])


def test_a_run_of_which_nobody_can_tell_what_began_it_may_not_read_the_test_split(begun):
    folder = begun()
    (folder / ".hydra/hydra.yaml").write_text("hydra: 3")
    assert "phase=search" in expand_resume([f"resume={folder}"])


def test_a_run_on_a_folder_of_pictures_goes_on_though_duplicates_were_said_otherwise(begun):
    folder = begun("data=folder", "batch_size=128")
    as_an_earlier_version(folder, validation_size=None, allow_duplicates=False)
    words = expand_resume([f"resume={folder}"])
    as_before = ["data.validation_size=null", "data.folds=null"]
    assert words[:5] == ["data=folder", "batch_size=128", *as_before, f"resume={folder}"]
    data = composed(*words).data  # the tenth that it began with, however few that are, and no folds
    assert data.validation_size is data.folds is None


# ---- a folder of somebody else's


ELSEWHERE = [
    "hydra.job_logging.handlers.file.filename=/tmp/elsewhere",
    "+hydra.job_logging.handlers.second={class: logging.FileHandler, filename: /tmp/elsewhere}",
    "hydra.run.dir=/tmp/elsewhere",
    "hydra.searchpath=[file:///tmp/elsewhere]",
    "+hydra.callbacks.mine._target_=os.system",
    "hydra/job_logging=none",
    "+optimizer@hydra.job_logging=adam",
    "model=../../../tmp/elsewhere",
    "unknown=1",
]


@pytest.mark.parametrize("word", ELSEWHERE)
def test_a_saved_folder_says_nothing_but_what_the_run_computes(word, begun):
    folder = begun()
    OmegaConf.save(OmegaConf.create(["lr=0.01", word]), folder / ".hydra/overrides.yaml")
    with pytest.raises(UserError, match="which is no setting of a run; start the run anew"):
        expand_resume([f"resume={folder}"])


def test_nor_does_its_configuration(begun):
    folder = begun()
    saved = OmegaConf.load(folder / ".hydra/config.yaml")
    OmegaConf.save(OmegaConf.merge(saved, {"hydra": {"run": {"dir": "/tmp"}}}), folder / ".hydra/config.yaml")
    with pytest.raises(UserError, match="which is no setting of a run"):
        expand_resume([f"resume={folder}"])


def test_files_of_configuration_that_it_names_are_not_read_unasked(begun, tmp_path):
    folder = begun()
    content = {"hydra": {"mode": "RUN", "overrides": {"hydra": [f"hydra.searchpath=[file://{tmp_path}]"]}}}
    OmegaConf.save(OmegaConf.create(content), folder / ".hydra/hydra.yaml")
    with pytest.raises(UserError, match=f"give them again: headstart --config-dir {tmp_path} resume="):
        expand_resume([f"resume={folder}"])


@pytest.mark.parametrize("name", ["log", "epochs.csv", ".hydra/hydra.yaml"])
def test_links_that_lead_out_of_it_are_refused(name, begun, tmp_path):
    folder = begun()
    (tmp_path / "elsewhere").write_bytes((folder / name).read_bytes() if (folder / name).exists() else b"")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=f"{name} is a link, so going on would write elsewhere"):
        expand_resume([f"resume={folder}"])


def test_where_its_images_are_kept_is_the_users_choice(begun, tmp_path):
    words = expand_resume([f"resume={begun('data=folder', f'data.root={tmp_path}', 'data.cache=/tmp/elsewhere')}"])
    assert f"data.root={tmp_path}" in words and not any("elsewhere" in word for word in words)
