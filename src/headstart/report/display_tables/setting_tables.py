"""The tables of settings: what all arms share, and in what they differ."""

from typing import Any

from headstart.analysis import Results
from headstart.report.display_tables.frame import DisplayColumn, DisplayTable, table, text_of
from headstart.report.formatting import ABSENT, text


def settings(results: Results) -> list[DisplayTable]:
    """What was fixed: the keys in which the arms differ, and those that all share. [] where it is not known."""
    own = results.study_file.arms
    names = list(dict.fromkeys(key for keys in own.values() for key in keys))
    equal = [key for key in names if len({repr(keys.get(key, ABSENT)) for keys in own.values()}) == 1]
    shared = dict(results.study_file.common) | {key: next(iter(own.values()))[key] for key in equal}
    shared |= {key: results.study[key] for key in ("n_trials", "confirm_seeds") if key in results.study}
    differing = {key: [keys.get(key, ABSENT) for keys in own.values()] for key in names if key not in equal}
    found = []
    if differing:
        found.append(_by_key("Settings in which the arms differ", list(own), differing))
    if shared:
        values = {key: [value] for key, value in shared.items()}
        found.append(_by_key("Settings that all arms share", ["Value"], values))
    return found


def _by_key(caption: str, headings: list[str], values: dict[str, list[Any]]) -> DisplayTable:
    """A row per key: its values, under the headings."""
    rows = [{"key": key, "values": own} for key, own in values.items()]
    columns = [
        DisplayColumn(heading, lambda row, i=i: _as_typed(row["values"][i]), numeric=False)
        for i, heading in enumerate(headings)
    ]
    return table(caption, rows, [text_of("key", "Key"), *columns])


def _as_typed(value: Any) -> str:
    """A setting as it would be typed: null, true, a list in brackets."""
    if isinstance(value, dict):
        return ", ".join(f"{key}={_as_typed(item)}" for key, item in value.items()) or "{}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_as_typed, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else text(value)
