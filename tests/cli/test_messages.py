"""What is said when a command ends early: whose words they are, and how to go on."""

import pytest
from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict

from headstart.cli.messages import refuse, say_how_to_resume


def test_a_refusal_names_the_command_and_is_exit_code_1(capsys):
    assert refuse("no") == 1
    assert refuse("nor this", "headstart report") == 1
    assert capsys.readouterr() == ("", "headstart: no\nheadstart report: nor this\n")


@pytest.fixture
def hydra():
    """`hydra(*overrides, folder=...)` leaves Hydra as it is in mid-job."""

    def set_up(*overrides: str, folder: str | None = None) -> None:
        with initialize_config_module("headstart.conf"):
            full = compose("config", list(overrides), return_hydra_config=True)
        with open_dict(full):
            if folder is not None:
                full.hydra.runtime.output_dir = folder
        HydraConfig.instance().set_config(full)

    yield set_up
    HydraConfig.instance().cfg = None


@pytest.mark.parametrize(
    ("overrides", "folder", "command"),
    [
        (["hydra.mode=RUN"], "outputs/runs/x", "headstart resume=outputs/runs/x"),
        (["hydra.mode=RUN"], "outputs/it's a b", "headstart 'resume=outputs/it'\"'\"'s a b'"),
        (["hydra.mode=RUN"], None, "the same command"),
        (["hydra.mode=MULTIRUN"], "outputs/study/cnn/search/000", "the same command"),
    ],
)
def test_who_interrupts_is_told_how_to_go_on(overrides, folder, command, hydra, capsys):
    hydra(*overrides, folder=folder)
    say_how_to_resume()
    assert capsys.readouterr().err.startswith(f"interrupted; run {command} to go on")


def test_before_hydra_has_begun_it_is_the_same_command(capsys):
    say_how_to_resume()
    assert capsys.readouterr().err.startswith("interrupted; run the same command to go on")
