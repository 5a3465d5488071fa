"""Numbers with their nouns, names without their numbers."""

import pytest
from headstart.analysis.wording import counted, without_number


def test_one_thing_is_counted_in_the_singular():
    assert [counted(number, "trial") for number in (0, 1, 1234)] == ["0 trials", "1 trial", "1,234 trials"]


@pytest.mark.parametrize(
    ("name", "shorter"),
    [
        ("random-train_size-500", "random"),
        ("random_500", "random"),
        ("500", ""),
        ("train_size-500-adam", "adam"),
        ("vgg5000", "vgg5000"),
        ("a-500-b", "a-b"),
    ],
)
def test_a_name_loses_the_number_alone_or_with_its_key(name, shorter):
    assert without_number(name, "train_size", 500) == shorter
