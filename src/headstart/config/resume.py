"""`resume=DIR` on the command line: what the run in that folder was started with takes its place."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from headstart.config.grammar import differences, key_of, override_value, top_key_of
from headstart.config.groups import composed, groups, options
from headstart.config.overrides import MULTIRUN
from headstart.config.schema import DESCRIBING, KEYS, identifying_data, identifying_model, outspoken
from headstart.config.search_path import as_typed, search_path_of
from headstart.errors import UserError, first_line
from headstart.store import OUTCOMES, StudyFile, expanded, read_json, read_run
from headstart.typed import shown


def expand_resume(words: Sequence[str]) -> list[str]:
    """Replace resume=DIR among the words of the command line by what DIR was started with; without it, change nothing.

    Raises UserError for a folder that holds no run, or one that has ended or is running, and for overrides beside it
    that would change the run.
    """
    given = [w for w in words if key_of(w) == "resume"]
    rest = [w for w in words if key_of(w) != "resume"]
    if not given or MULTIRUN & set(rest):
        return list(words)
    typed = given[-1].partition("=")[2]
    # Quotes may be Hydra's, or the folder's own.
    folder = Path(typed) if os.path.isdir(typed) else expanded(typed.strip("\"'"))
    _check_resumable(folder)
    _refuse_links(folder)
    before, saved = _saved(folder, "config", dict), _saved(folder, "overrides", list)
    if "phase" not in before:
        raise UserError(f"resume={folder} is no run of headstart, but another program's; give a folder of outputs/")
    hydra = OmegaConf.create(_saved(folder, "hydra", dict))
    if not search_path_of(rest):
        _refuse_its_files(folder, hydra)
    overrides = [o for o in _of_the_job(folder, saved) if key_of(o) not in ("resume", "phase", "data.cache")]
    overrides += _of_the_job(folder, _as_before(before, overrides))
    changed, overrides = _changes(overrides, rest), [*overrides, *rest]
    if changed:
        raise UserError(f"resume={folder} goes on with the run as it was; {', '.join(changed)} would change it")
    target = override_value(str(folder))
    return [*overrides, *_phase(folder, before, hydra), f"resume={target}", f"hydra.run.dir={target}"]


def _check_resumable(folder: Path) -> None:
    nothing = f"resume={folder}: no run was started there; give a folder that holds .hydra/config.yaml"
    if not os.path.isdir(folder):  # nor can it be, where the name is too long
        raise UserError(nothing)
    if (folder / "study.json").exists():
        command = StudyFile.of(read_json(folder / "study.json")).command
        again = f"its command is given again{f': {command}' if command else ''}"
        raise UserError(f"resume={folder} is a study, which goes on when {again}")
    if not all((folder / ".hydra" / name).exists() for name in ("config.yaml", "overrides.yaml", "hydra.yaml")):
        raise UserError(nothing)
    state = read_run(folder)["state"]
    if state == "RUNNING":
        raise UserError(f"resume={folder}: this run is still going, in another process")
    if state in OUTCOMES:
        raise UserError(f"resume={folder}: this run has ended already ({state}); see {folder / 'result.json'}")


def _refuse_links(folder: Path) -> None:
    """Whoever made the folder may not choose where this run writes."""
    for place in (folder, folder / ".hydra"):
        if links := sorted(entry.name for entry in os.scandir(place) if entry.is_symlink()):
            raise UserError(
                f"{place / links[0]} is a link, so going on would write elsewhere; put the file itself there"
            )


def _refuse_its_files(folder: Path, hydra: DictConfig) -> None:
    """Configuration files of the user's own are read where the user says so, not where a folder does."""
    of_hydra = OmegaConf.select(hydra, "hydra.overrides.hydra")
    found = search_path_of(map(str, OmegaConf.to_container(of_hydra))) if OmegaConf.is_list(of_hydra) else []
    if found and (typed := as_typed(found)) != found:
        again = shlex.join(["headstart", *typed, f"resume={folder}"])
        raise UserError(f"resume={folder} was started with configuration files of your own; give them again: {again}")
    if found:
        raise UserError(f"resume={folder} was started with {shown(found[0])}; give that again beside it")


def _of_the_job(folder: Path, saved: Sequence[str]) -> list[str]:
    """The saved words, all of them about what the run computes: what is Hydra's own is made anew each time.

    A folder may be somebody else's. Raises UserError for any other word, which no run of ours leaves there.
    """
    for word in saved:
        key, value = key_of(word), word.partition("=")[2]
        known = top_key_of(word) in (*KEYS, *groups()) and "@" not in word.partition("=")[0]
        if not known or (key in groups() and value not in (*options(key), "null")):
            raise UserError(
                f"{folder}/.hydra/overrides.yaml holds {shown(word)}, which is no setting of a run; start the run anew"
            )
    return list(saved)


def _saved(folder: Path, name: str, kind: type) -> Any:
    """What Hydra saved of the run under that name, a `kind`: a mapping, or a list of texts."""
    try:
        saved = OmegaConf.to_container(OmegaConf.load(folder / f".hydra/{name}.yaml"))
        if not isinstance(saved, kind) or (kind is list and not all(isinstance(word, str) for word in saved)):
            raise ValueError(f"expected a {kind.__name__}")
    except (OSError, ValueError, YAMLError, RecursionError) as error:
        raise UserError(
            f"{folder}/.hydra/{name}.yaml can't be read ({first_line(error)}); start the run anew"
        ) from None
    return saved


def _as_before(before: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """What is added to a run's overrides where the files have other defaults than when it began: its own values.

    A key that there was none of has the default that changes nothing.
    """
    words = differences(_computing(_composed(overrides)), _computing(OmegaConf.create(before)))
    return [word for word in words if not word.startswith("~")]


def _changes(overrides: Sequence[str], rest: Sequence[str]) -> list[str]:
    """What further words change of the run that these overrides make."""
    return differences(_computing(_composed(overrides)), _computing(_composed([*overrides, *rest])))


def _composed(overrides: Sequence[str]) -> DictConfig:
    return composed(o for o in overrides if not o.startswith("-"))


def _computing(cfg: DictConfig) -> dict[str, Any]:
    """What a run computes with, of its configuration: pictures wherever they lie, in words of any version."""
    content = {key: value for key, value in outspoken(OmegaConf.to_container(cfg)).items() if key not in DESCRIBING}
    if OmegaConf.is_dict(cfg.get("data")):
        data = OmegaConf.to_container(cfg.data, resolve=True)
        # Folds that are left to the source are said, as runs from before there was that choice had none.
        content["data"] = identifying_data(data) | {"folds": data.get("folds")}
    if isinstance(content.get("model"), dict):
        content["model"] = identifying_model(content["model"])
    return content


def _phase(folder: Path, before: dict[str, Any], hydra: Any) -> list[str]:
    """A run that a sweep began may not read the test split, nor may a study's confirmation be ended outside of it."""
    if before["phase"] in ("confirm", "source"):
        raise UserError(f"resume={folder}: this run belongs to a study and goes on when its command is given again")
    # Where nobody can tell whether a sweep began it, it may not, too.
    return ["phase=search"] if OmegaConf.select(hydra, "hydra.mode") != "RUN" or before["phase"] == "search" else []
