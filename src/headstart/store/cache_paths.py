"""Where decoded pictures and features are kept, how much these may take, and how a person reads paths and sizes."""

import os
from pathlib import Path

from headstart.errors import UserError

GB = 1e9
DEFAULT_LIMIT = 20  # GB


def cache_root() -> Path:
    """$HEADSTART_CACHE, or where that is empty headstart/ where caches lie. Raises UserError for `off`."""
    named = os.environ.get("HEADSTART_CACHE", "")
    if named.lower() == "off":
        raise UserError("HEADSTART_CACHE=off names no folder; to keep nothing, give HEADSTART_CACHE_GB=0.")
    if named:
        return expanded(named).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "headstart"


def expanded(path: str | Path) -> Path:
    """A path that a person gave, with ~ and ~name as the home folders. Raises UserError where there is no such one."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{path}: {str(error).rstrip('.')}; give the folder itself.") from error


def cache_limit() -> int:
    """Bytes that all features together may take, 0 for none: $HEADSTART_CACHE_GB. Raises UserError for no size."""
    text = os.environ.get("HEADSTART_CACHE_GB") or str(DEFAULT_LIMIT)
    try:
        size = float(text)
    except ValueError:
        size = -1.0
    if not 0 <= size < 1e9:
        raise UserError(f"HEADSTART_CACHE_GB={text} is no size; give a number of GB from 0, e.g. {DEFAULT_LIMIT}.")
    return int(size * GB)


def shown_path(path: Path) -> str:
    """A path with ~ for the home folder."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def shown_size(size: float) -> str:
    """`4.1 GB`, `26 MB`, `310 kB`."""
    unit, name = next((u for u in ((1e9, "GB"), (1e6, "MB")) if size >= u[0]), (1e3, "kB"))
    return f"{size / unit:.3g} {name}" if size < 100 * unit else f"{size / unit:,.0f} {name}"
