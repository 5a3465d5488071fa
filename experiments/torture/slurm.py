"""A study on a Slurm cluster that this machine pretends to be, disturbed in every way that one knows: `make slurm`.

    python experiments/torture/slurm.py [--only array,time_limit] [--accounts] [--folder outputs/slurm]

Each line says what was done to the study and whether its tables ended as those of a study that ran on this machine
alone. It exits 1 where one did not. What it needs of Debian's packages `cluster.py` says.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cluster import Cluster, lacking
from same import difference, tables
from waiting import SECONDS_AT_MOST, wait_for

HEADSTART = [sys.executable, "-c", "from headstart.cli.main import main; main()"]
STUDY = ["-m", "name=study", "data=digits", "model=cnn", "threads=1", "search=qmc", "budget.pruner=null"]
STUDY += ["data.train_size=200", "epochs=12", "batch_size=32", "augmentation=none", "n_trials=3", "confirm_seeds=1"]
JOBS = ["hydra/launcher=submitit_slurm", "hydra.sweeper.n_jobs=2"]


class Study:
    """The study in a folder of its own, run by whatever is added to its command."""

    def __init__(self, folder: Path, cluster: Cluster):
        folder.mkdir(parents=True)
        self.folder, self.cluster, self.place = folder, cluster, folder / "outputs/study"
        self.environment = cluster.environment | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
        self.said = folder / "said.txt"
        self.begun: list[subprocess.Popen] = []

    def begin(self, *words: str) -> subprocess.Popen:
        """Start its command."""
        with open(self.said, "ab") as out:
            command = [*HEADSTART, *STUDY, *words]
            process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=out, stderr=out)
        self.begun.append(process)
        return process

    def send(self, *options: str, words: tuple[str, ...] = ()) -> str:
        """Send its command to Slurm as a job of its own; return the job's id."""
        line = " ".join(f"'{word}'" for word in [*HEADSTART, *STUDY, *words])
        options = (f"--output={self.folder}/%A_%a.txt", "--time=10", f"--chdir={self.folder}", *options)
        sent = subprocess.run(
            ["sbatch", "--parsable", *options, "--wrap", line],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return sent.stdout.strip()

    def epochs(self, trial: int = 0) -> int:
        """How many epochs of a trial have ended."""
        path = self.place / f"cnn/search/{trial:03d}/epochs.csv"
        return max(len(path.read_text().splitlines()) - 1, 0) if path.exists() else 0

    def job_of(self, trial: int = 0) -> str:
        """The id of the job that trains a trial."""
        logs = (self.place / ".submitit").glob("*/*_0_log.out")
        return next(log.parent.name for log in sorted(logs, reverse=True) if f"search/{trial:03d}" in log.read_text())

    def wait_for_epoch(self, trial: int, epoch: int) -> None:
        """Wait until so many epochs of a trial have ended."""
        wait_for(lambda: self.epochs(trial) >= epoch)

    def jobs(self) -> list[str]:
        """The ids of the study's jobs, in the order in which they were sent."""
        return sorted((p.name for p in (self.place / ".submitit").glob("[0-9]*")), key=int)


# ---- what is done to it; each returns when the study's command has ended, with what came of it


def array(study: Study) -> str:
    """Nothing: jobs of submitit's on three nodes."""
    end(study.begin(*JOBS, "hydra.sweeper.n_jobs=3"))
    return f"{len(study.jobs())} jobs"


def workers(study: Study) -> str:
    """The same command as an array of four jobs of Slurm's, two at a time; the report is of the last to end."""
    study.send("--array=1-4%2")
    wait_for(lambda: not study.cluster.jobs())
    return "4 jobs of an array"


def signalled(study: Study) -> str:
    """One job is told that its time is running out, and others go on."""
    sweeper = study.begin(*JOBS)
    study.wait_for_epoch(0, 2)
    study.cluster.ask("scancel", "--signal=USR2", first := running(study)[0])
    end(sweeper)
    return f"job {first} told after epoch 2 of 12; {len(study.jobs())} jobs"


def time_limit(study: Study) -> str:
    """Every job gets a minute; one stands still until Slurm has told it that 20 seconds are left."""
    sweeper = study.begin(*JOBS, "hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=20")
    study.wait_for_epoch(0, 2)
    study.cluster.ask("scancel", "--signal=STOP", first := running(study)[0])
    wait_for(lambda: seconds_of(study, first) >= 45)
    if first in running(study):
        study.cluster.ask("scancel", "--signal=CONT", first)
    end(sweeper)
    return f"{len(study.jobs())} jobs"


def cancelled(study: Study) -> str:
    """One job is cancelled in the middle of its training."""
    sweeper = study.begin(*JOBS)
    study.wait_for_epoch(0, 2)
    study.cluster.ask("scancel", first := running(study)[0])
    end(sweeper)
    return f"job {first} cancelled; {len(study.jobs())} jobs"


def preempted(study: Study) -> str:
    """Jobs of a partition that goes first take the nodes; Slurm queues the study's jobs again."""
    sweeper = study.begin(*JOBS)
    study.wait_for_epoch(0, 2)
    urgent = ["--partition=urgent", "--output=/dev/null", "--wrap", "sleep 5"]
    for _ in range(study.cluster.nodes):
        study.cluster.ask("sbatch", *urgent)
    end(sweeper)
    restarts = [study.cluster.ask("scontrol", "show", "job", job).partition("Restarts=")[2][0] for job in study.jobs()]
    return f"{len(study.jobs())} jobs, started again {'+'.join(restarts)} times"


def node_lost(study: Study) -> str:
    """The slurmd of a node is killed by SIGKILL while a job trains there, whose process lives on, and comes back."""
    sweeper = study.begin(*JOBS)
    study.wait_for_epoch(0, 2)
    node = study.cluster.ask("squeue", "--noheader", "--format=%N", f"--jobs={running(study)[0]}").strip()
    study.cluster.stop(node, signal.SIGKILL)
    end(sweeper)
    study.cluster.start_node(node)
    return f"{node} killed; {len(study.jobs())} jobs"


def controller_lost(study: Study) -> str:
    """slurmctld is killed by SIGKILL and started again after some seconds."""
    sweeper = study.begin(*JOBS)
    study.wait_for_epoch(0, 2)
    study.cluster.stop("slurmctld", signal.SIGKILL)
    time.sleep(5)
    study.cluster.start_controller()
    end(sweeper)
    return f"{len(study.jobs())} jobs"


def sweeper_killed(study: Study) -> str:
    """The command is killed by SIGKILL while its jobs train, and typed again at once."""
    sweeper = study.begin(*JOBS)
    study.wait_for_epoch(0, 2)
    sweeper.kill()
    sweeper.wait()
    end(study.begin(*JOBS))
    return f"{len(study.jobs())} jobs"


DISTURBANCES = [
    array,
    workers,
    signalled,
    time_limit,
    cancelled,
    preempted,
    node_lost,
    controller_lost,
    sweeper_killed,
]


def seconds_of(study: Study, job: str) -> float:
    """For how long a job has run; infinite for one that has ended."""
    said = study.cluster.ask("squeue", "--noheader", "--format=%i %M").split()  # minutes:seconds
    minutes, _, seconds = dict(zip(said[::2], said[1::2], strict=True)).get(job, "inf:0").partition(":")
    return 60 * float(minutes) + float(seconds)


def running(study: Study) -> list[str]:
    """The ids of the study's jobs that run, the oldest first."""
    return sorted((job for job, state in study.cluster.jobs().items() if state == "RUNNING"), key=int)


def end(sweeper: subprocess.Popen) -> None:
    """Wait for a command's end. Raises CalledProcessError."""
    code = sweeper.wait(SECONDS_AT_MOST)
    if code:
        raise subprocess.CalledProcessError(code, "headstart")


def disturbed(disturb: Callable[[Study], str], folder: Path, cluster: Cluster, wanted: dict) -> tuple[bool, str]:
    """Whether a study to which that is done ends as wanted; what came of it, in words."""
    study = Study(folder / disturb.__name__, cluster)
    try:
        done = disturb(study)
        unequal = difference(wanted, tables(study.place))
        return not unequal, f"{done}; {unequal or 'tables equal'}"
    except (subprocess.SubprocessError, TimeoutError, OSError) as error:
        last = study.said.read_text(errors="replace").splitlines()[-3:] if study.said.exists() else []
        return False, f"{error}: {' / '.join(last)}"
    finally:
        for process in study.begun:  # one that goes on would send more jobs
            process.kill()
            process.wait()
        for job in cluster.jobs():
            cluster.ask("scancel", job)
        wait_for(lambda: not cluster.jobs())


def main() -> int:
    """Disturb studies; print what came of each; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="some of " + ", ".join(d.__name__ for d in DISTURBANCES))
    parser.add_argument("--accounts", action="store_true", help="with an accounting database, so that sacct answers")
    parser.add_argument("--folder", type=Path, default=Path("outputs/slurm"))
    given = parser.parse_args()
    if missing := lacking(given.accounts):
        packages = "slurm-wlm munge" + " slurmdbd mariadb-server" * given.accounts
        sys.exit(f"{', '.join(missing)} not found; on Debian: apt install {packages}")
    if given.folder.exists() and not (given.folder / "cluster/slurm.conf").exists():
        sys.exit(f"{given.folder} holds something else; name another folder by --folder")
    shutil.rmtree(given.folder, ignore_errors=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the cluster's daemons end with this process
    chosen = [d for d in DISTURBANCES if not given.only or d.__name__ in given.only.split(",")]
    os.environ["HEADSTART_CACHE"] = tempfile.mkdtemp(prefix="headstart-slurm-cache-")
    code = 0
    with Cluster(given.folder.resolve() / "cluster", accounts=given.accounts) as cluster:
        whole = Study(given.folder.resolve() / "undisturbed", cluster)
        end(whole.begin())
        wanted = tables(whole.place)
        for disturb in chosen:
            began = time.monotonic()
            good, said = disturbed(disturb, given.folder.resolve(), cluster, wanted)
            code = code or int(not good)
            print(
                f"{'good' if good else 'BAD '} {time.monotonic() - began:4.0f} s  {disturb.__name__}: {said}",
                flush=True,
            )
    shutil.rmtree(os.environ["HEADSTART_CACHE"], ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
