"""The thread that keeps leases alive."""

import time

from sqlalchemy.exc import OperationalError

from headstart.sweep.leases.heartbeat import Heartbeat


def wait_for(condition, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def test_beats_go_on_through_errors_of_the_database_until_they_are_removed_and_the_thread_ends():
    heart, beats = Heartbeat(), []

    def beat():
        beats.append(1)
        if len(beats) == 1:
            raise OperationalError("SELECT 1", {}, Exception("the server begins anew"))

    heart.add(beat, 0.01)
    wait_for(lambda: len(beats) >= 3)
    heart.remove(beat)
    heart.remove(beat)
    wait_for(lambda: heart._thread is None)
    count = len(beats)
    time.sleep(0.05)
    assert len(beats) == count
    heart.add(beat, 0.01)
    wait_for(lambda: len(beats) > count)
    heart.remove(beat)


def test_the_one_who_needs_most_beats_sets_the_pace_at_once():
    heart, slow, quick = Heartbeat(), [], []
    add_slow, add_quick = (lambda: slow.append(1)), (lambda: quick.append(1))
    heart.add(add_slow, 60)
    time.sleep(0.02)
    heart.add(add_quick, 0.01)
    wait_for(lambda: len(quick) >= 2)
    heart.remove(add_quick)
    heart.remove(add_slow)
    wait_for(lambda: heart._thread is None)
