"""The plan of a study that fits a time, in its folder and back."""

import math

import pytest

from headstart.errors import UserError
from headstart.timing import ArmTime, Frame, Pace, Size, TimePlan, read_time_plan, time_plan

PACE = Pace((1.0, 2.0), 0.5, 0.1, 0.2, test_images=100)
FRAME = Frame({"a": ArmTime(PACE), "b": ArmTime(PACE, settings=4, warmup=0.3)}, 2, {"n_trials": 4}, jobs=2, after=10.0)
PLAN = TimePlan(30.0, Size(2, 4, 3), FRAME, spent=5.0, since=1000.0)


def test_a_plan_is_read_as_it_was_written(tmp_path):
    assert read_time_plan(tmp_path) is None
    PLAN.write(tmp_path)
    assert read_time_plan(tmp_path) == PLAN
    assert math.isinf(read_time_plan(tmp_path).frame.arms["a"].settings)


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"minutes": 3, "size": 1, "frame": {}}', '{"size": {}, "frame": {"arms": 2}}']
)
def test_a_damaged_plan_is_a_sentence(text, tmp_path):
    (tmp_path / "minutes.json").write_text(text)
    with pytest.raises(UserError, match=r"minutes\.json is damaged"):
        read_time_plan(tmp_path)


def test_what_was_typed_is_not_chosen():
    assert PLAN.words() == ["epochs=2", "confirm_seeds=3"]
    assert TimePlan(1.0, Size(2, 4, 3, halved=True), Frame({}, 2, {})).words()[-1] == "halving=3"


def test_the_clock_counts_what_calls_took_and_not_what_lay_between_them(monkeypatch):
    monkeypatch.setattr(time_plan.time, "time", lambda: 1060.0)
    assert PLAN.now() == 65
    assert PLAN.left == 1800 - 65 - 10
    again = PLAN.called_again(active=1040.0)
    assert (again.spent, again.since, again.now()) == (45, 1060, 45)
    assert PLAN.called_again(active=0).spent == 5  # a file copied from elsewhere takes nothing back
