"""Paces that are made up in place of those that are timed."""

import pytest

from headstart.timing import Pace


@pytest.fixture
def timed(monkeypatch):
    """`timed(seconds)`: from now on every epoch of every arm is found to take so long; returns what was timed."""
    asked = []

    def set_to(seconds: float, **parts: float) -> list[str]:
        def paces(checks, elsewhere):
            if elsewhere:  # nothing is to be timed
                return {}
            asked.extend(checks)
            parted = dict(prepare=0.0, test=0.1, prepare_test=0.0, test_images=200) | parts
            return {whose: Pace((seconds,) * check.cfg.epochs, **parted) for whose, check in checks.items()}

        monkeypatch.setattr("headstart.sweep.preflight.measured_paces", paces)
        monkeypatch.setattr("headstart.timing.measure.how_busy", lambda: 1.0)
        return asked

    return set_to
