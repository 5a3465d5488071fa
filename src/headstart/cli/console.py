"""What a command says: tables on stdout as rich prints them, why it does not go on on stderr. Rich is imported late."""

import errno
import os
import re
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from headstart.errors import machine_fault

if TYPE_CHECKING:
    from rich.console import Console


NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # of stdout, whose errors name no file
LONGEST_WORD, SHOWN = 300, 60  # characters of what was typed


def print_anywhere() -> None:
    """Have what a terminal's encoding lacks printed as question marks, as ASCII lacks most of a table."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what stands for it in a notebook or a test has none
            stream.reconfigure(errors="replace")


def refuse(text: str, command: str = "headstart") -> int:
    """Print why the command does not go on, words of endless length cut; return its exit code."""
    text = re.sub(rf"\S{{{LONGEST_WORD},}}", lambda word: f"{word[0][:SHOWN]}...", text)
    print(f"{command}: {text}", file=sys.stderr)
    return 1


def lost_output(error: OSError) -> int:
    """Of a stdout that can't be written, as one that leads to a full disk: say so; return the command's exit code.

    So of any other file that the disk or the system fails. Raises any other error as it is.
    """
    if isinstance(error, BrokenPipeError):
        return leave_pipe()
    if error.filename is not None or error.errno not in NOT_WRITTEN:
        if (fault := machine_fault(error)) is None:
            raise error
        return refuse(str(fault))
    leave_pipe()
    return refuse(f"stdout could not be written: {error.strerror}")


def leave_pipe() -> int:
    """Of a reader who has seen enough, as `| head` has: send the rest nowhere; return the command's exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes at its end
    return 128 + signal.SIGPIPE


def stdout_console(**options: Any) -> "Console":
    """A console of rich's that leaves a closed pipe to the command, as `print` does; its own exits without a word."""
    from rich.console import Console

    class StdoutConsole(Console):
        def on_broken_pipe(self) -> NoReturn:
            """Called while the BrokenPipeError is handled; raises one again."""
            raise BrokenPipeError

    return StdoutConsole(**options)
