"""Search spaces: Optuna's distributions from Hydra's sweep syntax, the points tried first, grids and sizes."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra_plugins.hydra_optuna_sweeper._impl import create_optuna_distribution_from_override
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from headstart.config import decades
from headstart.errors import UserError, first_line

Space: TypeAlias = dict[str, BaseDistribution]  # by configuration key
Point: TypeAlias = dict[str, Any]  # a value for some or all keys of a space


# ---- from Hydra's syntax


def parse_overrides(overrides: list[str], where: str) -> list[Override]:
    """Overrides as Hydra's own parser reads them; `where` they stand, for the error. Raises UserError."""
    try:
        return OverridesParser.create().parse_overrides([str(o) for o in overrides])
    except HydraException as error:
        raise UserError(f"{where}: {first_line(error)}; expected key=value, as on the command line") from None


def space_of(params: dict[str, Any]) -> Space:
    """Optuna distributions of a mapping from key to Hydra's sweep syntax; a plain value is a space of one."""
    if "choice()" in params.values():
        raise UserError("no power of 10 lies between lr_low and lr_high; widen them, or take another search=")
    overrides = parse_overrides([f"{k}={v}" for k, v in params.items()], "params")
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


def is_number(text: str) -> bool:
    """Whether a value of a comma list is read as a number."""
    return not isinstance(_number(text), str)


def searched_by_model(search: Any) -> tuple[Space, list[Point]]:
    """Space and first points that a model's file brings (`model.search`: {params, first_points}); empty for None.

    Raises UserError for anything else.
    """
    if search is None:
        return {}, []
    known = isinstance(search, dict) and not set(search) - {"params", "first_points"}
    if not known or not isinstance(search.get("params") or {}, dict):
        raise UserError(f"model.search={search}: expected {{params: {{model.KEY: ...}}, first_points: [...]}}")
    space = space_of(search.get("params") or {})
    return space, first_points_of(search.get("first_points"), space)


# ---- points


def first_points_of(configured: Any, space: Space) -> list[Point]:
    """The points tried first: `decades` are the powers of 10 within the learning rate's range, or its own choices.

    configured: "decades", a list of points, or None. Raises UserError for anything else, and for a point outside.
    """
    if configured == "decades":
        rate = space.get("lr")
        return [{"lr": v} for v in decades(rate.low, rate.high)] if isinstance(rate, FloatDistribution) else []
    listed = configured or []
    if not isinstance(listed, list) or not all(isinstance(p, dict) for p in listed):
        raise UserError(f"first_points={configured}: expected decades or a list of points, such as [{{lr: 1e-3}}]")
    points = [{key: _typed(value, space.get(key)) for key, value in point.items()} for point in listed]
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
    return [distribution.low + i * distribution.step for i in range(int(_size(distribution)))]


# ---- sizes and ranges


def size_of(space: Space) -> float:
    """How many different points a space has; infinite with a range without steps."""
    return math.prod(_size(d) for d in space.values())


def _size(distribution: BaseDistribution) -> float:
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    step = getattr(distribution, "step", None)
    return math.inf if not step else round((distribution.high - distribution.low) / step) + 1


def check_learning_rate(arm: str, space: Space) -> None:
    """Refuse a search over what is no learning rate. Raises UserError, naming the arm."""
    if (rate := space.get("lr")) is None:
        return
    for value in rate.choices if isinstance(rate, CategoricalDistribution) else (rate.low, rate.high):
        if not isinstance(value, int | float) or not 0 < value < math.inf:
            raise UserError(f"arm {arm}: lr={value} is not a learning rate; give numbers above 0, such as 1e-3")


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
