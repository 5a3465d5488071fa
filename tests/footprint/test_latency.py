"""Answers are timed on one thread, one by one and in batches, and what was set before is set again."""

import time

import pytest
import torch

from headstart.footprint import latency, one_thread, processor, time_answers


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on when it is told to: what a busy machine makes of waiting proves nothing."""
    now = [0.0]
    for name in ("perf_counter", "process_time"):
        monkeypatch.setattr(latency.time, name, lambda: now[0])
    return now


def lasting(clock: list[float], seconds: list[float], answered: list[int]):
    """What answers pictures in these seconds each, one after the other, the last for ever."""

    def prepare(count):
        def answer():
            clock[0] += count * seconds[min(len(answered), len(seconds) - 1)]
            answered.append(count)

        return answer

    return prepare


def test_the_median_and_the_slow_end_are_of_single_pictures_without_the_first(clock):
    first, timed = [9.0] * 3, [0.01, 0.01, 0.01, 0.06, 0.01]
    found = time_answers(lasting(clock, [*first, *timed, 0.01], answered := []))
    assert found.median == pytest.approx(0.01) and 0.01 < found.p95 < 0.06
    assert answered.index(4) == answered.count(1) and 16 not in answered, "batches of 16 would take too long"
    assert found.per_second == pytest.approx(100)


def test_batches_tell_how_many_pictures_a_second(clock):
    def prepare(count):
        return lambda: clock.__setitem__(0, clock[0] + 0.001 + 0.0001 * count)

    assert time_answers(prepare).per_second == pytest.approx(16 / 0.0026)


def test_a_slow_model_is_asked_a_few_times_and_in_no_batches(clock):
    found = time_answers(lasting(clock, [1.0], answered := []))
    assert answered == [1] * (latency.WARM_UP + latency.LEAST)
    assert found.per_second == 1 / found.median == pytest.approx(1)


def test_a_fast_model_is_not_asked_for_ever(clock):
    time_answers(lasting(clock, [1e-6], answered := []))
    assert len(answered) == 2 * (latency.WARM_UP + latency.MOST)


def test_waiting_for_the_processor_is_not_counted():
    found = time_answers(lambda count: lambda: time.sleep(0.002 * count))
    assert found.median < 0.001


def test_one_thread_computes_meanwhile_whatever_goes_wrong():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyError), one_thread():
            assert torch.get_num_threads() == 1
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_processor_has_a_name():
    assert processor().strip()
