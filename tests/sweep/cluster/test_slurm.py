"""Slurm's commands missing, its accounts missing, and a study on a real Slurm, where one is installed."""

import csv
import subprocess
import sys
import time

import pytest
from conftest import ROOT

from headstart.errors import UserError
from headstart.sweep.cluster.slurm import prepare_slurm

submitit = pytest.importorskip("submitit")


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """`commands(sacct=1)` puts Slurm's commands on the PATH, sacct with that exit code."""

    def there(sacct):
        for name in ("sbatch", "srun", "scontrol", "squeue", "sacct"):
            (tmp_path / name).write_text(f"#!/bin/sh\nexit {sacct if name == 'sacct' else 0}\n")
            (tmp_path / name).chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(submitit.SlurmJob, "watcher", submitit.SlurmJob.watcher)
    return there


def test_without_slurm_its_launcher_is_refused_before_anything_is_sent(commands):
    with pytest.raises(UserError, match="needs Slurm's commands, and sbatch is not on the PATH; start headstart on"):
        prepare_slurm("submitit_slurm")
    prepare_slurm("submitit_local")
    prepare_slurm("basic")


@pytest.mark.parametrize(("sacct", "asked"), [(0, "SlurmInfoWatcher"), (1, "QueueWatcher")])
def test_squeue_is_asked_where_sacct_does_not_answer(commands, sacct, asked):
    commands(sacct=sacct)
    delay = submitit.SlurmJob.watcher._delay_s
    prepare_slurm("submitit_slurm")
    assert type(submitit.SlurmJob.watcher).__name__ == asked
    assert submitit.SlurmJob.watcher._delay_s == delay


# ---- a cluster of this machine's own

TOY = [
    sys.executable,
    str(ROOT / "tests/toy.py"),
    "-m",
    "name=s",
    "data=digits",
    "model=cnn",
    "threads=1",
    "search=qmc",
]
TOY += ["budget.pruner=null", "epochs=6", "n_trials=3", "confirm_seeds=1"]
SECONDS_AT_MOST = 300


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "experiments/torture"))
        from cluster import Cluster, lacking
    if missing := lacking():
        pytest.skip(f"Slurm is not installed: {', '.join(missing)}")
    with Cluster(tmp_path_factory.mktemp("cluster"), nodes=2) as made:
        yield made


def rows(folder):
    with open(folder / "outputs/s/tables/trials.csv") as file:
        return [
            {k: v for k, v in row.items() if "second" not in k and k != "git_commit"} for row in csv.DictReader(file)
        ]


def start(folder, environment, *words):
    folder.mkdir()
    with open(folder / "said", "wb") as out:
        return subprocess.Popen([*TOY, *words], cwd=folder, env=environment, stdout=out, stderr=out)


def wait_for(condition):
    deadline = time.monotonic() + SECONDS_AT_MOST
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_a_study_in_jobs_of_slurm_of_which_one_is_told_to_end_and_one_cancelled_ends_as_one_without(tmp_path, cluster):
    environment = cluster.environment | {"PYTHONPATH": str(ROOT / "tests"), "OMP_NUM_THREADS": "1"}
    whole = start(tmp_path / "whole", environment)
    words = ("hydra/launcher=submitit_slurm", "hydra.sweeper.n_jobs=2", "hydra.launcher.timeout_min=5")
    study = start(tmp_path / "study", environment | {"TOY_SECONDS": "1.5"}, *words)
    runs = tmp_path / "study/outputs/s/cnn/search"
    try:
        for number, signals in enumerate((["--signal=USR2"], ["--signal=KILL", "--full"])):
            wait_for((runs / f"{number:03d}" / "epochs.csv").exists)
            cluster.ask("scancel", *signals, job_of(tmp_path / "study", number))
        assert (whole.wait(SECONDS_AT_MOST), study.wait(SECONDS_AT_MOST)) == (0, 0), (
            tmp_path / "study/said"
        ).read_text()
    finally:
        study.kill()
        for job in cluster.jobs():
            cluster.ask("scancel", job)
    assert rows(tmp_path / "study") == rows(tmp_path / "whole")
    assert "time is running out" in (runs / "000/log").read_text()
    assert len(list((tmp_path / "study/outputs/s/.submitit").glob("[0-9]*"))) == 6  # four runs, two of them twice
    said = (tmp_path / "study/said").read_text()
    assert "squeue is asked" in said and "Traceback" not in said and "sacct error" not in said


def job_of(study, number):
    """The job of Slurm's that trains a trial: the one whose folder says so in what submitit wrote there."""
    for folder in sorted((study / "outputs/s/.submitit").glob("[0-9]*"), key=lambda path: -int(path.name)):
        submission = next(folder.glob("*_submitted.pkl"), None)
        if submission and f"search/{number:03d}".encode() in submission.read_bytes():
            return folder.name
    raise LookupError(number)
