"""From Hydra overrides to arms: what is fixed, what is searched inside each arm, and what makes an arm of its own."""

import itertools
import math
import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import HydraException
from hydra_plugins.hydra_optuna_sweeper._impl import create_optuna_distribution_from_override
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from headstart.config import DESCRIBING, decades, key_of
from headstart.errors import UserError
from headstart.store import valid_name
from headstart.sweep.study_state import Arm


@dataclass
class Typed:
    """The command line of a sweep, sorted by what each override means."""

    fixed: list[str] = field(default_factory=list)
    space: dict[str, BaseDistribution] = field(default_factory=dict)
    axes: list[Override] = field(default_factory=list)  # comma lists that become arms
    swept: dict[str, BaseDistribution] = field(default_factory=dict)  # the part of `space` that was typed


def replace_overrides(first: list[str], second: list[str]) -> list[str]:
    """Both lists, without those of the first whose key the second sets too (Hydra refuses a group given twice)."""
    keys = {key_of(o) for o in second}
    return [o for o in first if key_of(o) not in keys] + second


def sort_arguments(arguments: list[str], params: dict[str, Any], searched: Collection[str] = ()) -> Typed:
    """Sort the sweep's arguments; params: the configured search space, key to Hydra sweep syntax.

    A list for a key in params, or `searched` by the model that all arms share, narrows the search; any other list is an
    axis of arms; ranges and intervals are searched. Raises UserError for lists of seeds and of what arms share.
    """
    typed = Typed(space=space_of(params))
    for override in _parsed(arguments, "the sweep"):
        key = override.get_key_element().lstrip("+~")
        if not override.is_sweep_override():
            typed.fixed.append(override.input_line)
            typed.space.pop(key, None)
        elif key in ("seed", "split_seed"):
            raise UserError(
                f"{override.input_line}: seeds are not searched over; confirm_seeds=5 repeats the best setting"
            )
        elif key in DESCRIBING or key.startswith("budget."):
            raise UserError(f"{override.input_line}: all arms of a study share {key}; give one value")
        elif isinstance(override.value(), ChoiceSweep) and key not in params and key not in searched:
            typed.axes.append(override)
        else:
            typed.swept[key] = distribution_of(override)
    typed.space |= typed.swept
    return typed


def _parsed(overrides: list[str], where: str) -> list[Override]:
    try:
        return OverridesParser.create().parse_overrides([str(o) for o in overrides])
    except HydraException as error:
        raise UserError(f"{where}: {str(error).splitlines()[0]}; expected key=value, as on the command line") from None


def space_of(params: dict[str, Any]) -> dict[str, BaseDistribution]:
    """Optuna distributions of a mapping from key to Hydra's sweep syntax; a plain value is a space of one."""
    if "choice()" in params.values():
        raise UserError("no power of 10 lies between lr_low and lr_high; widen them, or take another search=")
    overrides = _parsed([f"{k}={v}" for k, v in params.items()], "params")
    return {o.get_key_element(): distribution_of(o) for o in overrides}


def distribution_of(override: Override) -> BaseDistribution:
    """The Optuna distribution of a sweep override, numbers in choices as numbers. Raises UserError for bad bounds."""
    try:
        found = create_optuna_distribution_from_override(override)
    except ValueError as error:
        raise UserError(f"{override.input_line} is no range that can be searched: {error}") from None
    if not isinstance(found, BaseDistribution):
        return CategoricalDistribution([_number(found)])
    if isinstance(found, CategoricalDistribution):
        return CategoricalDistribution([_number(c) for c in found.choices])
    return found


def _number(choice: Any) -> Any:
    """Hydra hands choices over as text; numbers become numbers again, so that tables and first points compare."""
    if isinstance(choice, str):
        for kind in (int, float):
            try:
                return kind(choice)
            except ValueError:
                pass
    return choice


def build_arms(configured: Any, typed: Typed, first_points: Any, fallback: str) -> list[Arm]:
    """The arms of a sweep: as configured, times the command line's axes; one arm called `fallback` without either.

    configured: mapping of arm name to overrides (short form) or to {overrides, params, first_points}, or None.
    first_points: "decades", a list of points, or None. Raises UserError for malformed arms.
    """
    if not isinstance(configured or {}, dict):
        raise UserError(f'hydra.sweeper.arms={configured}: expected {{cnn: ["model=cnn"], big: ["model=resnet18"]}}')
    arms = [_configured_arm(str(name), value, typed, first_points) for name, value in (configured or {}).items()]
    if not arms:
        arms = [Arm(fallback if not typed.axes else "", [], typed.space, points(first_points, typed.space))]
    given = {key_of(o): o for o in [*typed.fixed, *(o.input_line for o in typed.axes)]}
    given |= {key: f"{key}=..." for key in typed.swept}
    for arm in arms:
        if arm.own_params and (both := sorted(arm.space.keys() & given)):
            raise UserError(
                f"{given[both[0]]}: arm {arm.name} searches {both[0]} itself; leave it out, or out of the arm's params"
            )
    arms = [_crossed(arm, cells) for arm in arms for cells in itertools.product(*map(_cells, typed.axes))]
    for arm in arms:
        valid_name(arm.name)
        clash = [o for o in typed.fixed if key_of(o) in {key_of(x) for x in arm.overrides}]
        if clash:
            raise UserError(
                f"{clash[0]}: arm {arm.name} sets {key_of(clash[0])} itself; leave it out, or choose another study"
            )
    if len({a.name for a in arms}) < len(arms):
        raise UserError(f"arms share a name: {', '.join(a.name for a in arms)}")
    return arms


def _configured_arm(name: str, value: Any, typed: Typed, first_points: Any) -> Arm:
    long = {"overrides": value} if isinstance(value, list) else value if isinstance(value, dict) else {}
    unknown = set(long) - {"overrides", "params", "first_points"}
    if unknown or not isinstance(long.get("overrides"), list):
        raise UserError(f'arm {name}: got {value}; expected ["model=cnn"] or {{overrides: [...], params: {{...}}}}')
    for override in _parsed(long["overrides"], f"arm {name}"):
        if override.is_sweep_override():
            raise UserError(
                f"arm {name}: {override.input_line} is a sweep; an arm's search space stands in its params: "
                f"{{{override.get_key_element()}: ...}}"
            )
    space = space_of(long["params"] or {}) if "params" in long else dict(typed.space)
    own_points = long.get("first_points", [] if "params" in long else first_points)
    for override in long["overrides"]:
        space.pop(key_of(override), None)
    return Arm(name, [str(o) for o in long["overrides"]], space, points(own_points, space), "params" in long)


def _cells(axis: Override) -> list[tuple[str, str]]:
    """(part of the arm's name, override) for each value of a comma list."""
    key = axis.get_key_element()
    values = list(axis.sweep_string_iterator())
    short = key.rpartition(".")[2]
    names = [re.sub(r"[^A-Za-z0-9._-]+", "-", v).strip("-._") for v in values]
    if "." in key or any(map(_is_number, values)):
        names = [f"{short}-{n}" for n in names]
    return [(n, f"{key}={v}") for n, v in zip(names, values, strict=True)]


def _is_number(text: str) -> bool:
    return not isinstance(_number(text), str)


def _crossed(arm: Arm, cells: tuple[tuple[str, str], ...]) -> Arm:
    name = "-".join([n for n in (arm.name,) if n] + [n for n, _ in cells])
    overrides = replace_overrides(arm.overrides, [o for _, o in cells])
    return replace(arm, name=name, overrides=overrides)


def points(first_points: Any, space: dict[str, BaseDistribution]) -> list[dict[str, Any]]:
    """The points tried first: `decades` are the powers of 10 within the learning rate's range, or its own choices."""
    if first_points == "decades":
        rate = space.get("lr")
        if isinstance(rate, FloatDistribution):
            return [{"lr": v} for v in decades(rate.low, rate.high)]
        return []
    if not isinstance(first_points or [], list) or not all(isinstance(p, dict) for p in first_points or []):
        raise UserError(f"first_points={first_points}: expected decades or a list of points, such as [{{lr: 1e-3}}]")
    listed = [
        {k: float(v) if isinstance(v, int) and not _is_int(space.get(k)) else v for k, v in p.items()}
        for p in first_points or []
    ]
    for point in listed:
        wrong = [k for k, v in point.items() if k not in space or not _holds(space[k], v)]
        if wrong:
            raise UserError(
                f"first point {point}: {wrong[0]} is not in the search space ({', '.join(space) or 'empty'})"
            )
    return listed


def example(arm: Arm) -> dict[str, Any]:
    """One point of the arm's space: its first one where there is one."""
    first = {k: d.choices[0] if isinstance(d, CategoricalDistribution) else d.low for k, d in arm.space.items()}
    return first | (arm.first_points[0] if arm.first_points else {})


def check_rates(arm: Arm) -> None:
    """Refuse a search over what is no learning rate. Raises UserError."""
    if (rate := arm.space.get("lr")) is None:
        return
    for value in rate.choices if isinstance(rate, CategoricalDistribution) else (rate.low, rate.high):
        if not isinstance(value, int | float) or not 0 < value < math.inf:
            raise UserError(f"arm {arm.name}: lr={value} is not a learning rate; give numbers above 0, such as 1e-3")


def searched_by_model(search: Any) -> tuple[dict[str, BaseDistribution], list[dict[str, Any]]]:
    """Space and first points that a model's file brings (`model.search`: {params, first_points}); empty for None.

    Raises UserError for anything else.
    """
    if search is None:
        return {}, []
    known = isinstance(search, dict) and not set(search) - {"params", "first_points"}
    if not known or not isinstance(search.get("params") or {}, dict):
        raise UserError(f"model.search={search}: expected {{params: {{model.KEY: ...}}, first_points: [...]}}")
    space = space_of(search.get("params") or {})
    return space, points(search.get("first_points"), space)


def with_models_search(arm: Arm, search: Any, typed: Typed, unused: Collection[str]) -> Arm:
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
    common = {k: d for k, d in typed.space.items() if k != "lr"} | typed.swept
    space |= {k: d for k, d in common.items() if k not in idle}
    fixed = {key_of(o) for o in [*typed.fixed, *arm.overrides]}
    space = {k: d for k, d in space.items() if k not in fixed}
    inside = [p for p in first_points if all(k in space and _holds(space[k], v) for k, v in p.items())]
    return replace(arm, space=space, first_points=inside)


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except ValueError:  # no number, or none of the choices
        return False


def size_of(space: dict[str, BaseDistribution]) -> float:
    """How many different points a space has; infinite with a range without steps."""
    return math.prod(_steps(d) for d in space.values())


def _steps(distribution: BaseDistribution) -> float:
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    step = getattr(distribution, "step", None)
    return math.inf if not step else round((distribution.high - distribution.low) / step) + 1


def _is_int(distribution: BaseDistribution | None) -> bool:
    return isinstance(distribution, (IntDistribution, CategoricalDistribution))


def grid(space: dict[str, BaseDistribution], listed: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """Every point of a discrete space, first key slowest; of one with a range, the points that are listed for it.

    Raises UserError for a range without steps where none are listed.
    """
    axes = []
    for key, distribution in space.items():
        if isinstance(distribution, CategoricalDistribution):
            axes.append([(key, c) for c in distribution.choices])
        elif getattr(distribution, "step", None) and not distribution.log:
            count = round((distribution.high - distribution.low) / distribution.step)
            axes.append([(key, distribution.low + i * distribution.step) for i in range(count + 1)])
        elif listed:
            return listed
        else:
            raise UserError(
                f"a grid needs discrete values, but {key} is a range; write {key}=choice(1e-3,1e-2) or another search="
            )
    return [dict(cells) for cells in itertools.product(*axes)]


def linear_learning_rate(space: dict[str, BaseDistribution]) -> str | None:
    """A warning when a learning rate is swept linearly over more than a decade: most trials land in the top one."""
    for key, d in space.items():
        if (
            key.rpartition(".")[2] == "lr"
            and isinstance(d, FloatDistribution)
            and not d.log
            and d.high > 10 * max(d.low, 1e-12)
        ):
            low, high = f"{d.low:g}", f"{d.high:g}"
            return f"{key} is swept linearly from {low} to {high}; write {key}='tag(log, interval({low}, {high}))'"
    return None
