"""What a study takes, added up from what its parts take."""

import pytest

from headstart.timing import Pace, Work, by_the_clock, seconds_of, seconds_once
from headstart.timing.estimate import SECONDS_A_RUN

PACE = Pace(epochs=(1.0, 1.0, 4.0, 4.0), prepare=100.0, test=3.0, prepare_test=1000.0)


@pytest.mark.parametrize(
    ("work", "seconds"),
    [
        (Work(trials=12, share=1.0, confirmations=5), 12 * 10 + 5 * (10 + 3) + 17 * SECONDS_A_RUN + 1100),
        (Work(trials=12, share=0.3, confirmations=0), 12 * 3 + 12 * SECONDS_A_RUN + 100),  # the test split isn't read
        (Work(trials=0, share=1.0, confirmations=1), 10 + 3 + SECONDS_A_RUN + 1100),
        (Work(trials=0, share=1.0, confirmations=0), 0),
    ],
)
def test_every_part_is_counted_as_often_as_it_runs(work, seconds):
    assert seconds_of(PACE, work) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("work", "seconds"),
    [(Work(6, 1.0, 5), 1100), (Work(6, 1.0, 0), 100), (Work(0, 1.0, 1), 1100), (Work(0, 1.0, 0), 0)],
)
def test_features_are_computed_once(work, seconds):
    assert seconds_once(PACE, work) == seconds


def test_while_one_process_computes_features_the_others_wait_but_where_they_have_another_arm():
    assert by_the_clock([(110.0, 100.0)], jobs=2) == 105
    assert by_the_clock([(110.0, 100.0)] * 2, jobs=2) == 110
    assert by_the_clock([(110.0, 100.0), (400.0, 0.0)], jobs=2) == 255
    assert by_the_clock([(110.0, 100.0), (400.0, 0.0)], jobs=1) == 510
