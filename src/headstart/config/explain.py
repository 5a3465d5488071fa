"""Hydra's complaints in one to three lines: what came, what was expected and what to type."""

import re
import shlex
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from headstart.config.grammar import key_of, override_value, top_key_of
from headstart.config.groups import composed, groups, options
from headstart.config.instantiate import takes
from headstart.config.network_names import library_of
from headstart.config.schema import ANNOTATIONS
from headstart.config.search_path import as_typed, given_search_path
from headstart.errors import first_line
from headstart.typed import expected, shown

NULL_IN_CHOICE = re.compile(r"(.*=)choice\((.*\bnull\b.*)\)")
QUOTES = "\"'"
LONGEST_QUOTED = 200  # characters of a word that a message repeats in quotes
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
LAUNCHERS = {"joblib": "cluster", "submitit_local": "cluster", "submitit_slurm": "cluster", "ray": "ray"}  # extras


def explain(error: HydraException, words: Sequence[str]) -> str:
    """What is wrong with a configuration that Hydra could not compose; words: of the command line."""
    text = str(error)
    if isinstance(error, MissingConfigException) and error.options is not None:
        return unknown_option(str(error.missing_cfg_file), error.options)
    if isinstance(error, OverrideParseException):
        if found := NULL_IN_CHOICE.fullmatch(error.override):
            return f"{error.override}: Hydra's choice(...) takes no null, but a plain list does: {found[1]}{found[2]}"
        if error.override in options("experiments"):
            chosen = as_typed([*given_search_path(), f"experiments={error.override}"])
            return f"{error.override!r} is a study; start it by {shlex.join(['headstart', '-m', *chosen])}"
        quotes = "write key=value, with quotes where the value holds , = or spaces"
        return f"{shown(error.override)!r} is not understood; {quotes}{_quoted(str(error.override))}"
    if isinstance(error, InstantiationException):
        found = re.search(r"Target '(.{1,100}?)'", text)
        key = re.search(r"full_key: (\S{1,100})", text)
        what = f"_target_={found[1]}" if found else "its _target_"
        return f"{key[1] if key else 'hydra'}: {what} may not be called from a configuration; leave it out"
    if found := re.match(r"Ambiguous value for argument '(.*)'", text.strip()):
        return f"{found[1]} is several values; add -m to sweep over them: headstart -m {shlex.join(as_typed(words))}"
    if found := re.match(r"Could not override '(.*?)'", text):
        key, inner = found[1], str(getattr(error.__cause__, "full_key", ""))
        if key == "hydra.sweeper.arms" and inner.startswith(f"{key}."):
            arm = inner.removeprefix(f"{key}.")
            more = "+arms=... adds arms to it, and ~arms.NAME takes one out"
            return f"arms=...: the study has no arm {arm} to change; {more}"
        return unknown_key(inner if inner.startswith(f"{key}.") else key, words)
    if found := re.match(r"Could not delete (?:from config\. )?'(.*?)'", text):
        if found[1].startswith("hydra.sweeper.arms."):
            return f"~{found[1].removeprefix('hydra.sweeper.')}: the study has no such arm to take out; leave it out"
        return f"~{found[1]}: there is no such key to take out; leave it out"
    if found := re.match(r"Sweeping over Hydra's configuration is not supported : '(.*)'", text):
        key, _, value = found[1].partition("=")
        own = _searched_by_itself(found[1])
        return f"{found[1]}: write {shlex.quote(own or f'{key}={override_value(value)}')}" + (own and " to search it")
    if found := re.match(r"Error merging override (.*)", text):
        return refused_value(found[1]) or f"{found[1]}: {first_line(error.__cause__)}; {SEE_VALUES}"
    if found := re.search(r"In '(search/\w+)'.*\nKey '(\w+)' not in '(\w+)SamplerConfig'", text):
        return _other_sampler(found[1].replace("/", "="), found[2], found[3].lower())
    kept = [line.strip() for line in text.splitlines() if line.strip()]
    return "\n".join(kept[:3]) or f"the configuration cannot be composed: {first_line(error.__cause__ or error)}"


def _other_sampler(search: str, key: str, sampler: str) -> str:
    """What to type in place of a sampler that has no such key."""
    if search == "search=random":
        return (
            f"hydra/sweeper/sampler={sampler} takes no {key}, and what a study draws has to be repeatable; "
            "take another sampler of Optuna's, such as gp or nsgaii"
        )
    return (
        f"{search} sets {key} of its own sampler, which {sampler} has not; other samplers go with search=random: "
        f"search=random hydra/sweeper/sampler={sampler} (a grid: search=decades)"
    )


def _quoted(word: str) -> str:
    """The word with its value in quotes, as the shell takes it, where that is one that Hydra understands."""
    key, equals, value = word.partition("=")
    if not equals or not value or set(value) & {*QUOTES, "{", "["} or len(word) > LONGEST_QUOTED:
        return ""
    return f": {shlex.quote(f'{key}={QuotedString(value, Quote.double).with_quotes()}')}"


def refused_value(word: str) -> str | None:
    """What a typed key of the top level takes, where the word sets it, or something in it, to something else."""
    key, top = key_of(word), top_key_of(word)
    annotation = ANNOTATIONS.get(top, Any)
    if annotation is Any:
        return None
    return f"{word}: expected {expected(annotation)}" if key == top else _no_settings(top, key)


def explain_value(error: OmegaConfBaseException) -> str:
    """What is wrong with a value that OmegaConf could not read, and where to see the ones that work."""
    where = f"{error.full_key}: " if error.full_key else ""  # not in all of OmegaConf's walks
    return f"{where}{first_line(error)}; {SEE_VALUES}"


def unknown_option(wanted: str, valid: Sequence[str]) -> str:
    """Name the options that there are beside an unknown one; wanted: `group/option`."""
    group, _, name = wanted.partition("/") if wanted.partition("/")[0] in groups() else wanted.rpartition("/")
    more = ", or any network of timm by model=timm model.name=..." if group == "model" else ""
    if group == "model" and (known := library_of(name)) is not None:
        chosen = f"model={known[0]} model.name={known[1]}"
        arms = shlex.quote(f"arms={{cnn: model=cnn, {known[1]}: {chosen}}}")
        return f"{group}={shown(name)} is unknown. {known[0]} has it: write {chosen}, or as one of several {arms}"
    if group == "hydra/launcher" and name in LAUNCHERS:
        return f"{group}={name} needs a plugin that is not installed: pip install 'headstart[{LAUNCHERS[name]}]'"
    return f"{group}={shown(name)} is unknown. {_choose(name.removesuffix('.yaml'), valid)}{more}"


def unknown_key(key: str, words: Sequence[str]) -> str:
    """Name the keys that there are beside an unknown one; `a.b` is looked for among those of `a`.

    words: of the command line, as the options chosen there say which keys there are.
    """
    of_hydra = top_key_of(key) == "hydra"
    if of_hydra and (adding := [word for word in words if key_of(word).startswith("hydra.sweeper.params")]):
        return f"{adding[0]}: write {_searched_by_itself(adding[0]) or f'+{adding[0]}'} to search a further key"
    try:
        # Options alone say which keys there are, and of several arms the first will do.
        chosen = [word for word in words if (word.startswith("hydra/") if of_hydra else key_of(word) in groups())]
        cfg = composed((word.partition(",")[0] for word in chosen), hydra=of_hydra)
    except HydraException:  # something else is wrong, too
        return f"{key}=... is unknown; headstart --cfg job shows the keys"
    wrong = key
    while (node := _mapping(cfg, wrong.rpartition(".")[0])) is None:
        wrong = wrong.rpartition(".")[0]  # of a.b.c with no a.b, that is to be mended
    if wrong.rpartition(".")[2] not in node:
        return _unknown_setting(wrong, node)
    return _taken_away(key, words) if wrong == key else _no_settings(wrong, key)


def _mapping(node: DictConfig, key: str) -> DictConfig | None:
    """What lies under a key of a node, where that is a mapping; the node itself for ""."""
    found = OmegaConf.select(node, key, throw_on_resolution_failure=False)
    return found if isinstance(found, DictConfig) else None


def _no_settings(parent: str, key: str) -> str:
    return f"{key}=...: {parent} is one value without settings of its own; write {parent}=..."


def _taken_away(key: str, words: Sequence[str]) -> str:
    """What to type for a key that there would be but for another of the words, such as budget.pruner=null."""
    others = [word for word in words if key.startswith(f"{key_of(word)}.") or word == f"~{key}"]
    there = others[-1] if others else "something typed beside it"
    return f"{key}=... cannot be set: {there} leaves nothing of it; leave one of them out"


def _searched_by_itself(word: str) -> str:
    """The override that searches a setting of a group, for which hydra.sweeper.params has no place; "" for others."""
    key, _, value = word.lstrip("+").removeprefix("hydra.sweeper.params.").partition("=")
    return f"{key}={value.strip(QUOTES)}" if "." in key and not key.startswith("hydra.") else ""


def _unknown_setting(key: str, node: DictConfig) -> str:
    """What to type for a key that is none of its node's, which is the whole configuration for a key without a dot.

    It may be one of a part of that node, or one that other programs call so; a library's class takes more than these.
    """
    parent, _, name = key.rpartition(".")
    within, more = f"{parent}." if parent else "", ""
    keys = [str(k) for k in node if not str(k).startswith("_") and f"{within}{k}" != "optimizer.lr"]  # set by lr
    nodes = {f"{within}{k}": part for k in keys if (part := _mapping(node, k)) is not None}
    inside = [f"{place}.{name}" for place, part in nodes.items() if name in part]
    meant = inside[0] if len(inside) == 1 else ELSEWHERE.get(name, name if name in ANNOTATIONS else None)
    for place, part in ({parent: node} | nodes).items() if parent else ():
        target = part.get("_target_") or "headstart."
        if not target.startswith("headstart.") and takes(target, name):
            meant, more = None, f"; +{place}.{name}=... sets another argument of {target}"
    if not keys and not more and parent in groups():
        return f"{key}=...: this {parent} has no such setting; choose another by {parent}={', '.join(options(parent))}"
    if not keys and not more and parent.startswith("hydra."):
        return f"{key}=...: this {parent} has no settings; choose another by {parent.replace('.', '/')}=..."
    choose = _choose(name, keys if parent else [*keys, "experiments"], within, meant)
    return f"{key}=... is unknown{f'. {choose}' if keys else ''}{more}"


def _choose(name: str, valid: Sequence[str], prefix: str = "", meant: str | None = None) -> str:
    close = [prefix + v for v in get_close_matches(name, valid, n=1)]
    guess = f"Did you mean {meant or close[0]}? " if meant or close else ""
    return f"{guess}Choose from {', '.join(prefix + v for v in sorted(valid))}"
