"""Hydra's complaints in one to three lines: what came, what was expected and what to type."""

import re
import shlex
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from headstart.config.grammar import key_of
from headstart.config.groups import composed, groups, options
from headstart.config.schema import ANNOTATIONS
from headstart.config.search_path import as_typed, given_search_path
from headstart.errors import first_line
from headstart.typed import expected

NULL_IN_CHOICE = re.compile(r"(.*=)choice\((.*\bnull\b.*)\)")
SEE_VALUES = "headstart --cfg job shows values that work"
ELSEWHERE = {
    "learning_rate": "lr",
    "pretrained": "model.weights=imagenet",
    "momentum": "optimizer=sgd optimizer.momentum",
}  # keys by the names that other programs give them


def explain(error: HydraException, words: Sequence[str]) -> str:
    """What is wrong with a configuration that Hydra could not compose; words: of the command line."""
    text = str(error)
    if isinstance(error, MissingConfigException) and error.options is not None:
        return unknown_option(str(error.missing_cfg_file), error.options)
    if isinstance(error, OverrideParseException):
        if found := NULL_IN_CHOICE.fullmatch(error.override):
            return f"{error.override}: Hydra's choice(...) takes no null, but a plain list does: {found[1]}{found[2]}"
        if error.override in options("experiments"):
            path = shlex.join(["headstart", "-m", *as_typed(given_search_path()), f"experiments={error.override}"])
            return f"{error.override!r} is a study; start it by {path}"
        return f"{error.override!r} is not understood; write key=value, with quotes where the value holds , = or spaces"
    if found := re.match(r"Ambiguous value for argument '(.*)'", text.strip()):
        return f"{found[1]} is several values; add -m to sweep over them: headstart -m {shlex.join(as_typed(words))}"
    if found := re.match(r"Could not override '(.*?)'", text):
        return unknown_key(found[1], words)
    if found := re.match(r"Error merging override (.*)", text):
        return refused_value(found[1]) or f"{found[1]}: {first_line(error.__cause__)}; {SEE_VALUES}"
    if found := re.search(r"In '(search/\w+)'.*\nKey '(\w+)' not in '(\w+)SamplerConfig'", text):
        search, key, sampler = found[1].replace("/", "="), found[2], found[3].lower()
        return (
            f"{search} sets {key} of its own sampler, which {sampler} has not; other samplers go with search=random: "
            f"search=random hydra/sweeper/sampler={sampler} (a grid: search=decades)"
        )
    kept = [line.strip() for line in text.splitlines() if line.strip()]
    return "\n".join(kept[:3])


def refused_value(word: str) -> str | None:
    """What a top-level key takes, where the word sets one to something else."""
    annotation = ANNOTATIONS.get(key_of(word), Any)
    return None if annotation is Any else f"{word}: expected {expected(annotation)}"


def explain_value(error: OmegaConfBaseException) -> str:
    """What is wrong with a value that OmegaConf could not read, and where to see the ones that work."""
    where = f"{error.full_key}: " if error.full_key else ""  # not in all of OmegaConf's walks
    return f"{where}{first_line(error)}; {SEE_VALUES}"


def unknown_option(wanted: str, valid: Sequence[str]) -> str:
    """Name the options that there are beside an unknown one; wanted: `group/option`."""
    group, _, name = wanted.rpartition("/")
    more = ", or any network of timm by model=timm model.name=..." if group == "model" else ""
    return f"{group}={name} is unknown. {_choose(name.removesuffix('.yaml'), valid)}{more}"


def unknown_key(key: str, words: Sequence[str]) -> str:
    """Name the keys that there are beside an unknown one; `a.b` is looked for among those of `a`.

    words: of the command line, as the groups chosen there say which keys there are.
    """
    parent, _, name = key.rpartition(".")
    if key_of(key) == "hydra" or parent.startswith("hydra"):
        return _unknown_of_hydra(key, words)
    try:
        # Groups alone say which keys there are, and of several arms the first will do.
        cfg = composed(w.partition(",")[0] for w in words if key_of(w) in groups())
    except HydraException:  # something else is wrong, too
        return f"{key}=... is unknown; headstart --cfg job shows the keys"
    node = OmegaConf.select(cfg, parent) if parent else cfg
    if not isinstance(node, DictConfig):
        return unknown_key(parent, words) if parent else f"{key}=... is unknown"
    keys = [str(k) for k in node if not str(k).startswith("_")]
    if not parent:
        return f"{key}=... is unknown. {_choose(name, [*keys, 'experiments'], meant=_elsewhere(name, cfg))}"
    return _unknown_setting(key, node, [k for k in keys if f"{parent}.{k}" != "optimizer.lr"])  # which is set by lr


def _unknown_of_hydra(key: str, words: Sequence[str]) -> str:
    """As `unknown_key`, of Hydra's own part; params are a mapping that grows by a plus."""
    if adding := [word for word in words if key_of(word).startswith("hydra.sweeper.params")]:
        return f"{adding[0]}: write +{adding[0]} to search a further key"
    typed = next((key_of(word) for word in words if key_of(word).startswith("hydra.")), key)
    parent, _, name = typed.rpartition(".")
    node = OmegaConf.select(composed([], hydra=True), parent)
    return f"{typed}=... is unknown. {_choose(name, list(node), f'{parent}.')}" if node else f"{typed}=... is unknown"


def _unknown_setting(key: str, node: DictConfig, keys: Sequence[str]) -> str:
    """What to type for a key that is not among the `keys` of its node; a library's class takes more than these."""
    parent, _, name = key.rpartition(".")
    target = OmegaConf.select(node, "estimator._target_") or OmegaConf.select(node, "_target_") or "headstart."
    more = "" if target.startswith("headstart.") else f"; +{key}=... sets another argument of {target}"
    if not keys and parent in groups():
        others = ", ".join(options(parent))
        return f"{key}=...: this {parent} has no such setting; choose another by {parent}={others}"
    choose = f". {_choose(name, keys, f'{parent}.')}" if keys else ""
    return f"{key}=... is unknown{choose}{more}"


def _elsewhere(name: str, cfg: DictConfig) -> str | None:
    """The key that is called so in just one group, or in other programs."""
    parts = [g for g in groups() if isinstance(node := OmegaConf.select(cfg, g), DictConfig) and name in node]
    return f"{parts[0]}.{name}" if len(parts) == 1 else ELSEWHERE.get(name)


def _choose(name: str, valid: Sequence[str], prefix: str = "", meant: str | None = None) -> str:
    close = [prefix + v for v in get_close_matches(name, valid, n=1)]
    guess = f"Did you mean {meant or close[0]}? " if meant or close else ""
    return f"{guess}Choose from {', '.join(prefix + v for v in sorted(valid))}"
