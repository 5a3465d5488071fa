"""A job whose time is running out: it ends between two epochs, leaves a checkpoint, and another goes on from there."""

import csv
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from conftest import TINY

from headstart.store import AT_WORK
from headstart.sweep.cluster import ending_with_an_epoch
from headstart.training import trial_context

pytest.importorskip("submitit")
HEADSTART = [sys.executable, "-c", "from headstart.cli.main import main; main()"]
STUDY = ["-m", "name=s", "model=cnn", "search=qmc", "budget.pruner=null", *TINY, "epochs=20"]
STUDY += ["n_trials=1", "confirm_seeds=0"]
LOCAL = ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"]


@pytest.fixture
def in_a_job(monkeypatch):
    """Whether submitit's handler was called, in a process that looks like a job of submitit's."""
    called = []

    def requeue(number, frame):
        called.append(number)
        raise RuntimeError("Job not requeued because: timed-out too many times.")

    monkeypatch.setenv("SUBMITIT_EXECUTOR", "local")
    monkeypatch.setattr(trial_context, "stop", 0)
    before = signal.signal(signal.SIGUSR2, requeue)
    yield called
    assert signal.getsignal(signal.SIGUSR2) is requeue
    signal.signal(signal.SIGUSR2, before)


def test_what_submitit_does_waits_for_the_end_of_the_epoch(in_a_job):
    with pytest.raises(RuntimeError, match="timed-out too many times"), ending_with_an_epoch():
        os.kill(os.getpid(), signal.SIGUSR2)
        assert trial_context.stop and not in_a_job  # a checkpoint is written whenever a process was told to stop
        trial_context.report(50.0, 1)
        pytest.fail("the run went on")
    assert in_a_job == [signal.SIGUSR2] and not trial_context.stop


def test_a_job_that_is_told_while_it_starts_trains_an_epoch_before_it_ends(in_a_job):
    with pytest.raises(RuntimeError), ending_with_an_epoch():
        os.kill(os.getpid(), signal.SIGUSR2)
        assert trial_context.report(50.0, 7, goes_on=True) is None  # of the epoch that the checkpoint stands at
        trial_context.report(51.0, 8)
        pytest.fail("the run went on")


def test_a_run_that_ends_before_is_left_alone(in_a_job):
    with ending_with_an_epoch():
        os.kill(os.getpid(), signal.SIGUSR2)
    assert not in_a_job and not trial_context.stop


def test_another_order_to_stop_is_none_of_submitits(in_a_job):
    with pytest.raises(SystemExit), ending_with_an_epoch():
        raise SystemExit(143)
    assert not in_a_job


def test_outside_of_a_job_the_signal_means_what_it_meant(monkeypatch):
    monkeypatch.delenv("SUBMITIT_EXECUTOR", raising=False)
    before = signal.getsignal(signal.SIGUSR2)
    with ending_with_an_epoch():
        assert signal.getsignal(signal.SIGUSR2) == before
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")  # of the job that started this study
    with ending_with_an_epoch():
        assert signal.getsignal(signal.SIGUSR2) == before


@pytest.fixture
def started():
    """`started(folder, *words)` starts the study in that folder; what still runs at the end of the test is killed."""
    processes = []

    def start(folder, *words):
        folder.mkdir()
        with open(folder / "said", "wb") as out:
            command = [*HEADSTART, *STUDY, *words]
            processes.append(subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, start_new_session=True))
        return processes[-1]

    yield start
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def rows(folder):
    with open(folder / "outputs/s/tables/trials.csv") as file:
        return [
            {k: v for k, v in row.items() if "second" not in k and k != "git_commit"} for row in csv.DictReader(file)
        ]


def trainer_of(run_dir):
    """The process that trains in the folder."""
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):  # it ended meanwhile, or is somebody else's
            files = (os.readlink(f"/proc/{pid}/fd/{file}") for file in os.listdir(f"/proc/{pid}/fd"))
            if str(run_dir / AT_WORK) in files:
                return int(pid)
    return None


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="finds the job's process in /proc")
def test_a_study_goes_on_in_another_job_where_the_first_one_left_off(tmp_path, started):
    disturbed, whole = started(tmp_path / "disturbed", *LOCAL), started(tmp_path / "whole")
    run_dir = tmp_path / "disturbed/outputs/s/cnn/search/000"
    deadline = time.monotonic() + 300
    while not (run_dir / "epochs.csv").exists() or (pid := trainer_of(run_dir)) is None:
        assert time.monotonic() < deadline and disturbed.poll() is None, (tmp_path / "disturbed/said").read_text()
        time.sleep(0.05)
    os.kill(pid, signal.SIGUSR2)
    assert disturbed.wait(300) == whole.wait(300) == 0, (tmp_path / "disturbed/said").read_text()
    log = (run_dir / "log").read_text()
    assert "time is running out" in log and "going on after epoch" in log
    assert rows(tmp_path / "disturbed") == rows(tmp_path / "whole")
    assert len(rows(tmp_path / "whole")) == 1
