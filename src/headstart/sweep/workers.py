"""More processes of the same sweep on this machine: started, given a GPU each, stopped with the one that reports.

On Linux they are forked from the process that reports, once it has imported torch and checked every arm: what these two
left in memory is shared, and none of it is done again. A fork copies only the thread that calls it, and a library whose
threads are missing waits for them for ever; so whoever has other threads by then starts its workers as commands.
"""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from headstart.errors import UserError

WORKER = "HEADSTART_WORKER"  # in the environment of a worker: the process id of the one that reports
SECONDS_TO_STOP = 10
PROGRAM = [sys.executable, "-c", "from headstart.cli.main import main; main()"]
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def reporting_process() -> int:
    """The id of the process that reports for this worker; 0 where this is no worker."""
    return int(os.environ.get(WORKER, 0))


class ForkedWorker:
    """A forked process with the methods of subprocess.Popen that are used here."""

    def __init__(self, process: multiprocessing.Process):
        self.process, self.pid = process, process.pid

    @property
    def returncode(self) -> int | None:
        """As Popen has it: None while it runs, minus the number of the signal that killed it."""
        return self.process.exitcode

    def poll(self) -> int | None:
        """Return `returncode` as of now."""
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired(self.process.name, timeout)
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        """Send the signal, where there still is somebody to send it to."""
        if self.process.exitcode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it without asking."""
        self.process.kill()


Worker = subprocess.Popen | ForkedWorker


@dataclass(frozen=True)
class Waiting:
    """Forked workers that wait to be told to begin, and end when the one that would tell them has gone."""

    workers: list[ForkedWorker] = field(default_factory=list)
    gate: int | None = None  # the pipe's end into which a byte goes for each of them

    def begin(self) -> list[ForkedWorker]:
        """Have them begin."""
        if self.gate is not None:
            os.write(self.gate, b"." * len(self.workers))
        return self.workers


@contextmanager
def waiting_workers(work: Callable[[], object], overrides: list[str], jobs: int, folder: Path) -> Iterator[Waiting]:
    """Fork `jobs` - 1 workers that will call `work`; none where that can't be, as `can_fork` says.

    One that could not use a GPU becomes the command with these overrides instead. Their output goes to
    folder/worker-<i>.log; the folder is there. To be called before a lock, a storage or a GPU is held.
    """
    if jobs == 1 or not can_fork():
        release_blas_threads()
        yield Waiting()
        return
    gate, ours = os.pipe()
    gpus = visible_gpus()
    gc.freeze()  # a collection would write to each object, and so end the sharing of its memory
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until a worker has its log, a signal's line would
    try:  # appear on the terminal
        context, workers = multiprocessing.get_context("fork"), []
        for index in range(1, jobs):
            gpu, log = gpus[index % len(gpus)] if gpus else None, _log(folder, index)
            own = partial(_live, work, [*PROGRAM, "-m", *overrides], log, gpu)
            life = context.Process(target=own, args=(gate, ours, os.getpid(), before))
            life.start()
            workers.append(ForkedWorker(life))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(gate)
    release_blas_threads()
    try:
        yield Waiting(workers, ours)
    finally:
        os.close(ours)  # those that were not told to begin end now
        for worker in workers:
            worker.wait()
        gc.unfreeze()  # libraries take what is not collected at the very end for a leak, and say so


def can_fork() -> bool:
    """Whether this process may be forked: it runs on Linux and has one thread. (Apple's libraries survive no fork.)"""
    return sys.platform == "linux" and len(os.listdir("/proc/self/task")) == 1


def _live(
    work: Callable[[], object],
    command: list[str],
    log: Path,
    gpu: str | None,
    gate: int,
    parents: int,
    parent: int,
    signals: set[int],
) -> None:
    """The life of a forked worker: output to its log, then wait to be told, then work."""
    os.close(parents)  # else it would wait for itself where the parent has gone
    with open(log, "ab") as out, open(os.devnull, "rb") as nothing:
        for theirs, own in enumerate((nothing, out, out)):
            os.dup2(own.fileno(), theirs)
    signal.pthread_sigmask(signal.SIG_SETMASK, signals)
    os.environ[WORKER] = str(parent)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    if not os.read(gate, 1):
        return
    os.close(gate)
    release_blas_threads()
    if _is_barred_from_cuda():
        os.execvp(command[0], command)
    end_with(parent)
    try:
        work()
    except UserError as error:
        print(f"headstart: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _is_barred_from_cuda() -> bool:
    """Whether something, such as a model of the user's own, asked for GPUs before the fork: CUDA works in no child."""
    return "torch" in sys.modules and sys.modules["torch"].cuda._is_in_bad_fork()


@contextmanager
def workers_beside(
    overrides: list[str], jobs: int, folder: Path, waiting: Waiting | None = None
) -> Iterator[list[Worker]]:
    """Have the workers that wait begin, or start `jobs` - 1 processes of the sweep with these overrides; wait for them.

    They are stopped when what this process does meanwhile raises. Their output goes to folder/worker-<i>.log. Where
    there are GPUs each process, this one included, sees one of them.
    """
    workers = start_workers(overrides, jobs, folder, waiting)
    try:
        yield workers
        for worker in workers:
            worker.wait()
    except BaseException:
        stop_workers(workers)
        raise


def start_workers(overrides: list[str], jobs: int, folder: Path, waiting: Waiting | None = None) -> list[Worker]:
    """Begin with `jobs` - 1 workers, those that wait or else commands; the GPUs are shared out among all processes."""
    command = [*PROGRAM, "-m", *overrides]
    gpus = visible_gpus() if jobs > 1 else []
    workers: list[Worker] = [*waiting.begin()] if waiting else []
    for index in range(1, jobs) if not workers else ():
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


def stop_workers(workers: list[Worker]) -> None:
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


def failed_workers(workers: list[Worker], folder: Path) -> list[str]:
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


# ---- threads of BLAS, which begin when numpy is imported

BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")  # in the order in which it asks them
_held: list[str | None] = []  # what the first of them was


def hold_blas_threads() -> None:
    """Have numpy and what comes after it start no threads of OpenBLAS when they are imported: workers are to be forked.

    Nothing happens where numpy is there already. `release_blas_threads` ends it.
    """
    if sys.platform == "linux" and "numpy" not in sys.modules and not _held:
        _held.append(os.environ.get(BLAS_VARIABLES[0]))
        os.environ[BLAS_VARIABLES[0]] = "1"


def release_blas_threads() -> None:
    """Give OpenBLAS the threads that it would have had; nothing happens where they were not held back."""
    if not _held:
        return
    if (before := _held.pop()) is None:
        del os.environ[BLAS_VARIABLES[0]]
    else:
        os.environ[BLAS_VARIABLES[0]] = before
    if "numpy" not in sys.modules:
        return
    from threadpoolctl import ThreadpoolController

    asked = [os.environ.get(name, "") for name in BLAS_VARIABLES]
    cores = len(os.sched_getaffinity(0))
    threads = next((int(number) for number in asked if number.isdecimal() and int(number) > 0), cores)
    for library in ThreadpoolController().select(internal_api="openblas").lib_controllers:
        library.set_num_threads(min(threads, cores))
