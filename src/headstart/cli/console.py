"""What a command says: tables on stdout as rich prints them, why it does not go on on stderr. Rich is imported late."""

import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from rich.console import Console


def refuse(text: str, command: str = "headstart") -> int:
    """Print why the command does not go on; return its exit code."""
    print(f"{command}: {text}", file=sys.stderr)
    return 1


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
