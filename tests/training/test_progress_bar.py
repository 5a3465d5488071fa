"""What a person sees of a run while it trains."""

import logging
import sys

from headstart.training import progress_bar
from headstart.training.progress_bar import Bar, Lines, clock, watcher


def test_lines_tell_now_and_then_how_far_features_are(caplog, monkeypatch):
    monkeypatch.setattr(progress_bar, "SECONDS_BETWEEN_LINES", 0)
    caplog.set_level(logging.INFO)
    lines = Lines(3)
    lines.features(1_500, 20_000, 35.0)
    lines.features(20_000, 20_000, 35.0)
    assert caplog.messages == ["features: 1,500 of 20,000 images, 35 images/s, 00:08:48 left"]


def test_the_time_left_for_epochs_does_not_count_what_features_took(caplog, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: clock[0])
    caplog.set_level(logging.INFO)
    lines = Lines(3)
    clock[0] = 600.0
    lines.features(10, 10, 1.0)
    clock[0] = 601.0
    lines.epoch(dict(epoch=1, train_loss=1.0, train_accuracy=50, val_accuracy=50, images_per_second=9.0))
    assert "00:00:02 left" in caplog.messages[-1]


def test_the_bar_shows_features_beside_the_epochs_and_drops_them_when_they_are_there():
    bar = Bar(3, "cnn")
    bar.features(30, 100, 10.0)
    shown = [(task.description, task.completed, task.total) for task in bar.progress.tasks]
    assert shown == [("cnn", 0, 3), ("features", 30, 100)]
    bar.features(100, 100, 10.0)
    assert [task.description for task in bar.progress.tasks] == ["cnn"]
    bar.features(1, 360, 10.0)
    assert len(bar.progress.tasks) == 2


def test_an_epoch_is_one_line(caplog):
    caplog.set_level(logging.INFO)
    row = dict(epoch=1, train_loss=1.23456, train_accuracy=50, val_accuracy=41.875, images_per_second=1234.5)
    Lines(1).epoch(row)
    (line,) = caplog.messages
    text = "epoch 1/1  loss 1.2346  train 50.00 %  validation 41.88 %  1,234 images/s  00:00:00 left"
    assert line == text


def test_the_bar_follows_the_epochs():
    bar = Bar(3, "cnn")
    (task,) = bar.progress.tasks
    assert not task.visible
    bar.step(1, 0.5, 100.0, 2.0)
    assert (task.visible, task.completed) == (True, 0.5)
    assert task.fields["text"] == "epoch 1/3 loss 2.000  validation 0.00 %"
    bar.epoch(dict(epoch=1, train_loss=1.5, val_accuracy=40.0, images_per_second=100.0))
    assert task.completed == 1
    assert task.fields["text"] == "epoch 1/3 loss 1.500  validation 40.00 %"


def test_a_fit_shows_what_is_fitted_in_place_of_the_bar():
    bar = Bar(3, "tree")
    bar.fit("fitting DecisionTreeClassifier")
    (task,) = bar.progress.tasks
    assert (task.visible, task.description) == (True, "fitting DecisionTreeClassifier")


def test_files_and_pipes_get_lines_and_a_terminal_a_bar(monkeypatch):
    assert type(watcher(1, "cnn")) is Lines
    monkeypatch.setattr(progress_bar.Console, "is_terminal", True)
    assert type(watcher(1, "cnn")) is Bar
    assert type(watcher(1, "cnn", bar=False)) is Lines


def test_what_is_logged_while_the_bar_stands_goes_above_it(monkeypatch):
    monkeypatch.setattr(progress_bar.Console, "is_terminal", True)
    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(handler)
    before = sys.stderr
    try:
        with Bar(1, "cnn"):
            assert handler.stream is sys.stderr is not before
        assert handler.stream is sys.stderr is before
    finally:
        logging.getLogger().removeHandler(handler)


def test_a_duration_has_hours_minutes_and_seconds():
    assert [clock(s) for s in (0, 528.9, 31 * 3600)] == ["00:00:00", "00:08:48", "31:00:00"]
