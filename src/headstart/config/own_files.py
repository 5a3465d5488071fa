"""The user's own configuration files, read once before Hydra does, which ends at a faulty one with a traceback."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from headstart.config.grammar import key_of
from headstart.config.groups import groups, options
from headstart.config.search_path import own_folders, study_folders
from headstart.errors import UserError, first_line


def check_own_files(words: Sequence[str]) -> None:
    """Read the files of the user's own that the words choose, and those that these inherit from.

    Raises UserError for one that cannot be read, and for one that inherits from itself.
    """
    for word in words:
        group, value = key_of(word), word.partition("=")[2]
        if group in groups():
            for name in value.split(","):
                _check(group, name, ())


def _check(group: str, name: str, before: tuple[Path, ...]) -> None:
    path = _file(group, name)
    if path is None:
        return
    if path in before:
        raise UserError(f"{path} inherits from itself: its defaults lead back to it")
    try:
        node = OmegaConf.load(path)
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text; a configuration file is YAML in UTF-8") from None
    except (YAMLError, OmegaConfBaseException, OSError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as YAML: {_said(error)}") from None
    for next_group, next_name in _inherited(group, node):
        if "/" in next_name:  # /GROUP/NAME, or a folder within the group: Hydra says what is wrong with it
            continue
        if next_group in groups() and next_name not in options(next_group) and "${" not in next_name:
            raise UserError(f"{path}: its defaults name {next_group}={next_name}, which is unknown")
        _check(next_group, next_name, (*before, path))


def _file(group: str, name: str) -> Path | None:
    folders = study_folders() if group == "experiments" else [folder / group for folder in own_folders()]
    try:
        return next((path for folder in folders if (path := folder / f"{name}.yaml").is_file()), None)
    except OSError:  # a name too long
        return None


def _said(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return first_line(error) or type(error).__name__
    return f"line {mark.line + 1}, {getattr(error, 'problem', None) or 'not understood'}"


def _inherited(group: str, node: Any) -> Iterator[tuple[str, str]]:
    """(group, option) of each entry of a file's defaults list."""
    entries = node.get("defaults") if isinstance(node, DictConfig) else None
    for entry in entries if OmegaConf.is_list(entries) else ():
        if isinstance(entry, str) and entry != "_self_":
            yield group, entry
        elif isinstance(entry, DictConfig):
            for key, option in entry.items():
                if isinstance(option, str):
                    yield str(key).removeprefix("override ").lstrip("/"), option
