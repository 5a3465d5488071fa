"""What a study takes, added up from what its parts take."""

import pytest

from headstart.timing import Pace, Work, seconds_of
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
