"""How an override is written: its key, its value, and those that lead from one configuration to another."""

import re
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString

PLAIN = re.compile(r"[A-Za-z_/.][A-Za-z0-9_./-]*")  # text that needs no quotes,
NOT_TEXT = ("null", "true", "false", "nan", "inf")  # unless it reads as something else


def key_of(override: str) -> str:
    """`data.train_size` of `+data.train_size=500`."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def top_key_of(override: str) -> str:
    """`data` of `+data.train_size=500`."""
    return key_of(override).partition(".")[0]


def override_value(value: Any) -> str:
    """Write a value so that Hydra's override grammar reads it back as the same value."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case dict():
            return "{" + ",".join(f"{k}:{override_value(v)}" for k, v in value.items()) + "}"
        case list() | tuple():
            return "[" + ",".join(map(override_value, value)) + "]"
    text = str(value)
    if PLAIN.fullmatch(text) and text.lower() not in NOT_TEXT:
        return text
    return QuotedString(text, Quote.double).with_quotes()


def differences(old: dict[str, Any], new: dict[str, Any], within: str = "") -> list[str]:
    """The overrides that lead from one configuration, or the part of it `within` a key, to another."""
    words = [f"~{within}{key}" for key in old if key not in new]
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            words += differences(before, value, f"{within}{key}.")
        elif key not in old or before != value or type(before) is not type(value):
            words.append(f"{'' if key in old else '+'}{within}{key}={override_value(value)}")
    return words
