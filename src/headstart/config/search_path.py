"""Where configuration files lie: ours, and those in a folder of the user's own that `--config-dir DIR` names.

The flag becomes the override `hydra.searchpath`, which Hydra records, so that workers, later commands and whatever is
composed again find the folder, too.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from headstart.config.grammar import key_of, override_value
from headstart.errors import UserError

CONF = "headstart.conf"
FLAGS = ("--config-dir", "-cd")
KEY = "hydra.searchpath"
SCHEME = "file://"


def experiments_folder() -> Path:
    """The folder of our studies; its parent is the search path on which Hydra finds that group."""
    return Path(str(files("headstart.experiments")))


def expand_config_dir(words: Sequence[str]) -> list[str]:
    """Replace --config-dir DIR among the words of the command line by the override of Hydra's search path.

    Raises UserError for a folder that is not there, and for such an override beside it.
    """
    rest, given, left = [], None, iter(words)
    for word in left:
        flag, equals, value = word.partition("=")
        if flag in FLAGS:
            given = value if equals else next(left, "")
        else:
            rest.append(word)
    if given is None:
        return rest
    if not os.path.isdir(given):
        raise UserError(f"--config-dir {given}: there is no such folder; give one with model/NAME.yaml or the like")
    if beside := [word for word in rest if key_of(word) == KEY]:
        raise UserError(f"{beside[0]} and --config-dir {given}: give one of them, with all folders in it")
    # Where the flag itself puts it: behind our groups, before our studies.
    folders = [SCHEME + os.path.abspath(given), SCHEME + str(experiments_folder().parent)]
    return [*rest, f"{KEY}={override_value(folders)}"]


def search_path_of(words: Iterable[str]) -> list[str]:
    """The override of Hydra's search path among these words; [] without."""
    return [word for word in words if key_of(word) == KEY][-1:]


def given_search_path() -> list[str]:
    """The same of this job, which may be another process's than the command's, or of this command."""
    of_job = HydraConfig.get().overrides.hydra if HydraConfig.initialized() else []
    return search_path_of([*sys.argv[1:], *of_job])


def own_folders() -> list[Path]:
    """The user's own folders of configuration files, that of ours left out."""
    return [folder for word in given_search_path() for folder in _folders(word)]


def as_typed(words: Iterable[str]) -> list[str]:
    """The words with --config-dir DIR again in place of what it became, where they came from it."""
    found = []
    for word in words:
        folders = _folders(word) if key_of(word) == KEY else ()
        found += [FLAGS[0], str(folders[0])] if len(folders) == 1 else [word]
    return found


@lru_cache(maxsize=8)
def _folders(word: str) -> tuple[Path, ...]:
    try:
        value = OverridesParser.create().parse_override(word).value()
    except HydraException:  # Hydra says what is wrong with it
        return ()
    listed = [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
    paths = [Path(text.removeprefix(SCHEME)) for text in listed if text.startswith(SCHEME) or "://" not in text]
    return tuple(path for path in paths if path != experiments_folder().parent)
