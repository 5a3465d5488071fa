"""From Hydra overrides to arms: what is fixed, what is searched inside each arm, and what makes an arm of its own."""

import hashlib
import itertools
import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Override

from headstart.config import DESCRIBING, groups, key_of, options
from headstart.errors import UserError
from headstart.store import valid_name
from headstart.sweep.search_space import (
    FirstPoints,
    Params,
    Point,
    Space,
    contains,
    distribution_of,
    first_points_of,
    parse_overrides,
    refuse_seeds,
    searched_by_model,
    size_of,
    space_of,
)
from headstart.typed import refusal

LONGEST_PART = 40  # characters of what one value gives to an arm's name
LONGEST_NAME = 64  # of all of it, as it names a folder


@dataclass(frozen=True)
class Arm:
    """One thing being compared, with its search space and the points tried first."""

    name: str
    overrides: list[str]
    space: Space
    first_points: list[Point] = field(default_factory=list)
    own_params: bool = False  # the study gives this arm a space of its own, which its model's file doesn't replace
    rungs: tuple[int, ...] = ()  # after which epochs its trials are compared; none: not all have the same
    is_grid: bool = False  # the first points are all that is tried

    @property
    def epochs(self) -> int | None:
        """Of each of its trials; None: they have none, or not all the same."""
        return self.rungs[-1] if self.rungs else None

    @property
    def settings(self) -> float:
        """How many different ones there are to try; infinite with a range without steps."""
        return len(self.first_points) if self.is_grid and self.space else size_of(self.space)


@dataclass(frozen=True)
class SortedOverrides:
    """The overrides of a sweep's command line, sorted by what each of them means."""

    fixed: list[str] = field(default_factory=list)
    axes: list[Override] = field(default_factory=list)  # comma lists that become arms
    space: Space = field(default_factory=dict)
    swept: Space = field(default_factory=dict)  # the part of `space` that was typed


def replace_overrides(first: list[str], second: list[str]) -> list[str]:
    """Both lists, without those of the first whose key the second sets too (Hydra refuses a group given twice)."""
    keys = {key_of(o) for o in second}
    return [o for o in first if key_of(o) not in keys] + second


def sort_overrides(words: list[str], params: dict[str, Any], searched: Collection[str] = ()) -> SortedOverrides:
    """Sort the overrides of a sweep; params: the configured search space, key to Hydra sweep syntax.

    A list for a key in params, or `searched` by the model that all arms share, narrows the search; any other list is an
    axis of arms; ranges and intervals are searched. Raises UserError for lists of seeds and of what arms share.
    """
    given = SortedOverrides(space=space_of(params))
    for override in parse_overrides(list(map(_without_glob, words)), "the sweep"):
        key = key_of(override.get_key_element())
        if not override.is_sweep_override():
            if key in given.space and key != "lr":  # whose range is any study's, not one that was asked for
                raise UserError(
                    f"{override.input_line}: hydra.sweeper.params searches {key}; leave one of them out, or narrow the "
                    f"search by {key}=A,B"
                )
            given.fixed.append(override.input_line)
            given.space.pop(key, None)
            continue
        refuse_seeds(override)
        if key in DESCRIBING or key.startswith("budget."):
            raise UserError(f"{override.input_line}: all arms of a study share {key}; give one value")
        elif isinstance(override.value(), ChoiceSweep) and key not in params and key not in searched:
            given.axes.append(override)
        else:
            given.swept[override.get_key_element()] = distribution_of(override)
    given.space.update(given.swept)
    return given


def _without_glob(word: str) -> str:
    """`model=cnn,cnn3` of `model=glob(cnn*)`. Raises UserError where nothing is meant by it."""
    key, _, value = word.partition("=")
    if not value.startswith("glob("):
        return word
    (override,) = parse_overrides([word], "the sweep")
    found = override.value().filter(options(key)) if key in groups() else []
    if not found:
        raise UserError(f"{word}: no option of a config group is called so; headstart --help lists them")
    return f"{key}={','.join(found)}"


# ---- arms as configured, times those of the command line


def build_arms(configured: Any, given: SortedOverrides, first_points: Any, fallback: str) -> list[Arm]:
    """The arms of a sweep: as configured, times the command line's axes; one arm called `fallback` without either.

    configured: mapping of arm name to overrides (short form) or to {overrides, params, first_points}, or None.
    first_points: "decades", a list of points, or None. Raises UserError for malformed arms.
    """
    if not isinstance(configured or {}, dict):
        raise UserError(f"hydra.sweeper.arms={configured}: expected {{cnn: model=cnn, big: model=resnet18}}")
    arms = [_configured_arm(str(name), value, given, first_points) for name, value in (configured or {}).items()]
    if not arms:
        arms = [Arm(fallback if not given.axes else "", [], given.space, first_points_of(first_points, given.space))]
    _refuse_what_arms_search_themselves(arms, given)
    arms = [_crossed(arm, values) for arm in arms for values in itertools.product(*map(_axis_values, given.axes))]
    _refuse_names_and_clashes(arms, given)
    return arms


def _configured_arm(name: str, value: Any, given: SortedOverrides, first_points: Any) -> Arm:
    long = {"overrides": value} if isinstance(value, list) else value if isinstance(value, dict) else {}
    unknown = set(long) - {"overrides", "params", "first_points"}
    if unknown or not isinstance(long.get("overrides"), list):
        raise UserError(f'arm {name}: got {value}; expected ["model=cnn"] or {{overrides: [...], params: {{...}}}}')
    for key, annotation in (("overrides", list[str]), ("params", Params), ("first_points", FirstPoints)):
        if refused := refusal(key, long.get(key), annotation):
            raise UserError(f"arm {name}: {refused}")
    for override in parse_overrides(long["overrides"], f"arm {name}"):
        if override.is_sweep_override():
            raise UserError(
                f"arm {name}: {override.input_line} is a sweep; an arm's search space stands in its params: "
                f"{{{override.get_key_element()}: ...}}"
            )
    space = space_of(long["params"] or {}) if "params" in long else dict(given.space)
    own_points = long.get("first_points", [] if "params" in long else first_points)
    for override in long["overrides"]:
        space.pop(key_of(override), None)
    return Arm(name, [str(o) for o in long["overrides"]], space, first_points_of(own_points, space), "params" in long)


def _refuse_what_arms_search_themselves(arms: list[Arm], given: SortedOverrides) -> None:
    words = {key_of(word): word for word in [*given.fixed, *(o.input_line for o in given.axes)]}
    words |= {key: f"{key}=..." for key in given.swept}
    for arm in arms:
        if arm.own_params and (both := sorted(arm.space.keys() & words)):
            raise UserError(
                f"{words[both[0]]}: arm {arm.name} searches {both[0]} itself; leave it out, or out of the arm's params"
            )


def _refuse_names_and_clashes(arms: list[Arm], given: SortedOverrides) -> None:
    for arm in arms:
        valid_name(arm.name, example="arms={cnn_64px: model=cnn}")
        clash = [o for o in given.fixed if key_of(o) in {key_of(x) for x in arm.overrides}]
        if clash:
            raise UserError(
                f"{clash[0]}: arm {arm.name} sets {key_of(clash[0])} itself; leave it out, or choose another study"
            )
    if len({a.name for a in arms}) < len(arms):
        raise UserError(f"arms share a name: {', '.join(a.name for a in arms)}")


def _axis_values(axis: Override) -> list[tuple[str, str]]:
    """(part of the arm's name, override) for each value of a comma list."""
    key, values = axis.get_key_element(), list(axis.sweep_string_iterator())
    before = "" if key in groups() else key_of(key).rpartition(".")[2] + "-"
    names = [before + re.sub(r"[^A-Za-z0-9._-]+", "-", v).strip("-._") for v in values]
    if max(map(len, names)) > LONGEST_PART:
        names = _shortened(before, names, values)
    return [(n, f"{key}={v}") for n, v in zip(names, values, strict=True)]


def _shortened(before: str, names: list[str], values: list[str]) -> list[str]:
    """Names for values that are too long: what a path ends in, where that tells them apart; else cut, with a digest."""
    ends = [re.sub(r"[^A-Za-z0-9._-]+", "-", v.strip("\"'").rpartition("/")[2]).strip("-._") for v in values]
    short = [before + end if "/" in v else name for v, end, name in zip(values, ends, names, strict=True)]
    if len(set(short)) == len(short):
        names = short
    return [cut(name, LONGEST_PART, told_apart_by=value) for name, value in zip(names, values, strict=True)]


def cut(name: str, longest: int, told_apart_by: str) -> str:
    """The name, where it is too long cut off and ended by a digest of what tells it apart."""
    if len(name) <= longest:
        return name
    digest = hashlib.sha256(told_apart_by.encode()).hexdigest()[:6]
    return f"{name[: longest - len(digest) - 1].rstrip('-._')}-{digest}"


def _crossed(arm: Arm, values: tuple[tuple[str, str], ...]) -> Arm:
    """The arm with one value of every axis, each a (part of the name, override)."""
    name = "-".join([n for n in (arm.name,) if n] + [n for n, _ in values])
    name = cut(name, LONGEST_NAME, told_apart_by=name)
    return replace(arm, name=name, overrides=replace_overrides(arm.overrides, [o for _, o in values]))


# ---- a model that brings its own search


def with_models_search(arm: Arm, search: Any, given: SortedOverrides, unused: Collection[str]) -> Arm:
    """The arm with what its model's file searches in place of the learning rate; search: `model.search` as composed.

    The study's params and what was typed win over the file: a range or list of values replaces it, a single value ends
    the search of that key. An arm that the study gives params of its own keeps them. unused: top-level keys without
    effect on the model; they are not searched. Raises UserError where an arm's own params name one.
    """
    idle = [k for k in arm.space if k.partition(".")[0] in unused]
    if arm.own_params:
        if idle:
            raise UserError(f"arm {arm.name}: {idle[0]} of its params has no effect on its model; leave it out")
        return arm
    if search is None:
        return replace(arm, space={k: d for k, d in arm.space.items() if k not in idle})
    space, first_points = searched_by_model(search)
    common = {k: d for k, d in given.space.items() if k != "lr"} | given.swept
    space |= {k: d for k, d in common.items() if k not in idle}
    fixed = {key_of(o) for o in [*given.fixed, *arm.overrides]}
    space = {k: d for k, d in space.items() if k not in fixed}
    inside = [p for p in first_points if all(k in space and contains(space[k], v) for k, v in p.items())]
    return replace(arm, space=space, first_points=inside)
