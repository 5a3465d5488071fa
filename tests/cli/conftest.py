"""The command line in this process."""

import signal
import sys
from collections.abc import Callable, Iterator

import pytest
import torch

from headstart.cli.main import main


@pytest.fixture
def command(tmp_path, monkeypatch, capfd) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """`command(*words)` gives the words to the command in this process, in tmp_path; returns (code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setenv("HEADSTART_SWEEP", "adhoc")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    threads = torch.get_num_threads()

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["headstart", *words])
        capfd.readouterr()
        try:
            code = main() or 0
        except SystemExit as end:
            code = end.code or 0
        return code, *capfd.readouterr()

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)
    torch.set_num_threads(threads)


@pytest.fixture
def typed(command) -> Callable[..., tuple[int, str]]:
    """`typed(*words)` as `command`, where only (exit code, stderr) matter."""

    def run(*words: str) -> tuple[int, str]:
        code, _, text = command(*words)
        return code, text

    return run
