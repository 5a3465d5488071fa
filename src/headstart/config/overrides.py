"""What was typed: refused where it can't be meant, `resume=` expanded, and Hydra's complaints in one to three lines."""

import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from headstart.config import schema as config
from headstart.errors import UserError, first_line
from headstart.store import OUTCOMES, read_json, read_run, valid_name

SWEEP_ONLY = ("search", "budget", "n_trials", "confirm_seeds", "jobs", "dry_run", "lr_low", "lr_high")
ELSEWHERE = {
    "learning_rate": "lr",
    "pretrained": "model.weights=imagenet",
    "momentum": "optimizer=sgd optimizer.momentum",
}  # keys by the names that other programs give them
RESERVED = {"runs": "single runs", "comparison": "reports on several studies", "tables": "tables"}  # no study's name
MULTIRUN = {"-m", "--multirun"}


def key_of(override: str) -> str:
    """`data.train_size` of `+data.train_size=500`."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


# ---- before Hydra reads it


def check_words(words: Sequence[str]) -> None:
    """Refuse, of the command line, what Hydra stumbles over or takes without a word. Raises UserError."""
    for word in words:
        key = key_of(word.lstrip("-"))
        if word.startswith("-") and key.partition(".")[0] in (*config.Config.__dataclass_fields__, "experiments"):
            raise UserError(f"{word} is not understood; write {key}=... without dashes")
        if key_of(word) in config.groups():
            _check_option(key_of(word), word.partition("=")[2])
        if key in ("experiments", "search", "budget") and "," in word:
            raise UserError(f"{word}: the arms of a study share {key}; start one study each, with different name=")
    if MULTIRUN & set(words):
        _check_twice(words)


def _check_twice(words: Sequence[str]) -> None:
    """Who gives a sweep two models, or learning rates, wants both; Hydra would take the last without a word."""
    for key in (*config.groups(), "lr"):
        given = [w.partition("=")[2] for w in words if key_of(w) == key]
        if len(given) > 1:
            raise UserError(f"{key} is given twice; write {key}={','.join(given)} to try both, or leave one out")


def _check_option(group: str, value: str) -> None:
    for option in [value] if value.startswith(("[", "{")) else value.split(","):
        if re.fullmatch(r"null|.*\.yaml|[\[{].*", option):
            raise UserError(_unknown_option(f"{group}/{option}", config.options(group)))


# ---- what is typed in the wrong place


def check_typed(cfg: DictConfig, multirun: bool) -> None:
    """Refuse what was typed but can't mean what the user wants; cfg: as Hydra composed it. Raises UserError."""
    typed = {key_of(o): o for o in [*cfg.hydra.overrides.task, *cfg.hydra.overrides.hydra]}
    if unknown := [str(k) for k in cfg if k != "hydra" and k not in config.Config.__dataclass_fields__]:
        raise UserError(_unknown_key(unknown[0], sys.argv[1:]))  # by a plus, which adds what nothing reads
    for kind in ("name", "arm"):
        if cfg[kind] is not None:
            valid_name(cfg[kind])
    if "optimizer.lr" in typed:
        raise UserError(f"{typed['optimizer.lr']}: the learning rate of every optimizer is set by lr=...")
    if typed.get("phase", "phase=run").partition("=")[2] not in ("run", "search"):
        raise UserError(f"{typed['phase']}: confirmation and source runs are started by a study, never by hand")
    if multirun:
        _check_sweep(cfg, typed)
    else:
        _check_single(cfg, typed)
        config.check_complete(config.without_hydra(cfg))


def _check_sweep(cfg: DictConfig, typed: dict[str, str]) -> None:
    for key in ("seed", "split_seed"):
        if any(c in typed.get(key, "") for c in ",("):
            raise UserError(f"{typed[key]}: seeds are not searched over; confirm_seeds=5 repeats the best setting")
    if cfg.name in RESERVED:
        raise UserError(f"name={cfg.name}: that folder of outputs/ is for {RESERVED[cfg.name]}; give another name")
    if "resume" in typed:
        raise UserError(f"{typed['resume']} goes on with a single run; a sweep goes on when its command is given again")


def _check_single(cfg: DictConfig, typed: dict[str, str]) -> None:
    swept = [o for k, o in typed.items() if k in SWEEP_ONLY or k.startswith("hydra.sweeper") or k == "hydra/sweeper"]
    study = cfg.hydra.runtime.choices.get("experiments")
    if swept or (study and _is_sweep(study)):
        what = swept[0] if swept else f"experiments={study}"
        raise UserError(f"{what} belongs to a sweep; add -m: headstart -m {' '.join(sys.argv[1:])}")


def _is_sweep(study: str) -> bool:
    node = OmegaConf.load(config.experiments_folder() / f"{study}.yaml")
    entries = " ".join(str(k) for e in node.get("defaults", []) if isinstance(e, DictConfig) for k in e)
    return OmegaConf.select(node, "hydra.sweeper") is not None or "search" in entries or "sweeper" in entries


# ---- resume=DIR


def expand_resume(words: Sequence[str]) -> list[str]:
    """Replace resume=DIR among the words of the command line by what DIR was started with; without it, change nothing.

    Raises UserError for a folder that holds no run, or one that has ended or is running, and for overrides beside it
    that would change the run.
    """
    given = [w for w in words if key_of(w) == "resume"]
    rest = [w for w in words if key_of(w) != "resume"]
    if not given or MULTIRUN & set(rest):
        return list(words)
    folder = Path(given[-1].partition("=")[2].strip("\"'"))
    _check_resumable(folder)
    before, saved = _saved(folder, "config"), _saved(folder, "overrides")
    if "phase" not in before:
        raise UserError(f"resume={folder} is no run of headstart, but another program's; give a folder of outputs/")
    overrides = [*(o for o in saved if key_of(o) not in ("resume", "phase")), *rest]
    now = OmegaConf.to_container(_composed(overrides))
    changed = [c for k in now if k not in config.DESCRIBING for c in config._differences(before.get(k), now[k], k)]
    if changed:
        raise UserError(f"resume={folder} goes on with the run as it was; {', '.join(changed)} would change it")
    target = config.override_value(str(folder))
    return [*overrides, *_phase(folder, before), f"resume={target}", f"hydra.run.dir={target}"]


def _saved(folder: Path, name: str) -> Any:
    try:
        return OmegaConf.to_container(OmegaConf.load(folder / f".hydra/{name}.yaml"))
    except (OSError, ValueError, YAMLError) as error:
        raise UserError(
            f"{folder}/.hydra/{name}.yaml can't be read ({first_line(error)}); start the run anew"
        ) from None


def _check_resumable(folder: Path) -> None:
    if (folder / "study.json").exists():
        command = read_json(folder / "study.json").get("command")
        raise UserError(f"resume={folder} is a study, which goes on when its command is given again: {command}")
    if not all((folder / ".hydra" / name).exists() for name in ("config.yaml", "overrides.yaml", "hydra.yaml")):
        raise UserError(f"resume={folder}: no run was started there; give a folder that holds .hydra/config.yaml")
    state = read_run(folder)["state"]
    if state == "RUNNING":
        raise UserError(f"resume={folder}: this run is still going, in another process")
    if state in OUTCOMES:
        raise UserError(f"resume={folder}: this run has ended already ({state}); see {folder / 'result.json'}")


def _phase(folder: Path, before: dict[str, Any]) -> list[str]:
    """A run that a sweep began may not read the test split, nor may a study's confirmation be ended outside of it."""
    if before["phase"] in ("confirm", "source"):
        raise UserError(f"resume={folder}: this run belongs to a study and goes on when its command is given again")
    swept = _saved(folder, "hydra")["hydra"]["mode"] == "MULTIRUN"
    return ["phase=search"] if swept or before["phase"] == "search" else []


def _composed(words: Iterable[str]) -> DictConfig:
    running = GlobalHydra.instance().is_initialized()
    with nullcontext() if running else initialize_config_module("headstart.conf"):
        return compose("config", [w for w in words if not w.startswith("-")])


# ---- Hydra's complaints


def explain(error: HydraException, words: Sequence[str]) -> str:
    """What came, what was expected and what to type, in one to three lines; words: of the command line."""
    text = str(error)
    if isinstance(error, MissingConfigException) and error.options is not None:
        return _unknown_option(str(error.missing_cfg_file), error.options)
    if isinstance(error, OverrideParseException):
        if error.override in config.options("experiments"):
            return f"{error.override!r} is a study; start it by headstart -m experiments={error.override}"
        return f"{error.override!r} is not understood; write key=value, with quotes where the value holds , = or spaces"
    if found := re.match(r"Ambiguous value for argument '(.*)'", text.strip()):
        return f"{found[1]} is several values; add -m to sweep over them: headstart -m {' '.join(words)}"
    if found := re.match(r"Could not override '(.*?)'", text):
        return _unknown_key(found[1], words)
    if found := re.match(r"Error merging override (.*)", text):
        return f"{found[1]}: {str(error.__cause__).splitlines()[0]}; headstart --cfg job shows values that work"
    kept = [line.strip() for line in text.splitlines() if line.strip()]
    return "\n".join(kept[:3])


def explain_value(error: OmegaConfBaseException) -> str:
    """What is wrong with a value that OmegaConf could not read, and where to see the ones that work."""
    where = f"{error.full_key}: " if error.full_key else ""  # not in all of OmegaConf's walks
    return f"{where}{first_line(error)}; headstart --cfg job shows values that work"


def _unknown_option(wanted: str, options: Sequence[str]) -> str:
    group, _, name = wanted.rpartition("/")
    more = ", or any network of timm by model=timm model.name=..." if group == "model" else ""
    return f"{group}={name} is unknown. {_choose(name.removesuffix('.yaml'), options)}{more}"


def _unknown_key(key: str, words: Sequence[str]) -> str:
    """Name the keys that there are beside an unknown one; `a.b` is looked for among those of `a`."""
    parent, _, name = key.rpartition(".")
    try:
        # Groups alone say which keys there are, and of several arms the first will do.
        cfg = _composed(w.partition(",")[0] for w in words if key_of(w) in config.groups())
    except HydraException:  # something else is wrong, too
        return f"{key}=... is unknown; headstart --cfg job shows the keys"
    node = OmegaConf.select(cfg, parent) if parent else cfg
    if not isinstance(node, DictConfig):
        return _unknown_key(parent, words) if parent else f"{key}=... is unknown"
    keys = [str(k) for k in node if not str(k).startswith("_")]
    if not parent:
        return f"{key}=... is unknown. {_choose(name, [*keys, 'experiments'], meant=_elsewhere(name, cfg))}"
    return _unknown_setting(key, node, [k for k in keys if f"{parent}.{k}" != "optimizer.lr"])  # which is set by lr


def _unknown_setting(key: str, node: DictConfig, keys: Sequence[str]) -> str:
    """What to type for a key that is not among the `keys` of its node; a library's class takes more than these."""
    parent, _, name = key.rpartition(".")
    target = OmegaConf.select(node, "estimator._target_") or OmegaConf.select(node, "_target_") or "headstart."
    more = "" if target.startswith("headstart.") else f"; +{key}=... sets another argument of {target}"
    if not keys and parent in config.groups():
        others = ", ".join(config.options(parent))
        return f"{key}=...: this {parent} has no such setting; choose another by {parent}={others}"
    choose = f". {_choose(name, keys, f'{parent}.')}" if keys else ""
    return f"{key}=... is unknown{choose}{more}"


def _elsewhere(name: str, cfg: DictConfig) -> str | None:
    """The key that is called so in just one group, or in other programs."""
    parts = [g for g in config.groups() if isinstance(node := OmegaConf.select(cfg, g), DictConfig) and name in node]
    return f"{parts[0]}.{name}" if len(parts) == 1 else ELSEWHERE.get(name)


def _choose(name: str, valid: Sequence[str], prefix: str = "", meant: str | None = None) -> str:
    close = [prefix + v for v in get_close_matches(name, valid, n=1)]
    guess = f"Did you mean {meant or close[0]}? " if meant or close else ""
    return f"{guess}Choose from {', '.join(prefix + v for v in sorted(valid))}"
