"""Tab completion of verbs and of the files behind them, which Hydra's own completion does not know."""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from headstart.cli.verbs import VERBS, find_verb

FLAGS = ("--config-dir", "-cd")  # of Hydra


def is_asked(words: Sequence[str]) -> bool:
    """Whether the shell asks what the line in COMP_LINE may become: `headstart -sc query=bash`."""
    asks = {"-sc", "--shell-completion"} & set(words)
    return bool(asks) and any(word.startswith("query=") for word in words) and "COMP_LINE" in os.environ


def print_choices() -> bool:
    """Print what the word at the cursor may become, a line each; return whether that is all, not Hydra's part of it."""
    complete, current = _before_cursor()
    if current in FLAGS:
        return True  # nothing: Hydra would say that its value is missing
    if complete and complete[-1] in FLAGS:
        choices = _files(current)
    elif not complete:
        choices = [verb.name for verb in VERBS if verb.name.startswith(current)]
    elif find_verb(complete[0]) is not None:
        choices = _files(current)
    else:
        return False
    for choice in choices:
        print(choice)
    return bool(complete)


def config_dir() -> list[str]:
    """The flag of the line that names a folder of the user's own options, for Hydra, which completes without it."""
    words = os.environ["COMP_LINE"].split()
    found = [[word] for word in words if word.partition("=")[0] in FLAGS and "=" in word]
    found += [[word, behind] for word, behind in itertools.pairwise(words) if word in FLAGS]
    folders = [flag for flag in found if os.path.isdir(flag[-1].rpartition("=")[2])]
    return folders[-1] if folders else []


def _before_cursor() -> tuple[list[str], str]:
    """The words behind `headstart` that are complete, and the one at the cursor, which may be empty."""
    line = os.environ["COMP_LINE"]
    line = line[: int(os.environ.get("COMP_POINT") or len(line))]
    words = line.split()[1:]
    return (words, "") if not words or line[-1].isspace() else (words[:-1], words[-1])


def _files(current: str) -> list[str]:
    """Files and, with a slash, folders that begin so; the shell would leave out the slash, and can't take spaces."""
    folder, slash, name = current.rpartition("/")
    try:
        found = sorted(Path(folder + slash).expanduser().iterdir())
    except (OSError, RuntimeError):  # no such folder, or no such person behind ~
        return []
    shown = [p for p in found if p.name.startswith(name) and (name or not p.name.startswith("."))]
    return [folder + slash + p.name + "/" * p.is_dir() for p in shown if not set(p.name) & set(" \t\n")]
