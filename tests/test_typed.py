"""Values as annotations say: which of them a setting takes, and the words for all others."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_origin

import pytest
from annotated_types import Ge, Le, Lt

from headstart import typed
from headstart.typed import (
    LARGEST_SEED,
    Count,
    Fraction,
    Made,
    Node,
    Positive,
    Seed,
    Share,
    Spelt,
    Truth,
    expected,
    refusal,
    shown,
)

Pair = tuple[float, float]
Until = Literal["none"] | Annotated[str, Spelt("until:[1-9][0-9]*", "until:N")]
TAKEN = [
    (int, [0, -3, 2**70]),
    (float, [1.5, 1, -2, 1e300]),
    (bool, [True, False]),
    (Truth, [True, False]),
    (str, ["3", "", "nan"]),
    (int | None, [3, None]),
    (int | str, [3, "3"]),
    (Literal["a", "b"], ["a", "b"]),
    (Literal["a"] | None, ["a", None]),
    (list, [[], [1, "a", None]]),
    (list[str], [[], ["a"]]),
    (Sequence[str | int], [[1, "a"], []]),
    (Pair, [[0.9, 1], (0.9, 0.999)]),
    (Until, ["none", "until:3", "until:10"]),
    (dict[str, list[int]], [{}, {"a": [1]}]),
    (Mapping[str, float], [{"a": 1}]),
    (Node, [{"_target_": "a.B"}, {}]),
    (Any, [None, 1, "a", [1], {"a": {}}]),
    (Count, [1, 1_000_000]),
    (Seed, [0, LARGEST_SEED]),
    (Positive, [1e-30, 5]),
    (Share, [0, 0.0, 0.999]),
    (Count | Fraction, [1, 0.5]),
]
REFUSED = [
    (int, [True, 1.0, 1.5, "3", None, [1], math.nan]),
    (float, [True, "3", "nan", None, math.nan, math.inf, -math.inf, [1.0]]),
    (bool, [1, 0, "true", "no", None]),
    (Truth, ["true", "no", -1, 2, None]),
    (str, [3, True, None, ["a"]]),
    (int | None, ["null", 1.0, False]),
    (Literal["a", "b"], ["c", "A", None, 1]),
    (list, ["abc", {}, None]),
    (list[str], [[1], "abc"]),
    (list[float], [[math.nan], [math.inf]]),
    (Sequence[str | int], ["abc", 3, [1.5], [True]]),
    (Pair, [[0.9], [0.9, 0.99, 1], [0.9, "x"], 0.9]),
    (dict[str, list[int]], [{"a": 1}, [], "a"]),
    (Node, [None, "a.B", ["a.B"]]),
    (Made, ["a.B", None, {}, {"a": 1}, ["x"]]),  # a node is made before anything takes it
    (Count, [0, -1, 1_000_001, True, 1.0]),
    (Seed, [-1, LARGEST_SEED + 1, "0"]),
    (Positive, [0, -1, math.nan, math.inf, True]),
    (Share, [1, -0.1, math.nan]),
    (Count | Fraction, [0, 0.0, 1.0, 1.5, True, [1]]),
    (Any, [math.nan, [1, {"a": -math.inf}]]),
    (Until, ["all", "until:", "until:0", "until:3x", "xuntil:3", "until:3\n", 3, None]),
]


def each(cases):
    return [pytest.param(annotation, value, id=f"{annotation}-{value!r}") for annotation, v in cases for value in v]


@pytest.mark.parametrize(("annotation", "value"), each(TAKEN))
def test_a_value_that_the_annotation_has_is_taken_as_it_is(annotation, value):
    assert refusal("key", value, annotation) is None


@pytest.mark.parametrize(("annotation", "value"), each(REFUSED))
def test_nothing_is_converted_and_every_other_value_is_refused_by_its_key(annotation, value):
    said = refusal("model.key", value, annotation)
    assert said == f"model.key={shown(value)}: expected {expected(annotation)}"


def test_one_is_not_true():
    assert refusal("key", 1, Truth) and refusal("key", 0, Truth)


def test_an_annotation_that_cannot_be_checked_refuses_nothing():
    assert refusal("key", "anything", "OnlyATypeCheckerKnows") is None


IN_WORDS = {
    "Truth": "true or false",
    "Count": "a whole number from 1 to 1000000",
    "Seed": "a whole number from 0 to 4294967295",
    "Seeds": "a whole number from 0 to 10000",
    "Processes": "a whole number from 1 to 1024",
    "PictureSize": "a whole number from 8 to 4096",
    "LeaseSeconds": "a number from 1 to 86400",
    "Positive": "a number above 0",
    "Factor": "a number above 1 to 1000",
    "Share": "a number from 0 below 1",
    "Fraction": "a number above 0 below 1",
    "Node": "a mapping",
}


def test_every_alias_is_said_in_words():
    aliases = {name: value for name, value in vars(typed).items() if get_origin(value) is not None}
    assert {name: expected(value) for name, value in aliases.items()} == IN_WORDS


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int | None, "a whole number or null"),
        (int | str | None, "a whole number, text or null"),
        (Count | None, "a whole number from 1 to 1000000 or null"),
        (Literal["auto", "fp32", "bf16"], "auto, fp32 or bf16"),
        (Literal["a"] | None, "a or null"),
        (bool | None, "true, false or null"),
        (Pair, "a list of 2 values"),
        (list[str] | None, "a list or null"),
        (Sequence[str | int], "a list"),
        (Mapping[str, int] | dict[str, Any], "a mapping"),
        (Annotated[int, Ge(2), Le(100)], "a whole number from 2 to 100"),
        (Annotated[float, Ge(1e-3), Lt(0.25)], "a number from 0.001 below 0.25"),
        (int | complex, "a whole number"),  # nobody can type the other
        (Made | None, "a mapping with _target_ or null"),
        (complex, "another kind of value"),
    ],
)
def test_values_are_told_in_words_each_once(annotation, words):
    assert expected(annotation) == words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1.0, "1.0"),
        ("abc", "abc"),
        ([1, "a"], '[1, "a"]'),
        ({"a": None}, '{"a": null}'),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 57 + "..."),
        (list(range(100)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16..."),
    ],
)
def test_a_value_is_shown_as_it_is_typed_and_cut_where_it_is_long(value, text):
    assert shown(value) == text
    assert len(shown(value)) <= 60
