"""From configuration and command line to the plan of a sweep: its arms, their search, and what is said of it."""

import hashlib
import json
import math
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.errors import CompactHydraException
from omegaconf import DictConfig, OmegaConf, open_dict

from headstart.config import (
    as_typed,
    check_keys,
    check_node,
    check_values,
    explain,
    frozen_epochs,
    key_of,
    keys_without_effect,
    override_value,
    refuse_deletion,
    study_file,
)
from headstart.errors import UserError
from headstart.statistics import rungs
from headstart.store import check_figures
from headstart.sweep.arms import (
    Arm,
    SortedOverrides,
    build_arms,
    replace_overrides,
    sort_overrides,
    with_models_search,
)
from headstart.sweep.fingerprint import begun_folds, fingerprint_of
from headstart.sweep.pruners import make_pruner
from headstart.sweep.samplers import try_sampler
from headstart.sweep.search_space import (
    bounds,
    extremes,
    grid,
    linear_learning_rate,
    searched_by_model,
)
from headstart.sweep.settings import SweeperSettings, plain
from headstart.typed import Share, refusal

FIRST_LOOK = 5  # seeds
SEEDS_MORE = 2  # for each further look


@dataclass(frozen=True)
class Plan:
    """What a sweep will do; nothing is opened or written for it."""

    settings: SweeperSettings
    config: DictConfig  # the sweep's, with the name that an unnamed one was given
    fixed: list[str]  # overrides from the command line that all arms share
    arms: list[Arm]
    composed: dict[str, DictConfig]  # each arm's configuration, by its name
    compose: Callable[[str, list[str]], DictConfig]  # from whose it is, for the error, and overrides
    n_trials: int
    fingerprint: dict[str, Any]
    chosen_folds: tuple[int, ...] = ()  # into which pictures are dealt out that nobody typed: arms of few pictures
    chosen: tuple[str, ...] = ()  # overrides that nobody typed: what fits `minutes`
    in_minutes: tuple[str, ...] = ()  # what they buy, in lines

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return Path(self.config.hydra.sweep.dir)

    @property
    def launcher(self) -> str:
        """The chosen hydra/launcher."""
        return self.config.hydra.runtime.choices["hydra/launcher"]

    @property
    def jobs(self) -> int:
        """How many runs go on at a time, in processes or threads."""
        return max(self.config.jobs, self.settings.n_jobs)

    def arm(self, name: str) -> Arm:
        """The arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)

    @property
    def looks(self) -> list[int]:
        """With how many seeds the arms will be compared: once, or again and again while a pair is undecided.

        Of folds that nobody typed all are used equally often, where nobody typed how many seeds.
        """
        seeds, most = self.settings.confirm_seeds, self.config.confirm_seeds_max
        step = math.lcm(*self.chosen_folds)
        if seeds != "auto":
            typed = any(key_of(word) == "confirm_seeds" for word in self.config.hydra.overrides.task)
            return [seeds if typed else math.ceil(seeds / step) * step]
        looks = list(range(math.ceil(FIRST_LOOK / step) * step, most, math.ceil(SEEDS_MORE / step) * step))
        return [*looks, most]

    def words(self) -> list[str]:
        """The command line of this sweep without -m, with the name that an unnamed one was given."""
        typed = self.config.hydra.overrides
        own = [word for word in typed.hydra if not word.startswith("hydra.mode=")]
        own = [self.own_folder() if _is_computed(word) else word for word in own]
        task = [word for word in typed.task if word not in self.chosen]
        named = replace_overrides(task, [f"name={override_value(self.config.name)}"])
        return as_typed([*own, *named])

    def own_folder(self) -> str:
        """The override that names this folder in other processes and later, where one with ${now:...} was typed."""
        computed = any(map(_is_computed, self.config.hydra.overrides.hydra))
        return f"hydra.sweep.dir={override_value(str(self.folder))}" if computed else ""

    def epochs(self) -> set[int]:
        """Numbers of epochs that the arms have; none where all of them are fitted in one go."""
        found = set()
        for arm in self.arms:
            if "epochs" not in keys_without_effect(cfg := self.composed[arm.name]):
                found |= set(extremes(arm.space["epochs"])) if "epochs" in arm.space else {cfg.epochs}
        return found

    def folds(self) -> dict[str, int]:
        """Into how many folds each arm's pictures are divided, by its name; those that are not are left out."""
        found = {name: cfg.data.get("folds") for name, cfg in self.composed.items()}
        return {name: folds for name, folds in found.items() if isinstance(folds, int)}

    def fold_of(self, arm: str, seed: int) -> int | None:
        """The fold that validates the arm's confirmation with that seed, the same for all arms; None without folds."""
        folds = self.folds().get(arm)
        return (seed - self.config.seed - 1) % folds if folds else None

    def question(self) -> str | None:
        """The first comment of the experiment's file: what the study asks."""
        chosen = self.config.hydra.runtime.choices.get("experiments")
        if not chosen:
            return None
        path = study_file(chosen)
        lines = [] if path is None else path.read_text(errors="replace").splitlines()
        return next((line.lstrip("# ") for line in lines if line.startswith("# ") and "@package" not in line), None)

    def notes(self) -> list[str]:
        """What is unusual about the budget."""
        notes, asked = [*self.in_minutes], self.settings.n_trials
        for size in sorted({arm.settings for arm in self.arms if arm.settings < asked}):
            few = [arm.name for arm in self.arms if arm.settings == size]
            if any(arm.space for arm in self.arms):
                whose = "every arm" if len(few) == len(self.arms) else f"arm {few[0]}" if len(few) == 1 else ""
                whose = whose or f"each of the arms {', '.join(few)}"
                what = "setting, so 1 trial" if size == 1 else f"settings, so {size:g} trials"
                notes.append(f"{whose} has {size:g} different {what}, not {asked}")
        for folds in sorted(set(self.chosen_folds)):
            notes.append(f"few pictures: each of {folds} folds of them validates in turn (data.folds=null: one split)")
        for folds in sorted(set(self.folds().values())):
            if uneven := [str(seeds) for seeds in self.looks if seeds % folds]:
                seeds = "1 seed is" if uneven == ["1"] else f"{' or '.join(uneven)} seeds are"
                notes.append(f"{seeds} no multiple of {folds} folds: not every fold is used equally often")
        return notes

    def facts(self) -> dict[str, Any]:
        """What the report wants to know of a study beyond its runs: keys of study.json beside the fingerprint."""
        choices, figures = self.config.hydra.runtime.choices, plain(self.config.reported)
        facts = {
            "name": self.config.name,
            "experiment": choices.get("experiments"),
            "question": self.question(),
            "command": shlex.join(["headstart", "-m", *self.words()]),
            "n_trials": self.n_trials,
            "settings": {arm.name: int(arm.settings) for arm in self.arms if math.isfinite(arm.settings)},
            "confirm_seeds": self.looks[0] if len(self.looks) == 1 else self.settings.confirm_seeds,
            "looks": self.looks,
            "planned_seeds": self.looks[-1],
            "margin": self.config.margin,
            "minutes": self.config.minutes,
            "seed": self.config.seed,
            "arm_order": [arm.name for arm in self.arms],
            "spaces": {arm.name: {key_of(key): bounds(d) for key, d in arm.space.items()} for arm in self.arms},
            "unpruned": self.settings.pruner is None,
            "sampler": str(choices.get("search")),
        }
        if figures is not None:  # of others, which the experiment's file holds
            check_figures(figures)
            facts["reported"] = figures
        return facts


def make_plan(settings: SweeperSettings, loader: ConfigLoader, config: DictConfig, words: list[str]) -> Plan:
    """The plan of a sweep; words: its overrides as typed. Composing every arm finds its mistakes before anything runs.

    An unnamed sweep is given a name in `config`, by its fingerprint. Raises UserError for what a user has to mend.
    """
    searched, _ = searched_by_model(plain(config.model.get("search")))
    given = sort_overrides(words, settings.params, searched)
    arms = build_arms(settings.arms, given, settings.first_points, str(config.hydra.runtime.choices["model"]))
    compose = partial(_compose, loader, config, given.fixed)
    for word in (word for arm in arms for word in arm.overrides):
        refuse_deletion(word)
    composed = {arm.name: compose(f"arm {arm.name}", arm.overrides) for arm in arms}
    arms = [_with_models_search(arm, composed[arm.name], given) for arm in arms]
    arms = [_with_first_points(arm, settings.is_grid) for arm in arms]
    n_trials = int(min(settings.n_trials, max(arm.settings for arm in arms)))
    for warning in dict.fromkeys(filter(None, (linear_learning_rate(arm.space) for arm in arms))):
        print(f"warning: {warning}", file=sys.stderr)
    for cfg in composed.values():
        check_keys(cfg)
        check_values(cfg)
    for arm in arms:
        _refuse_own_fold(arm, composed[arm.name])
    arms = [replace(arm, rungs=_rungs(arm, composed[arm.name])) for arm in arms]
    make_pruner(settings.pruner)  # so that a mistake in it is found now, as in the sampler
    try_sampler(settings, arms[0].space, config.seed)
    fingerprint = fingerprint_of(settings, arms, composed)
    with open_dict(config):
        told_apart = json.dumps(fingerprint) + (f" {config.minutes}" if config.minutes else "")
        config.name = config.name or "adhoc-" + hashlib.sha256(told_apart.encode()).hexdigest()[:8]
    folds = _folds_chosen(Path(config.hydra.sweep.dir), composed)
    arms = [replace(arm, overrides=[*arm.overrides, *_folds_word(folds, arm.name)]) for arm in arms]
    composed |= {arm.name: compose(f"arm {arm.name}", arm.overrides) for arm in arms if arm.name in folds}
    chosen = tuple(number for number in folds.values() if number)
    if folds:
        fingerprint = fingerprint_of(settings, arms, composed)
    return Plan(settings, config, given.fixed, arms, composed, compose, n_trials, fingerprint, chosen)


def _folds_chosen(folder: Path, composed: Mapping[str, DictConfig]) -> dict[str, int | None]:
    """Into how many folds the arms' pictures are dealt out, of those that leave it to their source.

    As the study began, or an arm of it that is new as the others; in a new study as their pictures are.
    """
    begun, found = begun_folds(folder), {}
    for name, cfg in composed.items():
        if cfg.data.get("folds") == "auto":
            found[name] = _folds_in_use(cfg) if begun is None else begun.get(name, next(iter(begun.values()), None))
    return found


def _folds_in_use(cfg: DictConfig) -> int | None:
    from headstart.training import folds_in_use  # torch: only now

    node = OmegaConf.to_container(cfg.data, resolve=True)
    check_node("data", node)
    return folds_in_use(node)


def _folds_word(folds: Mapping[str, int | None], arm: str) -> list[str]:
    return [f"data.folds={folds[arm] or 'null'}"] if arm in folds else []


def _is_computed(word: str) -> bool:
    return key_of(word) == "hydra.sweep.dir" and "${" in word


def _compose(
    loader: ConfigLoader, config: DictConfig, fixed: list[str], whose: str, overrides: list[str]
) -> DictConfig:
    """The configuration with these overrides on top of what is fixed for all arms."""
    words = replace_overrides(fixed, overrides)
    try:
        return loader.load_sweep_config(config, words)
    except CompactHydraException as error:
        raise UserError(f"{whose}: {explain(error, words)}") from None


def _refuse_own_fold(arm: Arm, cfg: DictConfig) -> None:
    """Which fold validates is a study's to say: equal for all trials, another for each confirmation."""
    given = "a sweep's searches are validated on fold 0, its confirmations on one fold after the other"
    for key in ("data.fold", "data.folds"):
        if key in arm.space:
            raise UserError(f"arm {arm.name} searches {key}: {given}; give one value, or a list of data.folds")
    if fold := cfg.data.get("fold"):
        raise UserError(f"data.fold={fold}: {given}; leave it out")


def _rungs(arm: Arm, cfg: DictConfig) -> tuple[int, ...]:
    if {"epochs", "schedule.warmup", "model.unfreeze_epoch"} & arm.space.keys() or "epochs" in keys_without_effect(cfg):
        return ()
    warmup = cfg.schedule.get("warmup", 0)
    is_share = refusal("schedule.warmup", warmup, Share) is None  # what is wrong with it says who makes the schedule
    return tuple(rungs(cfg.epochs, warmup if is_share else 0, frozen_epochs(cfg)))


def _with_models_search(arm: Arm, cfg: DictConfig, given: SortedOverrides) -> Arm:
    return with_models_search(arm, plain(cfg.model.get("search")), given, keys_without_effect(cfg))


def _with_first_points(arm: Arm, is_grid: bool) -> Arm:
    """The arm with a grid as points that are tried in order."""
    return replace(arm, first_points=grid(arm.space, arm.first_points), is_grid=True) if is_grid else arm
