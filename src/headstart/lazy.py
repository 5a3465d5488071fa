"""What is imported late: the names of a package when they are first asked for; torch's compiler not at all."""

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


def keep_compiler_away(method: Any) -> None:
    """Fill the cache of `torch._disable_dynamo`: a method of torch's runs as it is, one without that wrapper anyway.

    Its first call would import torch's compiler, 2 s, only to tell it what to leave alone.
    """
    own = getattr(method, "__wrapped__", None)
    if own is not None and not hasattr(own, "__dynamo_disable"):
        setattr(own, "__dynamo_disable", own)
