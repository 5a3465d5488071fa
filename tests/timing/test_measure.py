"""The parts of a run, timed: which there are, of how many pictures, and what timing them leaves alone."""

import dataclasses

import pytest
import torch
from training.conftest import pictures  # noqa: F401
from training.helpers_training import AUGMENTATIONS, frozen_network, small_network, trainer

from headstart.store import cache_root
from headstart.timing import measure, measure_pace


@pytest.fixture(autouse=True)
def a_clock_of_pictures(monkeypatch):
    """Every piece of work takes a second a picture, which the real one does, too."""

    def seconds(work, count):
        work(count)
        return float(count)

    monkeypatch.setattr(measure, "_seconds", seconds)


def paces(pictures, tmp_path, model, augment="flip", **options):  # noqa: F811
    run = trainer(pictures, tmp_path, model=model, augment=AUGMENTATIONS[augment], **options)
    return run, measure_pace(run)


def test_a_network_that_learns_takes_its_steps_and_its_validation_in_every_epoch(pictures, tmp_path):  # noqa: F811
    run, pace = paces(pictures, tmp_path, small_network(), epochs=3)
    steps = 32 * len(run.starts)  # each is timed with a full batch
    assert pace.epochs == (steps + 60,) * 3
    assert (pace.prepare, pace.prepare_test) == (0, 0)
    assert pace.test == pace.test_images == len(pictures.test().labels)


def test_a_frozen_one_computes_its_features_once_and_then_only_classifies(pictures, tmp_path):  # noqa: F811
    run, pace = paces(pictures, tmp_path, frozen_network("cnn"), epochs=3)
    assert pace.prepare == 2 * 80 + 60  # both flips of the training images
    assert pace.epochs == (32 * len(run.starts),) * 3
    assert (pace.test, pace.prepare_test) == (0, len(pictures.test().labels))
    run.features.prepare(pictures)
    assert measure_pace(run).prepare == 0  # they are there


def test_one_whose_features_cannot_be_kept_runs_whole(pictures, tmp_path):  # noqa: F811
    run, pace = paces(pictures, tmp_path, frozen_network("cnn"), augment="crop_flip", epochs=2)
    assert pace.epochs == (32 * len(run.starts) + 60,) * 2
    assert (pace.prepare, pace.prepare_test) == (0, 0)


def test_epochs_before_and_after_unfreezing_are_told_apart(pictures, tmp_path):  # noqa: F811
    model = dataclasses.replace(frozen_network("cnn"), freeze="backbone_then_none", unfreeze_epoch=3)
    run, pace = paces(pictures, tmp_path, model, epochs=4)
    steps = 32 * len(run.starts)
    assert pace.epochs == (steps, steps, steps + 60, steps + 60)
    assert pace.test == len(pictures.test().labels) and pace.prepare_test == 0


def test_nothing_is_written(pictures, tmp_path):  # noqa: F811
    paces(pictures, tmp_path, frozen_network("cnn"))
    assert not list(tmp_path.rglob("*")) and not list((cache_root() / "features").rglob("*.npy"))


def test_a_step_too_long_to_be_timed_whole_is_a_straight_line_through_two_smaller_ones(monkeypatch):
    monkeypatch.undo()
    tried = []

    def fastest(work, count):
        work(count)
        return 5.0 + 0.5 * count  # 69 s a batch of 128

    monkeypatch.setattr(measure, "_fastest", fastest)
    assert measure._seconds(tried.append, 128) == pytest.approx(69)
    assert max(tried) < 16
    assert measure._seconds(lambda _: None, 4) == pytest.approx(7)


def test_the_fastest_of_some_counts(monkeypatch):
    now = iter([0.0, 0.0, 0.3, 0.4, 0.4, 0.5, 0.9, 0.9, 1.0, 1.0])
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(now))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert measure._fastest(lambda _: None, 1) == pytest.approx(0.1)


def test_how_busy_a_machine_is_shows_in_what_takes_longer_than_the_rest(monkeypatch):
    def found(*taken):
        """With steps that take so long, over and over, by a clock that only they move."""
        steps, now = iter(taken * 1000), [0.0, 0]

        def clock():
            now[1] += 1
            if now[1] > 1 and now[1] % 3 == 1:  # after the very first come, again and again, a look, a begin and an end
                now[0] += next(steps)
            return now[0]

        monkeypatch.setattr(measure.time, "perf_counter", clock)
        return measure.how_busy()

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert found(0.01) == pytest.approx(1)
    assert found(0.01, 0.01, 0.01, 0.05) == pytest.approx(2, abs=0.1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert found(0.01, 0.05) == 1
