"""Tables go to the terminal as rich prints them, and a closed pipe is told to the command."""

import contextlib
import os

import pytest

from headstart.cli.console import StdoutConsole


def test_a_closed_pipe_is_an_error_that_the_command_sees():
    reads, writes = os.pipe()
    os.close(reads)
    out = os.fdopen(writes, "w", buffering=1)
    with pytest.raises(BrokenPipeError):
        StdoutConsole(file=out).print("text")
    with contextlib.suppress(BrokenPipeError):  # of what is left in its buffer
        out.close()
