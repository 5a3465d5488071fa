"""The door of a package whose names are imported when they are first asked for."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def door(package: str, modules: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """What a package is given as its `__getattr__`: names by the module of the package that they are in.

    The package says the same imports below `if TYPE_CHECKING:`, for whoever reads its types without running it.
    """
    places = {name: module for module, names in modules.items() for name in names}

    def look(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{places[name]}"), name)

    return look
