"""More processes of the same sweep on this machine: started, given a GPU each, stopped with the one that reports."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

WORKER = "HEADSTART_WORKER"  # in the environment of a worker: the process id of the one that reports
SECONDS_TO_STOP = 10
PROGRAM = [sys.executable, "-c", "from headstart.cli.main import main; main()"]


def reporting_process() -> int:
    """The id of the process that reports for this worker; 0 where this is no worker."""
    return int(os.environ.get(WORKER, 0))


@contextmanager
def workers_beside(overrides: list[str], jobs: int, folder: Path) -> Iterator[list[subprocess.Popen]]:
    """Start `jobs` - 1 processes of the sweep with these overrides, and wait for them at the end.

    They are stopped when what this process does meanwhile raises. Their output goes to folder/worker-<i>.log. Where
    there are GPUs each process, this one included, sees one of them.
    """
    workers = start_workers(overrides, jobs, folder)
    try:
        yield workers
        for worker in workers:
            worker.wait()
    except BaseException:
        stop_workers(workers)
        raise


def start_workers(overrides: list[str], jobs: int, folder: Path) -> list[subprocess.Popen]:
    """Start `jobs` - 1 processes of the sweep, and share out the GPUs among them and this one."""
    command = [*PROGRAM, "-m", *overrides]
    gpus = visible_gpus() if jobs > 1 else []
    workers = []
    for index in range(1, jobs):
        environment = os.environ | {WORKER: str(os.getpid())}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
        with open(_log(folder, index), "ab") as out:
            workers.append(subprocess.Popen(command, env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL))
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[0]
    return workers


def _log(folder: Path, index: int) -> Path:
    return folder / f"worker-{index}.log"


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES allows, else every GPU that the driver lists; found without starting CUDA."""
    if (allowed := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [g for g in allowed.split(",") if g]
    return [str(i) for i in range(len(list(Path("/proc/driver/nvidia/gpus").glob("*"))))]


def stop_workers(workers: list[subprocess.Popen]) -> None:
    """End them as Ctrl-C would; what they were doing stays claimable. One that does not end in time is killed."""
    for worker in workers:
        if worker.poll() is None:
            worker.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + SECONDS_TO_STOP
    for worker in workers:
        try:
            worker.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()


def stop_children() -> None:
    """End all processes that this one has started, a launcher's among them, where the system lists them (Linux)."""
    listed = [path.read_text() for path in Path("/proc/self/task").glob("*/children")]
    for child in {int(number) for text in listed for number in text.split()}:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)


def failed_workers(workers: list[subprocess.Popen], folder: Path) -> list[str]:
    """A line for every worker that ended with an exit code other than 0; `folder`: where its log lies."""
    codes = enumerate((worker.returncode for worker in workers), start=1)
    return [f"a worker ended with exit code {code}; its log: {_log(folder, i)}" for i, code in codes if code]


def end_with(parent: int) -> None:
    """End this worker soon after `parent` has died, even in mid-trial: nobody would see or stop it any more."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
