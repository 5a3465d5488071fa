"""A folder of the user's own configuration files is found wherever ours are."""

import shutil
import sys
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from config.helpers_config import composed, read
from headstart.config.explain import unknown_key, unknown_option
from headstart.config.groups import composed as compose
from headstart.config.groups import options, study_file
from headstart.config.overrides import check_typed, check_words
from headstart.config.resume import expand_resume
from headstart.config.search_path import (
    as_typed,
    expand_config_dir,
    expand_study,
    experiments_folder,
    own_folders,
    passed_over,
)
from headstart.errors import UserError


@pytest.fixture
def mine(tmp_path, monkeypatch) -> Path:
    """A folder with a model and two studies in it, given on the command line."""
    folder = tmp_path / "my own, (files)"
    files = {
        "model/mine": "defaults: [cnn]",
        "experiments/sweep": "# @package _global_\n# Which?\ndefaults: [override /search: qmc]",
        "experiments/settings": "# @package _global_\nlr: 0.5",
    }
    for name, content in files.items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)  # that a command in this process may have left
    monkeypatch.setattr(sys, "argv", ["headstart", *expand_config_dir(["--config-dir", folder.name])])
    return folder


@pytest.mark.parametrize(
    "flag", [["--config-dir", "here"], ["--config-dir=here"], ["-cd", "here"], ["-cd=here"]], ids=str
)
def test_the_flag_becomes_an_override_and_that_the_flag_again(flag, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    words = expand_config_dir(["-m", *flag, "lr=1"])
    ours = experiments_folder().parent
    assert words == ["-m", "lr=1", f'hydra.searchpath=["file://{tmp_path}/here","file://{ours}"]']
    assert as_typed(words) == ["-m", "lr=1", "--config-dir", f"{tmp_path}/here"]
    assert expand_config_dir(as_typed(words)) == words


def test_words_without_the_flag_and_search_paths_that_it_cannot_say_stay_as_they_are(tmp_path):
    words = ["-m", "lr=1", "hydra.searchpath=[file:///a,file:///b]", "hydra.searchpath=[", "hydra.searchpath=pkg://a"]
    assert expand_config_dir(words) == as_typed(words) == words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config-dir", "nowhere"], "--config-dir nowhere: there is no such folder; give one with model/NAME.yaml"),
        (["--config-dir"], "there is no such folder"),
        (["--config-dir="], "there is no such folder"),
        (["--config-dir=.", "hydra.searchpath=[file:///b]"], "give one of them, with all folders in it"),
    ],
    ids=str,
)
def test_a_folder_that_is_not_there_or_named_twice_is_refused(words, said):
    with pytest.raises(UserError, match=said):
        expand_config_dir(words)


def test_its_options_are_composed_listed_and_guessed_beside_ours(mine):
    assert own_folders() == [mine]
    assert {"mine", "cnn"} <= set(options("model")) and "mine" not in options("model", own=False)
    assert {"sweep", "settings", "quickstart"} <= set(options("experiments"))
    assert compose(["model=mine", "experiments=settings"]).lr == 0.5
    assert "Did you mean mine?" in unknown_option("model/min", options("model"))
    assert "Did you mean model.freeze?" in unknown_key("model.freez", ["model=mine"])
    with pytest.raises(UserError, match=r"model=mine\.yaml is unknown\. Did you mean mine\?"):
        check_words(["model=mine.yaml"])


def test_its_studies_are_read_where_they_lie(mine):
    assert study_file("sweep") == mine / "experiments/sweep.yaml"
    assert study_file("quickstart") == experiments_folder() / "quickstart.yaml"
    assert study_file("nowhere") is None
    path = sys.argv[1]
    with pytest.raises(UserError, match=r"experiments=sweep belongs to a sweep; add -m: headstart -m --config-dir "):
        check_typed(composed(path, "experiments=sweep", hydra=True), multirun=False)
    check_typed(composed(path, "experiments=settings", hydra=True), multirun=False)


def test_the_command_of_a_run_names_the_folder_only_where_it_needs_it(mine):
    path = sys.argv[1]
    assert "--config-dir" not in read(path, "model=cnn", "experiments=settings").command()
    assert f"--config-dir '{mine}' " in read(path, "model=mine").command()


def test_a_job_in_another_process_knows_the_folder_from_its_configuration(mine, monkeypatch):
    cfg = composed(sys.argv[1], hydra=True)
    monkeypatch.setattr(sys, "argv", ["popen_loky_posix"])
    assert own_folders() == []
    HydraConfig.instance().set_config(cfg)
    try:
        assert own_folders() == [mine] and compose(["model=mine"]).model._target_.endswith(".cnn")
    finally:
        HydraConfig.instance().cfg = None


def test_a_run_that_took_an_option_from_there_goes_on_where_the_flag_is_given_again(mine, tmp_path, monkeypatch):
    folder, cfg = tmp_path / "run", composed(sys.argv[1], "model=mine", hydra=True)
    for name, content in dict(config={k: cfg[k] for k in cfg if k != "hydra"}, overrides=["model=mine"]).items():
        (folder / ".hydra").mkdir(parents=True, exist_ok=True)
        OmegaConf.save(OmegaConf.create(content), folder / f".hydra/{name}.yaml")
    OmegaConf.save(OmegaConf.create({"hydra": cfg.hydra}), folder / ".hydra/hydra.yaml")
    path = sys.argv[1]
    monkeypatch.setattr(sys, "argv", ["headstart", f"resume={folder}"])
    with pytest.raises(UserError, match=r"give them again: headstart --config-dir .*my own.* resume"):
        expand_resume(sys.argv[1:])
    monkeypatch.setattr(sys, "argv", ["headstart", path, f"resume={folder}"])
    words = expand_resume(sys.argv[1:])
    assert words[:2] == ["model=mine", path] and composed(*words).model._target_.endswith(".cnn")


# ---- a study by its path


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with studies in ./experiments and beside it."""
    content = "# @package _global_\n# Which?\ndefaults: [override /search: qmc]\nlr: 0.25"
    for name in ("experiments/mine", "experiments/quickstart", "other, (files)/second"):
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "name", "folder"),
    [
        ("mine", "mine", "experiments"),
        ("mine.yaml", "mine", "experiments"),
        ("./experiments/mine.yaml", "mine", "experiments"),
        ("experiments/mine", "mine", "experiments"),
        ("./experiments/quickstart.yaml", "quickstart", "experiments"),
        ("other, (files)/second.yaml", "second", "other, (files)"),
    ],
)
def test_a_study_of_ones_own_is_found_by_its_name_or_path(here, monkeypatch, typed, name, folder):
    words = expand_study(["-m", f"experiments={typed}", "lr_low=1e-4"])
    assert words[:3] == ["-m", f"experiments={name}", "lr_low=1e-4"]
    assert as_typed(words) == ["-m", f"experiments={here / folder / name}.yaml", "lr_low=1e-4"]
    assert expand_study(as_typed(words)) == words
    monkeypatch.setattr(sys, "argv", ["headstart", *words])
    assert compose([f"experiments={name}"]).lr == 0.25
    assert study_file(name) == here / folder / f"{name}.yaml"
    assert {name, "pretraining"} <= set(options("experiments"))


def test_a_study_of_ours_is_ours_wherever_it_is_typed(here):
    assert expand_study(["experiments=quickstart"]) == ["experiments=quickstart"]
    assert expand_study(["experiments=pretraining", "lr=1"]) == ["experiments=pretraining", "lr=1"]
    assert expand_study(["experiments=null"]) == ["experiments=null"]


def test_a_path_where_no_study_is_is_refused_and_a_wrong_name_left_to_hydra(here):
    with pytest.raises(UserError, match=r"experiments=\./none\.yaml: there is no such file"):
        expand_study(["experiments=./none.yaml"])
    assert expand_study(["experiments=none"]) == ["experiments=none"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("./", r"experiments=\./: there is no such file"),
        ("/", "experiments=/: there is no such file"),
        ("../..", r"experiments=\.\./\.\.: there is no such file"),
        ("~nobodyhere/x", "~nobodyhere/x: Could not determine home directory; give the folder itself"),
        ("./other.yml", r"experiments=\./other\.yml: the name of a study's file ends in \.yaml; rename \S*other\.yml"),
        ("other.yml", "ends in .yaml; rename"),
        ("second.yml", r"ends in \.yaml; rename \S*experiments/second\.yml"),
    ],
)
def test_odd_paths_of_studies_are_refused_in_a_sentence(here, typed, said):
    for name in ("other.yml", "experiments/second.yml"):
        (here / name).write_text("lr: 1")
    with pytest.raises(UserError, match=said):
        expand_study(["-m", f"experiments={typed}"])


def test_a_name_too_long_for_a_file_is_left_to_hydra(here):
    words = [f"experiments={'x' * 300}"]
    assert expand_study(words) == words


def test_a_study_of_ones_own_that_ours_hides_is_named(here):
    said = passed_over(["-m", "experiments=quickstart"])
    assert said.endswith("your own experiments/quickstart.yaml is read with experiments=./experiments/quickstart.yaml")
    assert str(experiments_folder() / "quickstart.yaml") in said
    others = ["experiments=./experiments/quickstart.yaml"], ["experiments=mine"], ["experiments=pretraining"], ["lr=1"]
    assert [passed_over(words) for words in others] == [None] * 4
    shutil.copy(experiments_folder() / "quickstart.yaml", "experiments/quickstart.yaml")
    assert passed_over(["experiments=quickstart"]) is None


def test_a_studys_path_goes_with_a_folder_of_configuration_files(here, mine, monkeypatch):
    words = expand_study([*sys.argv[1:], "experiments=other, (files)/second.yaml"])
    assert as_typed(words) == [f"experiments={here / 'other, (files)' / 'second.yaml'}", "--config-dir", str(mine)]
    monkeypatch.setattr(sys, "argv", ["headstart", *words])
    assert compose(["experiments=second", "model=mine"]).lr == 0.25
    with pytest.raises(UserError, match=r"give study://.* in the former, too"):
        expand_study(["hydra.searchpath=[file:///b]", "experiments=experiments/mine.yaml"])
