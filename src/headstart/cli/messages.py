"""What a command says on stderr where it does not go on."""

import sys


def refuse(text: str, command: str = "headstart") -> int:
    """Print why the command does not go on; return its exit code."""
    print(f"{command}: {text}", file=sys.stderr)
    return 1
