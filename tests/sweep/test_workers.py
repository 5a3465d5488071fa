"""Workers: processes of the same sweep beside this one."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import TINY

from headstart.sweep import workers
from headstart.sweep.workers import (
    WORKER,
    can_fork,
    failed_workers,
    reporting_process,
    start_workers,
    stop_workers,
    visible_gpus,
    waiting_workers,
    workers_beside,
)


@pytest.fixture
def program(monkeypatch):
    """`program(text)` is what workers run in place of headstart."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return lambda text: monkeypatch.setattr(workers, "PROGRAM", [sys.executable, "-c", text])


def test_workers_run_the_same_command_and_know_who_reports(tmp_path, program):
    program(f"import os, sys; print(sys.argv[1:], os.environ[{WORKER!r}])")
    with workers_beside(["name=s", "jobs=3"], 3, tmp_path) as started:
        assert len(started) == 2
    assert [w.returncode for w in started] == [0, 0]  # waited for
    said = f"['-m', 'name=s', 'jobs=3'] {os.getpid()}\n"
    assert [(tmp_path / f"worker-{i}.log").read_text() for i in (1, 2)] == [said, said]


def test_one_job_is_this_process_alone(tmp_path, program):
    program("raise SystemExit(1)")
    with workers_beside([], 1, tmp_path) as started:
        assert started == []
    assert list(tmp_path.iterdir()) == []


def test_gpus_are_shared_out_among_all_processes(tmp_path, program, monkeypatch):
    program("import os; print(os.environ['CUDA_VISIBLE_DEVICES'])")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    for worker in start_workers([], 4, tmp_path):
        worker.wait()
    assert [(tmp_path / f"worker-{i}.log").read_text().strip() for i in (1, 2, 3)] == ["7", "4", "7"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4"


def test_one_process_keeps_all_gpus(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    start_workers([], 1, tmp_path)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,7"


@pytest.mark.parametrize(("allowed", "seen"), [("", []), ("0", ["0"]), ("1,3", ["1", "3"])])
def test_what_cuda_may_see_is_what_there_is(monkeypatch, allowed, seen):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert visible_gpus() == seen


def test_workers_end_when_this_process_is_stopped(tmp_path, program):
    program("import time; time.sleep(60)")
    with pytest.raises(KeyboardInterrupt), workers_beside([], 3, tmp_path) as started:
        raise KeyboardInterrupt
    assert [w.returncode for w in started] == [-signal.SIGTERM] * 2


def test_a_worker_that_does_not_end_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "SECONDS_TO_STOP", 0.2)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as worker:
        worker.stdout.readline()
        stop_workers([worker])
    assert worker.returncode == -signal.SIGKILL


def test_only_workers_that_failed_are_named_with_their_logs(tmp_path, program):
    program("import os, sys; sys.exit(3 if os.readlink('/proc/self/fd/1').endswith('worker-2.log') else 0)")
    with workers_beside([], 4, tmp_path) as started:
        pass
    assert failed_workers(started, tmp_path) == [f"a worker ended with exit code 3; its log: {tmp_path}/worker-2.log"]


def test_who_reports_is_told_by_the_environment(monkeypatch):
    monkeypatch.delenv(WORKER, raising=False)
    assert reporting_process() == 0
    monkeypatch.setenv(WORKER, "123")
    assert reporting_process() == 123


def test_a_worker_ends_soon_after_its_parent_and_not_before():
    program = "import os, sys, time; from headstart.sweep.workers import end_with\n\
end_with(os.getppid() + int(sys.argv[1])); time.sleep(float(sys.argv[2]))"
    words = [sys.executable, "-c", program]
    assert subprocess.run([*words, "1", "30"], timeout=20, check=False).returncode == -signal.SIGTERM
    assert subprocess.run([*words, "0", "1.5"], timeout=20, check=False).returncode == 0


# ---- forked ones, from processes with one thread, which a test's own may not be

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux")
FORKING = """import os, sys, time
from pathlib import Path
from headstart.sweep import workers
from headstart.sweep.workers import waiting_workers, workers_beside
workers.hold_blas_threads()

def fork(work, jobs=2, told=True):
    with waiting_workers(work, ["word"], jobs, Path.cwd()) as waiting:
        print([w.pid for w in waiting.workers], flush=True)
        assert len(waiting.workers) == jobs - 1, "not forked"
        if told:
            with workers_beside([], jobs, Path.cwd(), waiting) as started:
                pass
            print([w.returncode for w in started])
        else:
            time.sleep(60)
"""


def forking(text: str, folder: Path, **environment: str) -> str:
    """What a process says that has the function `fork` and runs this text."""
    variables = {k: v for k, v in os.environ.items() if k not in workers.BLAS_VARIABLES} | environment
    words = [sys.executable, "-c", FORKING + text]
    done = subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@on_linux
def test_forked_workers_know_who_reports_and_leave_output_and_exit_code(tmp_path):
    said = forking(
        """
from headstart.errors import UserError
def work():
    print(os.environ[workers.WORKER], os.environ["CUDA_VISIBLE_DEVICES"], repr(sys.stdin.read()), flush=True)
    if os.environ["CUDA_VISIBLE_DEVICES"] == "7":
        raise UserError("too bad")
fork(work, jobs=4)
print(os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"])
""",
        tmp_path,
        CUDA_VISIBLE_DEVICES="4,7",
    )
    _, codes, own = said.splitlines()
    pid, gpu = own.split()
    assert (codes, gpu) == ("[1, 0, 1]", "4")
    logs = [(tmp_path / f"worker-{i}.log").read_text() for i in (1, 2, 3)]
    assert logs == [f"{pid} 7 ''\nheadstart: too bad\n", f"{pid} 4 ''\n", f"{pid} 7 ''\nheadstart: too bad\n"]


@on_linux
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_workers_that_were_never_told_to_begin_end_with_their_parent(tmp_path, end):
    text = "fork(lambda: print('began'), jobs=3, told=False)"
    words = [sys.executable, "-c", FORKING + text]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().strip("[]\n").split(",")]
        parent.send_signal(end)
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_text() for pid in pids):
        assert time.monotonic() < deadline, "they wait for ever"
        time.sleep(0.05)
    assert [(tmp_path / f"worker-{i}.log").read_text() for i in (1, 2)] == ["", ""]


@on_linux
def test_a_forked_worker_trains_a_network_with_threads_of_its_own(tmp_path):
    said = forking(
        """
import torch
def train():
    torch.set_num_threads(3)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 32, 3), torch.nn.ReLU(), torch.nn.Conv2d(32, 32, 3))
    for _ in range(3):
        network(torch.randn(64, 3, 32, 32)).square().mean().backward()
    print(len(os.listdir("/proc/self/task")), flush=True)
def work():
    train()
fork(work)
train()
""",
        tmp_path,
    )
    assert said.splitlines()[1] == "[0]"
    in_worker, here = (tmp_path / "worker-1.log").read_text(), said.splitlines()[2]
    assert int(in_worker) > 2 and int(here) > 2  # threads were at work, in both


@on_linux
def test_where_cuda_was_asked_for_before_the_fork_a_worker_is_a_command(tmp_path):
    forking(
        """
import torch
torch.cuda.is_available()
workers.PROGRAM = ["echo", "a command with"]
fork(lambda: print("forked"))
""",
        tmp_path,
    )
    assert (tmp_path / "worker-1.log").read_text() == "a command with -m word\n"


WATCHED = """import os, sys
from contextlib import contextmanager
from headstart.sweep import workers
from headstart.cli.main import main
os.register_at_fork(before=lambda: print("fork with threads:", len(os.listdir("/proc/self/task")), flush=True))
beside = workers.workers_beside
@contextmanager
def say(*words):
    import torch
    from threadpoolctl import threadpool_info
    blas = {i["num_threads"] for i in threadpool_info() if i["internal_api"] == "openblas"}
    print("blas:", blas, os.environ.get("OPENBLAS_NUM_THREADS"), "bad fork:", torch.cuda._is_in_bad_fork(), flush=True)
    with beside(*words) as started:
        yield started
    if started:
        os._exit(0)  # nobody reads the report
workers.workers_beside = say
main()
"""


@on_linux
@pytest.mark.parametrize(("asked", "blas"), [(None, len(os.sched_getaffinity(0))), ("1", 1)])
def test_a_study_forks_before_any_library_has_a_thread_or_cuda_has_begun(tmp_path, asked, blas):
    variables = {k: v for k, v in os.environ.items() if k not in workers.BLAS_VARIABLES}
    variables |= {} if asked is None else {"OPENBLAS_NUM_THREADS": asked}
    arms = 'hydra.sweeper.arms={cnn: ["model=cnn"], forest: ["model=random_forest"]}'
    words = [*TINY, "-m", "name=s", arms, "threads=2", "n_trials=1", "confirm_seeds=0", "jobs=2"]
    command = [sys.executable, "-c", WATCHED, *words]
    done = subprocess.run(
        command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    said, in_worker = done.stdout, (tmp_path / "outputs/s/worker-1.log").read_text()
    line = f"blas: {{{blas}}} {asked} bad fork: False\n"
    assert (said, in_worker) == ("fork with threads: 1\n" + line, line)
    assert len(list(tmp_path.glob("outputs/s/*/search/000/result.json"))) == 2


@on_linux
def test_a_process_with_more_threads_than_one_starts_commands(tmp_path, program):
    program("print('a command')")
    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    try:
        assert not can_fork()
        with waiting_workers(lambda: None, [], 2, tmp_path) as waiting:
            assert waiting.workers == []
            with workers_beside([], 2, tmp_path, waiting) as started:
                assert len(started) == 1
    finally:
        stop.set()
        other.join()
    assert (tmp_path / "worker-1.log").read_text() == "a command\n"


def test_elsewhere_than_on_linux_nothing_is_forked(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    assert not can_fork()
