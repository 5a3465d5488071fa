"""A study on two nodes of Ray's, both on this machine, of which one is killed while it trains.

    python experiments/torture/ray_nodes.py [--only undisturbed,node_lost] [--folder outputs/ray]

Needs pip install 'headstart[ray]'. Each line says what was done and whether the tables ended as those of the study that
ran without Ray. It exits 1 where they did not.
"""

import argparse
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from same import difference, tables
from waiting import SECONDS_AT_MOST, wait_for

HEADSTART = [sys.executable, "-c", "from headstart.cli.main import main; main()"]
RAY = str(Path(sys.executable).with_name("ray"))
STUDY = ["-m", "name=study", "data=digits", "model=cnn", "threads=1", "search=qmc", "budget.pruner=null"]
STUDY += ["data.train_size=200", "epochs=12", "batch_size=32", "augmentation=none", "n_trials=4", "confirm_seeds=2"]
PORT = 6399
AGENTS = ("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "runtime-env-agent-port", "metrics-export-port")
ON_RAY = ["hydra/launcher=ray", "hydra.sweeper.n_jobs=2", f"hydra.launcher.ray.init.address=127.0.0.1:{PORT}"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "RAY_USAGE_STATS_ENABLED": "0"}
ENVIRONMENT |= dict(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))  # which nodes and command share
ENVIRONMENT["RAY_raylet_start_wait_time_s"] = f"{SECONDS_AT_MOST}"  # on a machine that is busy otherwise


class Node:
    """A node of one CPU; the first that is started is the head."""

    def __init__(self, folder: Path, said: Path, *, is_head: bool):
        where = ["--head", f"--port={PORT}", "--include-dashboard=false", f"--temp-dir={folder}"]
        words = where if is_head else [f"--address=127.0.0.1:{PORT}"]
        words += ["--block", "--num-cpus=1", "--object-store-memory=100000000", "--disable-usage-stats"]
        # Ports that Ray finds by itself it waits for, half a minute at most, which a busy machine takes.
        words += [f"--{port}={_free_port()}" for port in AGENTS]
        self.said = said
        with open(self.said, "ab") as out:
            self.process = subprocess.Popen(
                [RAY, "start", *words], env=ENVIRONMENT, stdout=out, stderr=out, start_new_session=True
            )

    def wait(self) -> None:
        """Wait until it can be used. Raises OSError where it has ended."""
        wait_for(lambda: "Ray runtime started" in self.said.read_text() or self.process.poll() is not None)
        if self.process.poll() is not None:
            raise OSError(f"ray start has ended: {self.said} says why")

    def kill(self) -> int:
        """End all of its processes by SIGKILL, none of which can start another meanwhile; return how many they were."""
        found = [self.process.pid] if self.process.poll() is None else []
        for pid in found:  # which grows
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
            found += _children(pid)
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        return len(found)


def _children(pid: int) -> list[int]:
    listed = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(number) for text in listed for number in text.split()]


@contextlib.contextmanager
def two_nodes(said: Path) -> Iterator[list[Node]]:
    """A cluster of two nodes, of one CPU each. said: folder for what they say."""
    folder = Path(tempfile.mkdtemp(prefix="headstart-ray-"))  # short: names of sockets may not be long
    nodes: list[Node] = []
    try:
        for is_head in (True, False):
            nodes.append(Node(folder, said / ("head.txt" if is_head else "node.txt"), is_head=is_head))
            nodes[-1].wait()
        yield nodes
    finally:
        for node in reversed(nodes):
            node.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Study:
    """The study in a folder of its own."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True)
        self.place, self.said = folder / "outputs/study", folder / "said.txt"
        self.folder = folder

    def begin(self, *words: str) -> subprocess.Popen:
        """Start its command."""
        with open(self.said, "ab") as out:
            command = [*HEADSTART, *STUDY, f"hydra.sweep.dir={self.place}", *words]
            return subprocess.Popen(command, cwd=self.folder, env=ENVIRONMENT, stdout=out, stderr=out)

    def at_work(self, epoch: int) -> int:
        """How many trials have come to that epoch and have not ended."""
        runs = [path.parent for path in self.place.glob("cnn/search/*/epochs.csv")]
        runs = [run for run in runs if not (run / "result.json").exists()]
        return sum(len((run / "epochs.csv").read_text().splitlines()) > epoch for run in runs)


def undisturbed(study: Study, nodes: list[Node]) -> str:
    """Nothing."""
    end(study.begin(*ON_RAY))
    return "nothing"


def node_lost(study: Study, nodes: list[Node]) -> str:
    """All processes of the second node are killed while both train."""
    command = study.begin(*ON_RAY)
    wait_for(lambda: study.at_work(2) == 2 or command.poll() is not None)
    killed = nodes[1].kill()
    code = command.wait(SECONDS_AT_MOST)
    again = "the command ended by itself"
    if code:
        again = f"the command ended with {code}, and was given again"
        end(study.begin(*ON_RAY))
    return f"{killed} processes killed while two trials trained; {again}"


def command_lost(study: Study, nodes: list[Node]) -> str:
    """The command is killed while both nodes train, and given again at once."""
    command = study.begin(*ON_RAY)
    wait_for(lambda: study.at_work(2) == 2 or command.poll() is not None)
    command.kill()
    command.wait()
    end(study.begin(*ON_RAY))
    return "the command killed while two trials trained, and given again"


def cluster_lost(study: Study, nodes: list[Node]) -> str:
    """Both nodes are killed; the command is given again once there are others."""
    command = study.begin(*ON_RAY)
    wait_for(lambda: study.at_work(2) == 2 or command.poll() is not None)
    for node in reversed(nodes):
        node.kill()
    code = command.wait(SECONDS_AT_MOST)
    with two_nodes(study.folder):
        end(study.begin(*ON_RAY))
    return f"both nodes killed while two trials trained; the command ended with {code}, and was given again"


DISTURBANCES = [undisturbed, node_lost, command_lost, cluster_lost]


def end(command: subprocess.Popen) -> None:
    """Wait for a command's end. Raises CalledProcessError."""
    if code := command.wait(SECONDS_AT_MOST):
        raise subprocess.CalledProcessError(code, "headstart")


def main() -> int:
    """Disturb studies; print what came of each; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="some of " + ", ".join(d.__name__ for d in DISTURBANCES))
    parser.add_argument("--folder", type=Path, default=Path("outputs/ray"), help="a folder that there is none of yet")
    given = parser.parse_args()
    if given.folder.exists():
        sys.exit(f"{given.folder} is there already; name another folder by --folder")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the nodes end with this process
    alone = Study(given.folder.resolve() / "alone")
    end(alone.begin())
    wanted, code = tables(alone.place), 0
    for disturb in (d for d in DISTURBANCES if not given.only or d.__name__ in given.only.split(",")):
        began, study = time.monotonic(), Study(given.folder.resolve() / disturb.__name__)
        try:
            with two_nodes(study.folder) as nodes:
                done = disturb(study, nodes)
            unequal = difference(wanted, tables(study.place))
        except (subprocess.SubprocessError, TimeoutError, OSError) as error:
            last = study.said.read_text(errors="replace").splitlines()[-3:] if study.said.exists() else []
            done, unequal = f"{error}", " / ".join(last) or "nothing was said"
        code = code or int(bool(unequal))
        kept = f"{disturb.__name__}: {done}; {unequal or 'tables equal'}"
        print(f"{'BAD ' if unequal else 'good'} {time.monotonic() - began:4.0f} s  {kept}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
