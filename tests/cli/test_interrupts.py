"""Ctrl-C and SIGTERM at any moment: one line on stderr and the signal's exit code, with real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ready
from conftest import ROOT, TINY

from headstart.cli import interrupts
from headstart.training import trial_context

PROGRAM = [sys.executable, "-c", "from headstart.cli.main import main; main()"]
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
COMMANDS = {
    "a run": [*TINY, "epochs=1000"],
    "a sweep": [*TINY, "epochs=1000", "-m", "name=s"],
    "help": ["--help"],
    "report": ["report", "."],
    "weights": ["weights", "export", "."],
    "cache": ["cache"],
}
QUICK = COMMANDS.keys() - {"a run", "a sweep"}  # that end by themselves in an instant


def start(words: list[str], folder: Path, **environment: str) -> subprocess.Popen:
    """The process, in a group of its own as behind a shell's prompt, once it hears signals."""
    variables = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests")} | environment
    pipes = dict(stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    process = subprocess.Popen(words, cwd=folder, env=variables, start_new_session=True, **pipes)
    while process.poll() is None:  # until it catches SIGTERM, which Python itself does not
        status = Path(f"/proc/{process.pid}/status").read_text()
        if int(status.partition("SigCgt:")[2].split()[0], 16) & 1 << signal.SIGTERM - 1:
            break
        time.sleep(0.001)
    return process


def ended(process: subprocess.Popen, number: int) -> tuple[int, str]:
    """Send the signal to the whole group, as a terminal does; returns exit code and stderr."""
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize("seconds", [0, 0.1, 0.4])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_has_not_begun_ends_at_once_with_one_word(name, seconds, tmp_path):
    process = start([*PROGRAM, *COMMANDS[name]], tmp_path)
    time.sleep(seconds)
    if process.poll() is None:
        code, said = ended(process, signal.SIGINT)
        # At its very end Python handles no signal any more, and what ends by itself may have had its last words.
        last_words = (code == 0 and said == "") or (code == 1 and said.startswith("headstart "))
        at_its_end = code == -signal.SIGINT or (name in QUICK and last_words)
        assert (code, said) == (130, "interrupted\n") or (at_its_end and "Traceback" not in said)
    process.communicate()


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("words", [[], ["jobs=2"], ["hydra/launcher=joblib", "hydra.sweeper.n_jobs=2"]], ids=str)
def test_a_sweep_that_has_begun_ends_with_one_line_that_says_how_to_go_on(words, number, tmp_path):
    plan = ["-m", "name=s", "data=digits", "model=cnn", "epochs=2000", "n_trials=4", "threads=1", *words]
    environment = {"TOY_SECONDS": "0.02", "PYTHONPATH": str(ROOT / "tests")}
    with open(tmp_path / "stderr", "wb") as said:
        process = ready.start(*plan, folder=tmp_path, program="toy", environment=environment, stderr=said)
    while not len(list(tmp_path.glob("outputs/s/cnn/search/*/epochs.csv"))) > bool(words):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, number)
    assert process.wait(60) == CODES[number]
    lines = [line for line in (tmp_path / "stderr").read_text().splitlines() if not line.startswith(("study s", "  "))]
    lines = [line for line in lines if "resource_tracker" not in line]  # joblib's own process, of what ended at once
    assert lines == ["interrupted; run the same command to go on, a network from its last checkpoint"]


@pytest.mark.parametrize("number", CODES)
def test_who_is_at_work_ends_in_order_and_says_what_goes_on_with_it(number, monkeypatch, capsys):
    handlers = [(sent, signal.getsignal(sent)) for sent in CODES]
    hook = sys.unraisablehook
    for name in ("at_work", "stop", "goes_on_by"):
        monkeypatch.setattr(trial_context, name, getattr(trial_context, name))
    try:
        interrupts.listen()
        with pytest.raises(SystemExit) as end, trial_context.working("headstart resume=x"):
            os.kill(os.getpid(), number)
            time.sleep(5)
    finally:
        sys.unraisablehook = hook
        for sent, handler in handlers:
            signal.signal(sent, handler)
    assert end.value.code == trial_context.stop == CODES[number]
    interrupts.say_how_to_go_on()
    said = "interrupted; run headstart resume=x to go on, a network from its last checkpoint\n"
    assert capsys.readouterr().err == said


def test_an_end_that_a_finalizer_swallowed_is_tried_again_without_a_word():
    script = """import os, signal, time
from headstart.cli import interrupts
from headstart.training import trial_context

class Swallows:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)

class Fails:
    def __del__(self):
        raise ValueError("another's")

interrupts.listen()
with trial_context.working("x"):
    Swallows()
    Fails()
    time.sleep(20)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=15)
    assert done.returncode == 130 and "SystemExit" not in done.stderr and "ValueError: another's" in done.stderr


def test_who_was_not_told_to_stop_says_nothing(monkeypatch, capsys):
    monkeypatch.setattr(trial_context, "stop", 0)
    interrupts.say_how_to_go_on()
    assert capsys.readouterr().err == ""
