"""What a command says on stderr where it does not go on."""

import os
import signal
import sys


def refuse(text: str, command: str = "headstart") -> int:
    """Print why the command does not go on; return its exit code."""
    print(f"{command}: {text}", file=sys.stderr)
    return 1


def leave_pipe() -> int:
    """Of a reader who has seen enough, as `| head` has: send the rest nowhere; return the command's exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes at its end
    return 128 + signal.SIGPIPE
