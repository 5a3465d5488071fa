"""Search spaces: Optuna's distributions from Hydra's sweep syntax, the points tried first, grids and sizes."""

import itertools
import math
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from hydra_plugins.hydra_optuna_sweeper._impl import create_optuna_distribution_from_override
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from headstart.config import DESCRIBING, decades, explain, groups, key_of, override_value
from headstart.errors import UserError, first_line
from headstart.typed import refusal, shown

Space: TypeAlias = dict[str, BaseDistribution]  # by configuration key
Point: TypeAlias = dict[str, Any]  # a value for some or all keys of a space
Params: TypeAlias = dict[str, Any] | None  # as configured: key to Hydra's sweep syntax
FirstPoints: TypeAlias = Literal["decades"] | list[dict[str, Any]] | None


# ---- from Hydra's syntax


def parse_overrides(overrides: list[str], where: str) -> list[Override]:
    """Overrides as Hydra's own parser reads them; `where` they stand, for the error. Raises UserError."""
    parser, found = OverridesParser.create(), []
    for word in overrides:
        try:
            found.append(parser.parse_override(word))
        except HydraException as error:
            said = explain(OverrideParseException(override=word, message=str(error)), overrides)
            raise UserError(f"{where}: {said}") from None
    return found


def space_of(params: dict[str, Any]) -> Space:
    """Optuna distributions of a mapping from key to Hydra's sweep syntax; a plain value is a space of one.

    Raises UserError for what can't be searched.
    """
    if "choice()" in params.values():
        raise UserError("no power of 10 lies between lr_low and lr_high; widen them, or take another search=")
    for key, value in params.items():
        if isinstance(value, list | dict):
            such = f'{key}: "choice(16,32)"' if isinstance(value, list) else f"{key}.{next(iter(value), 'KEY')}: ..."
            raise UserError(
                f"params: {key}={shown(value)}: expected a range or choices as one text, such as {{{such}}}"
            )
    words = [f"{k}={v if isinstance(v, str) else override_value(v)}" for k, v in params.items()]
    return {o.get_key_element(): distribution_of(o) for o in parse_overrides(words, "params")}


def distribution_of(override: Override) -> BaseDistribution:
    """The Optuna distribution of an override, whose choices keep their types. Raises UserError for what has none."""
    key, line = key_of(override.get_key_element()), override.input_line
    if key in groups():
        raise UserError(f"{line}: options of {key} can't be searched, they are arms: headstart -m {key}=A,B")
    refuse_seeds(override)
    if key in DESCRIBING or key.startswith(("budget.", "search.", "hydra.")):
        raise UserError(f"{line}: {key} changes nothing that a run learns, or is the study's own; it can't be searched")
    if override.is_choice_sweep() or not override.is_sweep_override():
        return CategoricalDistribution(_choices(override))
    try:
        return create_optuna_distribution_from_override(override)
    except (ValueError, AssertionError) as error:
        raise UserError(f"{line} is no range that can be searched: {first_line(error)}") from None


def refuse_seeds(override: Override) -> None:
    """Raises UserError for several values of a seed."""
    if key_of(override.get_key_element()) in ("seed", "split_seed"):
        raise UserError(f"{override.input_line}: seeds are not searched over; confirm_seeds=5 repeats the best setting")


def _choices(override: Override) -> list[Any]:
    """The values of a list, or the single one, as Hydra would set them."""
    found = list(override.sweep_iterator()) if override.is_sweep_override() else [override.value()]
    values = [Override._convert_value(value) for value in found]
    values = [value for i, value in enumerate(values) if repr(value) not in map(repr, values[:i])]  # each but once
    if wrong := [value for value in values if isinstance(value, list | dict)]:
        lists = ",".join(map(override_value, values))
        raise UserError(
            f"{override.input_line}: {shown(wrong[0])} can't be searched, but compared, each as an arm: "
            f"headstart -m '{override.get_key_element()}={lists}'"
        )
    return values


def searched_by_model(search: Any) -> tuple[Space, list[Point]]:
    """Space and first points that a model's file brings (`model.search`: {params, first_points}); empty for None.

    Raises UserError for anything else.
    """
    if refused := refusal("model.search", search, dict[Literal["params", "first_points"], Any] | None):
        raise UserError(f"{refused}, such as {{params: {{model.C: ...}}, first_points: [...]}}")
    if search is None:
        return {}, []
    for key, annotation in (("params", Params), ("first_points", FirstPoints)):
        if refused := refusal(f"model.search.{key}", search.get(key), annotation):
            raise UserError(refused)
    space = space_of(search.get("params") or {})
    return space, first_points_of(search.get("first_points"), space)


# ---- points


def first_points_of(configured: Any, space: Space) -> list[Point]:
    """The points tried first: `decades` are the powers of 10 within the learning rate's range, or its own choices.

    configured: "decades", a list of points, or None. Raises UserError for a point outside.
    """
    if configured == "decades":
        rate = space.get("lr")
        spans = isinstance(rate, FloatDistribution) and rate.low > 0  # a range from 0 is refused as a learning rate
        return [{"lr": v} for v in decades(rate.low, rate.high)] if spans else []
    points = [{key: _typed(value, space.get(key)) for key, value in point.items()} for point in configured or []]
    for point in points:
        wrong = [k for k, v in point.items() if k not in space or not contains(space[k], v)]
        if wrong:
            raise UserError(
                f"first point {point}: {wrong[0]} is not in the search space ({', '.join(space) or 'empty'})"
            )
    return points


def _typed(value: Any, distribution: BaseDistribution | None) -> Any:
    """A whole number as a float, but where whole numbers are drawn: Optuna tells 1 from 1.0 in queued trials."""
    whole = isinstance(distribution, (IntDistribution, CategoricalDistribution))
    return float(value) if isinstance(value, int) and not whole else value


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value can be drawn from the distribution."""
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except ValueError:  # no number, or none of the choices
        return False


def example_point(space: Space, first_points: list[Point]) -> Point:
    """One point of a space: the first one where there is one."""
    lowest = {k: d.choices[0] if isinstance(d, CategoricalDistribution) else d.low for k, d in space.items()}
    return lowest | (first_points[0] if first_points else {})


def grid(space: Space, listed: Sequence[Point] = ()) -> list[Point]:
    """Every point of a discrete space, first key slowest; of one with a range, the points that are listed for it.

    Raises UserError for a range without steps where none are listed.
    """
    axes = []
    for key, distribution in space.items():
        if (values := _values(distribution)) is not None:
            axes.append([(key, value) for value in values])
        elif listed:
            return list(listed)
        else:
            raise UserError(
                f"a grid needs discrete values, but {key} is a range; write {key}=choice(1e-3,1e-2) or another search="
            )
    return [dict(pairs) for pairs in itertools.product(*axes)]


def _values(distribution: BaseDistribution) -> list[Any] | None:
    """Every value of a discrete distribution; None for a range, or one on a logarithmic axis."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if not getattr(distribution, "step", None) or distribution.log:
        return None
    return [_value_at(distribution, place) for place in range(int(_size(distribution)))]


# ---- sizes and ranges


def size_of(space: Space) -> float:
    """How many different points a space has; infinite with a range without steps."""
    return math.prod(_size(d) for d in space.values())


def _size(distribution: BaseDistribution) -> float:
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    if distribution.single():
        return 1
    step = getattr(distribution, "step", None)
    return math.inf if not step else round((distribution.high - distribution.low) / step) + 1


def untried(space: Space, drawn: Point, tried: Iterable[Point], fixed: Collection[str] = ()) -> Point:
    """The drawn point of a finite space, or where it was tried the next one in the grid's order that was not.

    fixed: keys whose value stays as drawn. The drawn point itself where all others were tried, too.
    """
    before = [_places(space, point) for point in tried if space.keys() <= point.keys()]
    axes = [(key, int(_size(distribution))) for key, distribution in space.items() if key not in fixed]
    places = _places(space, drawn)
    for _ in range(math.prod(size for _, size in axes)):
        if places not in before:
            return {key: _value_at(distribution, places[key]) for key, distribution in space.items()}
        for key, size in reversed(axes):  # counts on by one, the last key fastest
            places[key] = (places[key] + 1) % size
            if places[key]:
                break
    return drawn


def _places(space: Space, point: Point) -> dict[str, int]:
    """The point's place on each axis of a finite space."""
    return {key: _place(distribution, point[key]) for key, distribution in space.items()}


def _place(distribution: BaseDistribution, value: Any) -> int:
    if isinstance(distribution, CategoricalDistribution):
        return int(distribution.to_internal_repr(value))
    return 0 if distribution.single() else round((value - distribution.low) / distribution.step)


def _value_at(distribution: BaseDistribution, place: int) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[place]
    if isinstance(distribution, IntDistribution):
        return distribution.low + place * distribution.step
    # As it is typed: three steps of 0.3 are 0.9, and 0.8999999999999999 in binary.
    low, step = Decimal(repr(distribution.low)), Decimal(repr(distribution.step or 0))
    return min(float(low + place * step), distribution.high)


def extremes(distribution: BaseDistribution) -> tuple[Any, ...]:
    """The values that show whether all of the distribution can be used: its choices, or both ends."""
    if isinstance(distribution, CategoricalDistribution):
        return tuple(distribution.choices)
    return (distribution.low, distribution.high)


def linear_learning_rate(space: Space) -> str | None:
    """A warning when a learning rate is swept linearly over more than a decade: most trials land in the top one."""
    for key, d in space.items():
        is_rate = key.rpartition(".")[2] == "lr" and isinstance(d, FloatDistribution)
        if is_rate and not d.log and d.high > 10 * max(d.low, 1e-12):
            low, high = f"{d.low:g}", f"{d.high:g}"
            return f"{key} is swept linearly from {low} to {high}; write {key}='tag(log, interval({low}, {high}))'"
    return None


def bounds(distribution: BaseDistribution) -> dict[str, Any]:
    """A distribution as study.json describes it: {low, high, log, step} or {choices}."""
    return {k: v for k, v in vars(distribution).items() if k in ("low", "high", "log", "step", "choices")}
