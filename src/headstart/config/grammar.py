"""How an override is written: its key, its value, and those that lead from one configuration to another."""

import re
from typing import Any

PLAIN = re.compile(r"[A-Za-z_/.][A-Za-z0-9_./-]*")  # text that needs no quotes,
NOT_TEXT = ("null", "true", "false", "nan", "inf")  # unless it reads as something else
_ABSENT = object()


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
    text = re.sub(r'(\\+)(?="|\Z)', r"\1\1", text)  # a backslash means something to Hydra before a quote alone
    return '"' + text.replace('"', '\\"') + '"'


def differences(old: dict[str, Any], new: dict[str, Any], within: str = "") -> list[str]:
    """The overrides that lead from one configuration, or the part of it `within` a key, to another."""
    gone = [f"~{within}{key}" for key in old if key not in new]
    return gone + [word for key in new for word in _difference(old.get(key, _ABSENT), new[key], f"{within}{key}")]


def _difference(old: Any, new: Any, key: str) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return differences(old, new, f"{key}.")
    if old == new and type(old) is type(new):
        return []
    return [f"{'+' if old is _ABSENT else ''}{key}={override_value(new)}"]
