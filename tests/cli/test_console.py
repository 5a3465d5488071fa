"""Whose words are said when a command does not go on; and a closed pipe is told to the command."""

import contextlib
import os

import pytest

from headstart.cli.console import refuse, stdout_console


def test_a_closed_pipe_is_an_error_that_the_command_sees():
    reads, writes = os.pipe()
    os.close(reads)
    out = os.fdopen(writes, "w", buffering=1)
    with pytest.raises(BrokenPipeError):
        stdout_console(file=out).print("text")
    with contextlib.suppress(BrokenPipeError):  # of what is left in its buffer
        out.close()


def test_a_refusal_names_the_command_and_is_exit_code_1(capsys):
    assert refuse("no") == 1
    assert refuse("nor this", "headstart report") == 1
    assert capsys.readouterr() == ("", "headstart: no\nheadstart report: nor this\n")
