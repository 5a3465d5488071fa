"""What values a setting takes, as its annotation says: names for annotations, and the refusal of any other value."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt

LARGEST_SEED = 2**32 - 1  # that NumPy takes
Truth = Literal[True, False]  # for OmegaConf, which reads a bool from -1 or "no"
Count = Annotated[int, Ge(1), Le(1_000_000)]
Seed = Annotated[int, Ge(0), Le(LARGEST_SEED)]
Seeds = Annotated[int, Ge(0), Le(10_000)]  # how many
Processes = Annotated[int, Ge(1), Le(1024)]
PictureSize = Annotated[int, Ge(8), Le(4096)]  # pixels a side
LeaseSeconds = Annotated[float, Ge(1), Le(86_400)]
Positive = Annotated[float, Gt(0)]
Factor = Annotated[float, Gt(1), Le(1000)]
Share = Annotated[float, Ge(0), Lt(1)]
Fraction = Annotated[float, Gt(0), Lt(1)]

Node = dict[str, Any]  # a `_target_` and its arguments


class Made:
    """What a nested `_target_` node makes; nothing that is typed is one."""


@dataclass(frozen=True)
class Spelt:
    """Among the arguments of an Annotated text: the form that it has."""

    pattern: str  # regular expression of the whole
    shown: str  # how a message names such a text

    def __get_pydantic_core_schema__(self, *_: Any) -> Any:
        """A text of this form, as pydantic checks it."""
        from pydantic_core.core_schema import str_schema

        return str_schema(pattern=f"^(?:{self.pattern})$", strict=True)


WORDS = {int: "a whole number", float: "a number", str: "text", NoneType: "null", Made: "a mapping with _target_"}
WORDS |= {dict: "a mapping", Mapping: "a mapping", list: "a list", tuple: "a list", Sequence: "a list"}
WORDS[Any] = "a finite number"  # in a value of any type
BOUNDS = {Ge: "from", Gt: "above", Le: "to", Lt: "below"}


def refusal(key: str, value: Any, annotation: Any) -> str | None:
    """A sentence where a value is none of those that the annotation has; None where it is one.

    Nothing is converted: 1 is not true, "3" is no number, and 1.0 no whole one; no number is infinite or NaN. Of an
    annotation that says nothing (Any) every value is one that holds no such number, at any depth.
    """
    if _is_one(value, bool if annotation == Truth else annotation):  # a Literal takes 0 for false
        return None
    return f"{key}={shown(value)}: expected {expected(annotation)}"


def expected(annotation: Any) -> str:
    """The values of an annotation in words: `a whole number from 1, or null`."""
    kinds = list(dict.fromkeys(_kinds(annotation))) or ["another kind of value"]
    return kinds[0] if len(kinds) == 1 else f"{', '.join(kinds[:-1])} or {kinds[-1]}"


def shown(value: Any) -> str:
    """A value about as one would type it, cut where it is long."""
    text = (
        value if isinstance(value, str) else repr(value) if isinstance(value, float) else json.dumps(value, default=str)
    )
    return text if len(text) <= 60 else f"{text[:57]}..."


def _kinds(annotation: Any) -> list[str]:
    """As `expected`, one by one, without those that nobody can type."""
    if annotation is bool:
        annotation = Truth
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if origin is Annotated:
        if spelt := [argument.shown for argument in arguments if isinstance(argument, Spelt)]:
            return spelt
        bounds = [f"{BOUNDS[type(limit)]} {astuple(limit)[0]:.10g}" for limit in arguments[1:]]
        return [f"{kind} {' '.join(bounds)}" for kind in _kinds(arguments[0])]
    if origin is Literal:
        return [shown(argument) for argument in arguments]
    if origin in (Union, UnionType):
        return [kind for argument in arguments for kind in _kinds(argument)]
    if origin is tuple and Ellipsis not in arguments:
        return [f"a list of {len(arguments)} values"]
    return [WORDS[origin]] if origin in WORDS else []


def _is_one(value: Any, annotation: Any) -> bool:
    from pydantic import PydanticUserError  # here and below: not before there is a value to check

    try:
        _adapter(annotation).validate_json(json.dumps(value, default=str, allow_nan=annotation is not Any))
    except ValueError:  # pydantic's is one
        return False
    except PydanticUserError:  # an annotation that it makes nothing of
        return True
    return True


@lru_cache(maxsize=1000)
def _adapter(annotation: Any) -> Any:
    """Pydantic's check of an annotation; of JSON, as a configuration's list may stand for a tuple."""
    from pydantic import ConfigDict, TypeAdapter

    rules = ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)
    return TypeAdapter(annotation, config=rules)
