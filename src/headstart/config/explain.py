"""Hydra's complaints in one to three lines: what came, what was expected and what to type."""

import re
import shlex
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from headstart.config.grammar import key_of, override_value, top_key_of
from headstart.config.groups import composed, groups, options
from headstart.config.instantiate import takes
from headstart.config.schema import ANNOTATIONS
from headstart.config.search_path import as_typed, given_search_path
from headstart.errors import first_line
from headstart.typed import expected, shown

NULL_IN_CHOICE = re.compile(r"(.*=)choice\((.*\bnull\b.*)\)")
QUOTES = "\"'"
SEE_VALUES = "headstart --cfg job shows values that work"
ELSEWHERE = {
    "learning_rate": "lr",
    "pretrained": "model.weights=imagenet",
    "momentum": "optimizer=sgd optimizer.momentum",
    "gpu": "device=cuda",
    "num_workers": "threads",
    "seeds": "confirm_seeds",
    "workers": "jobs",
}  # keys by the names that other programs give them
_ABSENT = object()


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
        quotes = "write key=value, with quotes where the value holds , = or spaces"
        return f"{shown(error.override)!r} is not understood; {quotes}"
    if found := re.match(r"Ambiguous value for argument '(.*)'", text.strip()):
        return f"{found[1]} is several values; add -m to sweep over them: headstart -m {shlex.join(as_typed(words))}"
    if found := re.match(r"Could not override '(.*?)'", text):
        return unknown_key(found[1], words)
    if found := re.match(r"Could not delete (?:from config\. )?'(.*?)'", text):
        return f"~{found[1]}: there is no such key to take out; leave it out"
    if found := re.match(r"Sweeping over Hydra's configuration is not supported : '(.*)'", text):
        key, _, value = found[1].partition("=")
        own = _searched_by_itself(found[1])
        return f"{found[1]}: write {shlex.quote(own or f'{key}={override_value(value)}')}" + (own and " to search it")
    if found := re.match(r"Error merging override (.*)", text):
        return (
            _single_value(found[1])
            or refused_value(found[1])
            or f"{found[1]}: {first_line(error.__cause__)}; {SEE_VALUES}"
        )
    if found := re.search(r"In '(search/\w+)'.*\nKey '(\w+)' not in '(\w+)SamplerConfig'", text):
        search, key, sampler = found[1].replace("/", "="), found[2], found[3].lower()
        return (
            f"{search} sets {key} of its own sampler, which {sampler} has not; other samplers go with search=random: "
            f"search=random hydra/sweeper/sampler={sampler} (a grid: search=decades)"
        )
    kept = [line.strip() for line in text.splitlines() if line.strip()]
    return "\n".join(kept[:3])


def _single_value(word: str) -> str | None:
    """What to write in place of a setting of a top-level key that has none."""
    top = top_key_of(word)
    return _no_settings(top, key_of(word)) if key_of(word) != top and ANNOTATIONS.get(top, Any) is not Any else None


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
    group, _, name = wanted.partition("/") if wanted.partition("/")[0] in groups() else wanted.rpartition("/")
    more = ", or any network of timm by model=timm model.name=..." if group == "model" else ""
    return f"{group}={shown(name)} is unknown. {_choose(name.removesuffix('.yaml'), valid)}{more}"


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
    above, _, last = parent.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    if not isinstance(node, DictConfig):
        known = OmegaConf.select(cfg, above) if above else cfg
        return _no_settings(parent, key) if last in known else unknown_key(parent, words)
    keys = [str(k) for k in node if not str(k).startswith("_")]
    if name in keys:
        return _taken_away(key, words)
    if not parent:
        return f"{key}=... is unknown. {_choose(name, [*keys, 'experiments'], meant=_elsewhere(name, cfg))}"
    return _unknown_setting(key, node, [k for k in keys if f"{parent}.{k}" != "optimizer.lr"])  # which is set by lr


def _no_settings(parent: str, key: str) -> str:
    return f"{key}=...: {parent} is one value without settings of its own; write {parent}=..."


def _taken_away(key: str, words: Sequence[str]) -> str:
    """What to type for a key that there would be but for another of the words, such as budget.pruner=null."""
    others = [word for word in words if key.startswith(f"{key_of(word)}.") or word == f"~{key}"]
    there = f"{others[-1]} leaves nothing of it" if others else "something typed beside it leaves nothing of it"
    return f"{key}=... cannot be set: {there}; leave one of them out"


def _unknown_of_hydra(key: str, words: Sequence[str]) -> str:
    """As `unknown_key`, of Hydra's own part; params are a mapping that grows by a plus."""
    if adding := [word for word in words if key_of(word).startswith("hydra.sweeper.params")]:
        return f"{adding[0]}: write {_searched_by_itself(adding[0]) or f'+{adding[0]}'} to search a further key"
    try:
        cfg = composed((word for word in words if word.startswith("hydra/")), hydra=True)
    except HydraException:
        cfg = composed([], hydra=True)
    typed = [key_of(word) for word in words if key_of(word).startswith("hydra.")] or [key]
    wrong = next((k for k in typed if OmegaConf.select(cfg, k, default=_ABSENT) is _ABSENT), typed[0])
    while not isinstance(node := OmegaConf.select(cfg, wrong.rpartition(".")[0]), DictConfig):
        wrong = wrong.rpartition(".")[0]  # of a.b.c with no a.b, that is to be mended
    parent, _, name = wrong.rpartition(".")
    if name in node:
        return _no_settings(wrong, next(k for k in typed if k.startswith(wrong)))
    keys = [str(k) for k in node if not str(k).startswith("_")]
    if not keys:
        return f"{wrong}=...: this {parent} has no settings; choose another by {parent.replace('.', '/')}=..."
    return f"{wrong}=... is unknown. {_choose(name, keys, f'{parent}.')}"


def _searched_by_itself(word: str) -> str:
    """The override that searches a setting of a group, for which hydra.sweeper.params has no place; "" for others."""
    key, _, value = word.lstrip("+").removeprefix("hydra.sweeper.params.").partition("=")
    return f"{key}={value.strip(QUOTES)}" if "." in key and not key.startswith("hydra.") else ""


def _unknown_setting(key: str, node: DictConfig, keys: Sequence[str]) -> str:
    """What to type for a key that is not among the `keys` of its node; a library's class takes more than these."""
    parent, _, name = key.rpartition(".")
    meant, more = ELSEWHERE.get(name, name if name in ANNOTATIONS else None), ""
    for part, within in ((node.get("estimator"), f"{parent}.estimator"), (node, parent)):
        target = part.get("_target_") if isinstance(part, DictConfig) else None
        if target and name in part:
            meant = f"{within}.{name}"
        elif target and not target.startswith("headstart.") and takes(target, name):
            meant, more = None, f"; +{within}.{name}=... sets another argument of {target}"
    if not keys and not more and parent in groups():
        others = ", ".join(options(parent))
        return f"{key}=...: this {parent} has no such setting; choose another by {parent}={others}"
    choose = f". {_choose(name, keys, f'{parent}.', meant)}" if keys else ""
    return f"{key}=... is unknown{choose}{more}"


def _elsewhere(name: str, cfg: DictConfig) -> str | None:
    """The key that is called so in just one group, or in other programs."""
    parts = [g for g in groups() if isinstance(node := OmegaConf.select(cfg, g), DictConfig) and name in node]
    return f"{parts[0]}.{name}" if len(parts) == 1 else ELSEWHERE.get(name)


def _choose(name: str, valid: Sequence[str], prefix: str = "", meant: str | None = None) -> str:
    close = [prefix + v for v in get_close_matches(name, valid, n=1)]
    guess = f"Did you mean {meant or close[0]}? " if meant or close else ""
    return f"{guess}Choose from {', '.join(prefix + v for v in sorted(valid))}"
