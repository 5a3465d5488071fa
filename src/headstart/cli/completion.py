"""Tab completion: the verbs, which Hydra's own completion does not know."""

import os
from collections.abc import Sequence

from headstart.cli.verbs import VERBS, find_verb


def is_asked(words: Sequence[str]) -> bool:
    """Whether the shell asks what the line in COMP_LINE may become: `headstart -sc query=bash`."""
    asks = {"-sc", "--shell-completion"} & set(words)
    return bool(asks) and any(word.startswith("query=") for word in words) and "COMP_LINE" in os.environ


def print_verbs() -> bool:
    """Print the verbs that the first word may become; return whether that is all, and Hydra need not be asked.

    So it is behind a verb: nothing is printed, and the shell completes names of files.
    """
    complete, current = _before_cursor()
    if complete:
        return find_verb(complete[0]) is not None
    for verb in VERBS:
        if verb.name.startswith(current):
            print(verb.name)
    return False


def _before_cursor() -> tuple[list[str], str]:
    """The words behind `headstart` that are complete, and the one at the cursor, which may be empty."""
    line = os.environ["COMP_LINE"]
    line = line[: int(os.environ.get("COMP_POINT") or len(line))]
    words = line.split()[1:]
    return (words, "") if not words or line[-1].isspace() else (words[:-1], words[-1])
