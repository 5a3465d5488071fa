"""Workers: processes of the same sweep beside this one."""

import os
import signal
import subprocess
import sys

import pytest

from headstart.sweep import workers
from headstart.sweep.workers import (
    WORKER,
    failed_workers,
    reporting_process,
    start_workers,
    stop_workers,
    visible_gpus,
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
