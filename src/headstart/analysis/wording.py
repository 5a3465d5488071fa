"""Words that tables, plots and sentences share: a number with its noun, a name without a number."""

import re


def counted(number: int, noun: str) -> str:
    """`1 trial`, `1,234 trials`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def without_number(name: str, key: str, number: int) -> str:
    """A name without a number that it says, with or without its key: cnn-train_size-500 and cnn_500 are both cnn."""
    shorter = re.sub(rf"(?<![A-Za-z0-9])({key}[-_.=]?)?{number}(?!\d)", "", name)
    return re.sub(r"([-_.])[-_.]+", r"\1", shorter).strip("-_.")
