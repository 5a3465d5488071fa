"""forecast.csv: what lines of arms, which differ in their training images alone, would reach with more images."""

import itertools
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pandas as pd

from headstart import statistics
from headstart.analysis.columns import FORECAST
from headstart.analysis.csv_tables import frame_of
from headstart.analysis.runs_of_arm import runs_of_arm
from headstart.errors import UserError
from headstart.statistics import Forecast, SizeCurve

Lines = Mapping[str, Collection[str]] | None  # name: its arms; None: those whose names share what is not the size

# What a forecast takes to be the same at all sizes; batches may grow with the images, and each size has its own rate.
RECIPE = (
    "model",
    "weights_sha256",
    "freeze",
    "batch_norm",
    "stem",
    "data",
    "image_size",
    "augmentation",
    "optimizer",
    "schedule",
)
RECIPE += ("epochs",)


def without_number(name: str, key: str, number: int) -> str:
    """A name without a number that it says, with or without its key: cnn-train_size-500 and cnn_500 are both cnn."""
    shorter = re.sub(rf"(?<![A-Za-z0-9])({key}[-_.=]?)?{number}(?!\d)", "", name)
    return re.sub(r"([-_.])[-_.]+|(^|/)[-_.]+|[-_.]+(?=/|$)", r"\1\2", shorter).strip("-_.")


def size_lines(arms: pd.DataFrame, lines: Lines = None, size: str = "train_size") -> dict[str, pd.DataFrame]:
    """The arms on each line, by `size`: rows of arms.csv with one and a test accuracy; others are on none."""
    known = arms[arms[size].notna() & arms["test_mean"].notna()]
    if lines is None:
        sized = zip(known["arm"], known[size], strict=True)
        names = pd.Series([without_number(a, size, n) or "all arms" for a, n in sized], known.index, dtype=str)
        found = {name: known[names == name] for name in names.unique()}
    else:
        found = {name: known[known["arm"].isin(own)] for name, own in lines.items()}
    return {name: own.sort_values(size, kind="stable") for name, own in found.items() if len(own)}


def size_curves(arms: pd.DataFrame, images: int, lines: Lines = None) -> dict[str, SizeCurve]:
    """The curve of every line with two sizes or more below `images`, from these alone.

    Raises:
        UserError: there is no such line, one has two arms of a size, has more images, or makes no errors.
    """
    found = {}
    for name, own in size_lines(arms, lines).items():
        below = own[own["train_size"] < images]
        if len(own) > 1 and (own["train_size"] > images).any():
            raise UserError(
                f"{name} was measured with {own['train_size'].max():,} training images; a forecast is for more than "
                f"that, not for {images:,}."
            )
        if len(below) < 2:
            continue
        _refuse_doubled(name, below)
        if (below["test_mean"] >= 100).any():
            raise UserError(f"{name} makes no errors with so few images already: there is nothing to forecast.")
        if statistics.is_near_guessing(float(below["test_mean"].iloc[-1]), _chance(below)):
            raise UserError(f"{name} is hardly above guessing with {below['train_size'].max():,} images: no curve yet.")
        columns = (below[column].astype(float) for column in ("train_size", "test_mean", "test_std", "seeds"))
        found[name] = statistics.size_curve(*columns, chance=_chance(below))
    if not found:
        raise UserError(
            f"a forecast for {images:,} images needs arms that differ in data.train_size alone, tested with two "
            "smaller sizes or more; three or four, up to a tenth of the images, make a narrower one."
        )
    return found


def _refuse_doubled(line: str, own: pd.DataFrame) -> None:
    doubled = own[own["train_size"].duplicated(keep=False)]
    if len(doubled):
        first, second = doubled["arm"].iloc[:2]
        raise UserError(f"{line} has two arms of {doubled['train_size'].iloc[0]:,} images, {first} and {second}.")


def _chance(arms: pd.DataFrame) -> float:
    """Accuracy (%) of guessing; 0 where it is not known."""
    halfway = arms["halfway_accuracy"].dropna()
    return 2 * float(halfway.iloc[0]) - 100 if len(halfway) else 0.0


def forecast_table(arms: pd.DataFrame, trials: pd.DataFrame, images: int, lines: Lines = None) -> pd.DataFrame:
    """Return a row (`columns.FORECAST`) for every line, and then one for every two of them.

    arms, trials: arms.csv and trials.csv, arms of several studies told apart. Arms of exactly `images` are what the
    forecast is held against, and no part of it.

    Raises:
        UserError: as `size_curves`, or the arms of a line were not trained alike.
    """
    curves, of_line = size_curves(arms, images, lines), size_lines(arms, lines)
    recipes = {name: _recipe(name, of_line[name], trials, images) for name in curves}
    rows = [_line_row(name, curve, of_line[name], images, recipes[name]) for name, curve in curves.items()]
    pairs = itertools.combinations(zip(curves.items(), rows, strict=True), 2)
    return frame_of([*rows, *(_pair_row(*a, *b, images) for a, b in pairs)], FORECAST)


def _recipe(line: str, own: pd.DataFrame, trials: pd.DataFrame, images: int) -> str | None:
    """What an arm of exactly `images` differs in from the others, in words. Raises UserError where these differ."""
    best = {arm: runs_of_arm(trials[trials["arm"] == arm]).best for arm in own["arm"]}
    known = pd.DataFrame([row for row in best.values() if row is not None], columns=[*RECIPE, "arm", "train_size"])
    is_below = known["train_size"] < images
    differing = []
    for column in RECIPE:
        found = known.loc[is_below, column].astype("string").fillna("none").unique()
        if len(found) > 1:
            raise UserError(
                f"the arms of {line} differ in {column} ({found[0][:12]} and {found[1][:12]}); a forecast is of one "
                "recipe with more images."
            )
        for value in known.loc[~is_below, column].astype("string").fillna("none"):
            if value != found[0]:
                differing.append(f"{column} {value[:12]} instead of {found[0][:12]}")
    return "; ".join(differing) or None


def _line_row(name: str, curve: SizeCurve, own: pd.DataFrame, images: int, differs: str | None) -> dict[str, Any]:
    measured = own.loc[own["train_size"] == images, "test_mean"]
    sizes = (own["train_size"] < images).sum()
    row = _row(curve.forecast(images), float(measured.iloc[0]) if len(measured) else None)
    row |= {"line_a": name, "sizes": sizes, "largest": curve.largest, "differs": differs}
    what = f"the test accuracy of {name} is forecast at {row['forecast']:.1f} %"
    return row | {"sentence": _sentence(row, what, " %")}


def _pair_row(
    a: tuple[str, SizeCurve], row_a: dict[str, Any], b: tuple[str, SizeCurve], row_b: dict[str, Any], images: int
) -> dict[str, Any]:
    """The first line is the one that is forecast to be ahead."""
    if row_a["forecast"] < row_b["forecast"]:
        a, b, row_a, row_b = b, a, row_b, row_a
    known = (row_a["measured"], row_b["measured"])
    measured = None if None in known else known[0] - known[1]
    row = _row(statistics.forecast_gap(a[1], b[1], images), measured)
    row |= {"line_a": a[0], "line_b": b[0]}
    row |= {column: min(row_a[column], row_b[column]) for column in ("sizes", "largest")}
    row["differs"] = "; ".join(dict.fromkeys(filter(None, (row_a["differs"], row_b["differs"])))) or None
    what = f"the gap between {a[0]} and {b[0]} is forecast at {row['forecast']:.1f} points"
    return row | {"sentence": _sentence(row, what, " points")}


def _row(found: Forecast, measured: float | None) -> dict[str, Any]:
    row = {"images": found.images, "forecast": found.middle, "ci_low": found.low, "ci_high": found.high}
    return row | {"measured": measured, "held": None if measured is None else found.low <= measured <= found.high}


def _sentence(row: dict[str, Any], what: str, unit: str) -> str:
    said = f"at {row['images']:,} images {what} (95 % interval {row['ci_low']:.1f} to {row['ci_high']:.1f}), "
    said += f"from {row['sizes']} sizes up to {row['largest']:,} images"
    if row["measured"] is None:
        return said
    differs = f", with {row['differs']}" if row["differs"] else ""
    return f"{said}; measured: {row['measured']:.1f}{unit}{differs}, {'inside' if row['held'] else 'outside'}"


def forecast_lines(table: pd.DataFrame) -> Iterator[str]:
    """The sentences of a forecast: of the pairs, and of the line itself where there is only one."""
    pairs = table[table["line_b"].notna()]
    yield from (pairs if len(pairs) else table)["sentence"]
