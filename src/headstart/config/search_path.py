"""Where configuration files lie: ours, and the user's own: in what `--config-dir DIR` names, or a study by its path.

Both become the override `hydra.searchpath`, which Hydra records, so that workers, later commands and whatever is
composed again find them, too.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult

from headstart.config.grammar import key_of, override_value
from headstart.errors import UserError
from headstart.store import expanded

CONF = "headstart.conf"
FLAGS = ("--config-dir", "-cd")
KEY = "hydra.searchpath"
SCHEME = "file://"
STUDIES = "study://"  # a folder of studies by itself, whatever it is called
GROUP = "experiments"


class StudySource(FileConfigSource):
    """A folder as the config group `experiments`."""

    @staticmethod
    def scheme() -> str:
        """What its places in the search path begin with."""
        return STUDIES.partition(":")[0]

    def load_config(self, config_path: str) -> ConfigResult:
        """Read a study."""
        return super().load_config(self._inside(config_path))

    def available(self) -> bool:
        """Whether the folder is there."""
        return os.path.isdir(self.path)

    def is_group(self, config_path: str) -> bool:
        """Whether this is the one group that there is."""
        return config_path in ("", GROUP)

    def is_config(self, config_path: str) -> bool:
        """Whether there is such a study."""
        return config_path.startswith(f"{GROUP}/") and super().is_config(self._inside(config_path))

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The studies there, for Hydra's messages."""
        return super().list("", results_filter) if config_path == GROUP else [GROUP]

    def _inside(self, config_path: str) -> str:
        return config_path.removeprefix(f"{GROUP}/")


SourcesRegistry.instance().register(StudySource)


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
    info = rest[-1:] if rest[-1:] in (["--info"], ["-i"]) else []  # it would take what stands behind it for its value
    return [*rest[: len(rest) - len(info)], _overridden(folders), *info]


def expand_study(words: Sequence[str]) -> list[str]:
    """Replace a study that is named by its path, or lies in ./experiments, by its name and Hydra's search path.

    Raises UserError for a path where no file is, and for a search path that cannot be added to.
    """
    found = [place for place, word in enumerate(words) if key_of(word) == GROUP and "=" in word]
    path = _study_path(words[found[-1]].partition("=")[2], words) if found else None
    if path is None:
        return list(words)
    named = f"{words[found[-1]].partition('=')[0]}={path.stem}"
    rest = [*words[: found[-1]], named, *words[found[-1] + 1 :]]
    beside = search_path_of(rest)
    ours = SCHEME + str(experiments_folder().parent)
    own = [SCHEME + str(folder) for folder in (_folders(beside[0]) if beside else ())]
    if beside and beside[0] != _overridden([*own, ours]):
        raise UserError(f"{beside[0]} and {words[found[-1]]}: give {STUDIES}{path.parent} in the former, too")
    return [*(word for word in rest if key_of(word) != KEY), _overridden([STUDIES + str(path.parent), *own, ours])]


def _study_path(value: str, words: Sequence[str]) -> Path | None:
    """The file that is meant by experiments=value, where it is none that Hydra would find by its name."""
    text = value.strip("\"'")
    is_path = "/" in text or text.startswith("~") or text.endswith((".yaml", ".yml"))
    if not text or text == "null" or _by_name(text, words):
        return None
    names = [Path.cwd() / GROUP / text] if "/" not in text else []
    names += [expanded(text)] if is_path else []
    files = [Path(f"{name}{end}") for name in reversed(names) for end in ("", ".yaml")]
    own = next((file for file in files if os.path.isfile(file)), None)
    if own is not None and own.suffix != ".yaml":  # which Hydra would not find
        raise UserError(f"{GROUP}={value}: the name of a study's file ends in .yaml; rename {own}")
    if own is None and ("/" in text or text.startswith("~")):
        raise UserError(f"{GROUP}={value}: there is no such file; give a study's YAML file, or the name of one of ours")
    return own and own.absolute()


def _by_name(name: str, words: Sequence[str]) -> Path | None:
    """The file that Hydra finds by the study's name."""
    folders = [*(folder / GROUP for word in search_path_of(words) for folder in _folders(word)), experiments_folder()]
    return next((file for folder in folders if os.path.isfile(file := folder / f"{name}.yaml")), None)


def passed_over(words: Sequence[str]) -> str | None:
    """A line on a study in ./experiments that another one of its name is taken for; None where there is none such."""
    name = next((word.partition("=")[2] for word in reversed(words) if key_of(word) == GROUP and "=" in word), "")
    own, taken = Path(GROUP) / f"{name}.yaml", _by_name(name, words)
    if "/" in name or taken is None or not os.path.isfile(own) or own.read_bytes() == taken.read_bytes():
        return None
    return f"{GROUP}={name} is {taken}; your own {own} is read with {GROUP}=./{own}"


def _overridden(folders: Sequence[str]) -> str:
    return f"{KEY}={override_value(list(folders))}"


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


def study_folders() -> list[Path]:
    """The folders with studies in them, the user's own first."""
    studies = [folder for word in given_search_path() for folder in _study_folders(word)]
    return [*studies, *(folder / GROUP for folder in own_folders()), experiments_folder()]


def as_typed(words: Iterable[str]) -> list[str]:
    """The words with --config-dir DIR and a study's path again in place of what they became."""
    words = list(words)
    studies = [folder for word in search_path_of(words) for folder in _study_folders(word)]
    found = []
    for word in words:
        key, _, name = word.partition("=")
        folders = _folders(word) if key_of(word) == KEY else ()
        paths = [folder / f"{name}.yaml" for folder in studies if key_of(word) == GROUP]
        if path := next(filter(Path.is_file, paths), None):
            found.append(f"{key}={path}")
        elif len(folders) == 1:
            found += [FLAGS[0], str(folders[0])]
        elif key_of(word) != KEY or folders or not studies:
            found.append(word)
    return found


def _folders(word: str) -> tuple[Path, ...]:
    """The folders of files in an override of the search path, ours left out."""
    paths = [Path(text.removeprefix(SCHEME)) for text in _places(word) if text.startswith(SCHEME) or "://" not in text]
    return tuple(path for path in paths if path != experiments_folder().parent)


def _study_folders(word: str) -> tuple[Path, ...]:
    return tuple(Path(text.removeprefix(STUDIES)) for text in _places(word) if text.startswith(STUDIES))


@lru_cache(maxsize=8)
def _places(word: str) -> tuple[str, ...]:
    try:
        value = OverridesParser.create().parse_override(word).value()
    except HydraException:  # Hydra says what is wrong with it
        return ()
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list) else ()
