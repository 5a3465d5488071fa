"""Threads that run beside others or alone."""

import threading
import time

from headstart.sweep.recovery import SharedLock


def test_who_runs_alone_waits_for_all_and_all_for_him():
    lock, done = SharedLock(), []

    def run(name: str, hold, seconds: float) -> None:
        with hold():
            done.append(f"{name} begins")
            time.sleep(seconds)
            done.append(f"{name} ends")

    words = [
        ("a", lock.shared, 0.3),
        ("b", lock.shared, 0.3),
        ("alone", lock.exclusive, 0.2),
        ("c", lock.shared, 0),
    ]
    threads = [threading.Thread(target=run, args=each) for each in words]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    assert done[:2] == ["a begins", "b begins"] and set(done[2:4]) == {"a ends", "b ends"}
    assert done[4:] == ["alone begins", "alone ends", "c begins", "c ends"]
