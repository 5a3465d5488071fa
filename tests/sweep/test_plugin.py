"""The Hydra plugin: light to import, and what it leaves for whoever reports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.sweep import ArmsSweeper, EndedSweep

WORDS = ["name=s", "n_trials=2", "confirm_seeds=1"]


@pytest.fixture(autouse=True)
def nothing_ended(monkeypatch):
    monkeypatch.setattr(ArmsSweeper, "ended", None)


def test_hydra_starts_without_what_only_a_sweep_needs():
    program = "import sys, headstart.sweep; print(*sorted({'optuna', 'torch', 'scipy', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


ANOTHER_PROGRAM = """import hydra

@hydra.main(config_path=".", config_name="conf")
def main(cfg):
    print("x is", cfg.x)
    return float(cfg.x)

main()
"""


def test_in_another_program_it_is_refused_in_a_sentence_and_others_work(tmp_path):
    (tmp_path / "app.py").write_text(ANOTHER_PROGRAM)
    (tmp_path / "conf.yaml").write_text("x: 1")
    environment = {key: value for key, value in os.environ.items() if key != "HYDRA_FULL_ERROR"}

    def app(*words: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "app.py", *words]
        pipes = dict(capture_output=True, text=True, check=False)
        return subprocess.run(command, cwd=tmp_path, env=environment, **pipes)

    done = app("-m", "hydra/sweeper=arms", "x=1,2")
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "hydra/sweeper=arms is headstart's own sweeper: this configuration has no data, model, search"
    )
    assert "x is 2" in app("-m", "x=1,2").stdout
    assert app("hydra/sweeper=arms").stdout == "x is 1\n"  # a single run sweeps nothing


@pytest.fixture
def ended(sweep, monkeypatch):
    """`ended(*words)` is how a sweep of these words ended, as the command line finds it."""

    def run(*words: str, **environment: str) -> tuple[int, EndedSweep | None]:
        seen = []
        monkeypatch.setattr("headstart.sweep.plugin.EndedSweep", lambda *a: seen.append(EndedSweep(*a)) or seen[-1])
        code, _ = sweep(*WORDS, *words, **environment)
        return code, seen[-1] if seen else None

    return run


def test_a_sweep_that_went_well_leaves_its_folder_and_no_problem(ended):
    assert ended()[1] == EndedSweep(Path("outputs/s"), (), "")


def test_failed_trials_and_workers_are_problems(ended, monkeypatch):
    monkeypatch.setattr("headstart.sweep.workers.can_fork", lambda: False)
    monkeypatch.setattr("headstart.sweep.workers.PROGRAM", [sys.executable, "-c", "raise SystemExit(3)"])
    found = ended("jobs=2", TOY_FAILS="cnn:0:search")[1]
    assert found.error == ""
    assert found.problems == (
        "a worker ended with exit code 3; its log: outputs/s/worker-1.log",
        "arm cnn: 1 trial failed, the last with: the toy broke (outputs/s/cnn/search/000/log)",
    )


def test_an_arm_whose_trials_all_failed_is_an_error(ended):
    found = ended(TOY_FAILS="cnn:0:search,cnn:1:search")[1]
    assert found.problems == ("arm cnn: 2 trials failed, the last with: the toy broke (outputs/s/cnn/search/001/log)",)
    assert found.error == "an arm has no trial that ran; mend the cause and add hydra.sweeper.retry_failed=true"


def test_a_plan_a_worker_and_a_refused_sweep_leave_nothing(ended, monkeypatch):
    assert ended("dry_run=true") == (0, None)
    assert ended("lr=-1,1e-3") == (1, None)
    monkeypatch.setattr("headstart.sweep.launch.end_with", lambda parent: None)
    assert ended(HEADSTART_WORKER="1") == (0, None)
    assert Path("outputs/s/cnn/confirm").exists()  # the worker did its part
    assert not Path("outputs/s/tables").exists()


def test_a_sweep_forgets_how_the_one_before_it_ended(sweep):
    ArmsSweeper.ended = EndedSweep(Path("outputs/before"), (), "")
    assert sweep(*WORDS, "lr=-1,1e-3")[0] == 1
    assert ArmsSweeper.ended is None


def test_a_users_mistake_is_told_without_a_traceback(sweep):
    code, text = sweep(*WORDS, "lr=-1,1e-3")
    assert (code, text) == (1, "headstart: arm cnn searches lr: lr=-1.0: expected a number above 0\n")
