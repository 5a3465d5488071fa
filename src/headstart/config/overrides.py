"""What was typed, refused where it can't be meant."""

import itertools
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence

from omegaconf import DictConfig, OmegaConf

from headstart.config.explain import unknown_key, unknown_option
from headstart.config.grammar import key_of, override_value, top_key_of
from headstart.config.groups import groups, options, study_file
from headstart.config.schema import KEYS, OF_A_SWEEP, check_complete, without_hydra
from headstart.config.search_path import as_typed
from headstart.errors import UserError
from headstart.store import valid_name
from headstart.typed import shown

MULTIRUN = {"-m", "--multirun"}
NAMES = ("name", "arm")
NAMED = re.compile(rf"(\+*(?:{'|'.join(NAMES)})=)(?!null$)([\w.-]+)")  # a text, whatever it looks like
PLACES = ("hydra.run.dir", "hydra.sweep.dir", "resume", "data.root", "data.cache")  # Python takes "" for where it is
LONGEST_NAME = 250  # bytes of a file's name, without .yaml
MOST_DIGITS = 300  # of a number; a float holds 308 before its point, and Python reads 4,300
DEEPEST = 50  # levels of brackets; Hydra's parser takes about 200
RESERVED = {"runs": "single runs", "comparison": "reports on several studies", "tables": "tables"}  # no study's name


# ---- before Hydra reads it


def check_words(words: Sequence[str]) -> None:
    """Refuse, of the command line, what Hydra stumbles over or takes without a word. Raises UserError."""
    for word in words:
        key, value = key_of(word.lstrip("-")), word.partition("=")[2]
        _check_readable(word, key)
        if word.startswith("-") and top_key_of(key) in (*KEYS, "experiments"):
            raise UserError(f"{word} is not understood; write {key}=... without dashes")
        refuse_deletion(word)
        if key in PLACES and "=" in word and not value.strip("\"'"):
            raise UserError(f"{word}: expected a folder, such as {key}=some/folder")
        if key.startswith("hydra.") and key.endswith("._target_"):
            raise UserError(f"{word}: {key} is Hydra's own; leave it as it is")
        if key in groups() or key == "hydra" or key.startswith("hydra/"):
            _check_option(key, value)
        if key in ("experiments", "search", "budget") and "," in word:
            raise UserError(f"{word}: the arms of a study share {key}; start one study each, with different name=")
    if MULTIRUN & set(words):
        _check_twice(words)


def _check_readable(word: str, key: str) -> None:
    """Refuse what Hydra's parser, or the search for a file of that name, ends at with an error of Python's."""
    if not key and word not in ("-", "--"):
        raise UserError(f"{shown(word)!r} is not understood; write key=value")
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in key.split("/")):
        raise UserError(f"{shown(word)} is not understood: no key is so long")
    if re.search(rf"(\d_?){{{MOST_DIGITS + 1}}}", word):
        raise UserError(f"{shown(word)} is not understood: no number has more than {MOST_DIGITS} digits")
    depth = itertools.accumulate(1 if c in "([{" else -1 if c in ")]}" else 0 for c in word)
    if max(depth, default=0) > DEEPEST:
        raise UserError(f"{shown(word)} is not understood: its brackets are nested more than {DEEPEST} levels deep")


def refuse_deletion(word: str) -> None:
    """Refuse to take a top-level key away, which the code reads. Raises UserError."""
    if word.startswith("~") and (key := key_of(word)) in KEYS:
        none = "another option" if key in groups() else f"{key}=null"
        raise UserError(f"{word}: a run has every key; for none write {none} where it has that")


def quote_names(words: Sequence[str]) -> list[str]:
    """The words, their `name=` and `arm=` in quotes where Hydra would read a number or a truth: 2024_01 is a text."""
    found = [(word, NAMED.fullmatch(word)) for word in words]
    return [f"{named[1]}{override_value(named[2])}" if named else word for word, named in found]


def _check_twice(words: Sequence[str]) -> None:
    """Who gives a sweep two models, or learning rates, wants both; Hydra would take the last without a word."""
    for key in (*groups(), "lr"):
        given = [w.partition("=")[2] for w in words if key_of(w) == key]
        if len(given) > 1:
            raise UserError(f"{key} is given twice; write {key}={','.join(given)} to try both, or leave one out")


def _check_option(group: str, value: str) -> None:
    """Options are names; Hydra stumbles over numbers and truths, and takes null for none."""
    if value.startswith("glob("):
        return
    for option in [value] if value.startswith(("[", "{")) else value.split(","):
        too_long = len(os.fsencode(option)) > LONGEST_NAME
        if too_long or option.endswith(".yaml") or override_value(option) != option:
            if group in groups():
                raise UserError(unknown_option(f"{group}/{option}", options(group)))
            raise UserError(f"{group}={shown(option)}: expected the name of an option")


# ---- once Hydra has composed it


def check_typed(cfg: DictConfig, multirun: bool) -> None:
    """Refuse what was typed but can't mean what the user wants; cfg: as Hydra composed it. Raises UserError."""
    typed = {key_of(o): o for o in [*cfg.hydra.overrides.task, *cfg.hydra.overrides.hydra]}
    check_keys(cfg)
    for kind in NAMES:
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
        check_complete(without_hydra(cfg))


def check_keys(cfg: DictConfig) -> None:
    """Refuse top-level keys that nothing reads, as a plus adds them. Raises UserError."""
    if unknown := [str(k) for k in cfg if k != "hydra" and k not in KEYS]:
        raise UserError(unknown_key(unknown[0], sys.argv[1:]))


def _check_sweep(cfg: DictConfig, typed: Mapping[str, str]) -> None:
    for key in ("seed", "split_seed"):
        if any(c in typed.get(key, "") for c in ",("):
            raise UserError(f"{typed[key]}: seeds are not searched over; confirm_seeds=5 repeats the best setting")
    if cfg.name in RESERVED:
        raise UserError(f"name={cfg.name}: that folder of outputs/ is for {RESERVED[cfg.name]}; give another name")
    if cfg.minutes is not None and cfg.hydra.runtime.choices.get("hydra/sweeper") != "arms":
        raise UserError(f"minutes={cfg.minutes:g} is headstart's own sweeper's; leave it or hydra/sweeper=... out")
    if "resume" in typed:
        raise UserError(f"{typed['resume']} goes on with a single run; a sweep goes on when its command is given again")


def _check_single(cfg: DictConfig, typed: Mapping[str, str]) -> None:
    of_sweeps = ("hydra.sweep", "hydra/sweep")
    swept = [o for k, o in typed.items() if top_key_of(k) in OF_A_SWEEP or k.startswith(of_sweeps)]
    study = cfg.hydra.runtime.choices.get("experiments")
    if swept or (study and _is_sweep(study)):
        what = swept[0] if swept else f"experiments={study}"
        raise UserError(f"{what} belongs to a sweep; add -m: headstart -m {shlex.join(as_typed(sys.argv[1:]))}")


def _is_sweep(study: str) -> bool:
    path = study_file(study)
    node = OmegaConf.create() if path is None else OmegaConf.load(path)
    entries = " ".join(str(k) for e in node.get("defaults", []) if isinstance(e, DictConfig) for k in e)
    return OmegaConf.select(node, "hydra.sweeper") is not None or "search" in entries or "sweeper" in entries
