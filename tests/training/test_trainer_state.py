"""A run that is cut anywhere goes on from its checkpoint and ends with identical bytes."""

import contextlib
import io
import itertools
from functools import partial

import pytest
import torch

from headstart.errors import Damaged, UserError
from headstart.store import read_checkpoint, read_epochs
from headstart.training import trainer_state, trial_context
from training.helpers_training import (
    OPTIMIZERS,
    SCHEDULES,
    Cut,
    Pausing,
    fingerprint,
    frozen_network,
    interrupted,
    plain_network,
    recomputing,
    trainer,
    whole,
)

DRAWING = ("none", "crop_flip", "mixup")  # nothing, and more and more
EVERY = list(itertools.product(OPTIMIZERS, SCHEDULES, DRAWING, ("none", "backbone_then_none"), (None, 2)))
SOME = [
    ("adam", "constant", "crop_flip", "none", None),
    ("adam", "onecycle", "mixup", "backbone_then_none", None),
    ("adamw", "cosine", "none", "backbone_then_none", 2),
    ("adamw", "constant", "mixup", "none", 2),
    ("muon", "onecycle", "none", "none", 2),
    ("muon", "constant", "none", "backbone_then_none", 2),
    ("sgd", "cosine", "crop_flip", "backbone_then_none", None),
    ("sgd", "onecycle", "none", "none", 2),
]


def resumes_to_the_same_bytes(data, folder, optimizer, schedule, augment, freeze, patience, cuts):
    options = dict(optimizer=optimizer, schedule=schedule, augment=augment, freeze=freeze, patience=patience)
    expected = whole(data, folder / "whole", **options)
    for cut in cuts:
        assert interrupted(data, folder / f"cut-{cut}", cut, **options) == expected, f"cut at {cut}"


@pytest.mark.parametrize("combination", SOME, ids=str)
def test_a_run_cut_in_any_epoch_ends_with_identical_bytes(combination, pictures, tmp_path):
    resumes_to_the_same_bytes(pictures, tmp_path, *combination, cuts=[(1,), (4,), (11,), (5, 5, 2)])


@pytest.mark.slow
@pytest.mark.parametrize("combination", EVERY, ids=str)
def test_a_run_cut_at_any_batch_ends_with_identical_bytes(combination, pictures, tmp_path):
    resumes_to_the_same_bytes(pictures, tmp_path, *combination, cuts=[(n,) for n in range(1, 13)] + [(6, 6), (2, 5, 3)])


def test_a_run_cut_while_an_epoch_is_announced_ends_with_identical_bytes(pictures, tmp_path):
    expected = whole(pictures, tmp_path / "whole", augment="crop_flip")
    for last in (1, 2, 3, 4):
        folder, run = tmp_path / f"cut-{last}", None
        folder.mkdir()
        run = trainer(pictures, folder, augment="crop_flip")
        run.watcher.epoch = lambda row, last=last: (_ for _ in ()).throw(Cut) if row["epoch"] == last else None
        with pytest.raises(Cut):
            run.run()
        assert whole(pictures, folder, augment="crop_flip") == expected


def test_large_checkpoints_are_written_only_as_often_as_their_cost_allows(pictures, tmp_path, monkeypatch):
    expected = whole(pictures, tmp_path / "whole")
    monkeypatch.setattr(trainer_state, "CHEAP_CHECKPOINT", 0)
    for share, reached in ((1e6, 3), (1e-6, 1)):  # of the time: as often as epochs end, and once in this test
        monkeypatch.setattr(trainer_state, "CHECKPOINT_SHARE", share)
        folder = tmp_path / str(reached)
        with pytest.raises(Cut):
            trainer(pictures, folder, cut=10).run()  # three epochs of three batches are done
        run = trainer(pictures, folder)
        assert fingerprint(run, run.run()) == expected
        assert [row["epoch"] for row in run.watcher.rows] == list(range(reached, 5))


@pytest.mark.parametrize("schedule", ["constant", "cosine", "onecycle"])
def test_a_trial_that_pauses_keeps_a_checkpoint_whatever_it_costs_and_ends_with_the_same_bytes(
    schedule, pictures, tmp_path, monkeypatch
):
    options = dict(schedule=schedule, augment="crop_flip")
    expected = whole(pictures, tmp_path / "whole", **options)
    monkeypatch.setattr(trainer_state, "CHEAP_CHECKPOINT", 0)
    monkeypatch.setattr(trainer_state, "CHECKPOINT_SHARE", 1e-6)  # of the time: none but the first
    folder = tmp_path / "paused"
    for after in (2, 2, 3):  # the second time nothing is left to do
        monkeypatch.setattr(trial_context, "trial", Pausing(after))
        outcome = trainer(pictures, folder, **options).run()
        assert (outcome.state, outcome.reason, outcome.paused) == ("PRUNED", f"paused after epoch {after}", True)
    monkeypatch.setattr(trial_context, "trial", Pausing(4))  # its last epoch: nothing to pause
    run = trainer(pictures, folder, **options)
    outcome = run.run()
    assert (outcome.state, outcome.paused) == ("COMPLETE", False)
    assert fingerprint(run, outcome) == expected
    assert [row["epoch"] for row in run.watcher.rows] == [3, 4]


def test_a_process_told_to_stop_keeps_the_epoch_that_it_ends_with(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_state, "CHEAP_CHECKPOINT", 0)
    monkeypatch.setattr(trainer_state, "CHECKPOINT_SHARE", 1e-6)
    batches = itertools.count(1)

    def told_in_the_second_epoch(images, labels, *, classes, generator):
        monkeypatch.setattr(trial_context, "stop", next(batches) >= 4)
        return images, labels

    with pytest.raises(SystemExit):
        trainer(pictures, tmp_path, augment=told_in_the_second_epoch).run()
    monkeypatch.setattr(trial_context, "stop", False)
    run = trainer(pictures, tmp_path)
    run.run()
    assert [row["epoch"] for row in run.watcher.rows] == [2, 3, 4]


def test_a_process_told_to_stop_before_it_resumes_trains_one_epoch_and_after_the_last_it_ends_as_ever(
    pictures, tmp_path, monkeypatch
):
    """So that jobs whose time is short come further each time."""
    expected = whole(pictures, tmp_path / "whole")
    monkeypatch.setattr(trial_context, "stop", 140)
    for _ in range(3):
        with pytest.raises(SystemExit):
            trainer(pictures, tmp_path).run()
    run = trainer(pictures, tmp_path)
    outcome = run.run()
    assert [row["epoch"] for row in run.watcher.rows] == [3, 4]
    assert fingerprint(run, outcome) == expected


def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_used(pictures, tmp_path, caplog):
    expected = whole(pictures, tmp_path / "whole")
    folder = tmp_path / "damaged"
    with pytest.raises(Cut):
        trainer(pictures, folder, cut=10).run()  # three epochs of three batches are done
    checkpoint = folder / "last.ckpt"
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    run = trainer(pictures, folder)
    assert fingerprint(run, run.run()) == expected
    assert "going on from the one before it" in caplog.text
    assert [row["epoch"] for row in run.watcher.rows] == [2, 3, 4]


def test_a_checkpoint_of_another_configuration_is_refused(pictures, tmp_path):
    with pytest.raises(Cut):
        trainer(pictures, tmp_path, cut=5).run()
    with pytest.raises(UserError, match="another configuration"):
        trainer(pictures, tmp_path, identity="other").run()


@pytest.mark.parametrize("damage", ["gone", "its last line"])
def test_a_checkpoint_whose_epoch_is_not_in_the_table_any_more_is_refused(damage, pictures, tmp_path):
    with pytest.raises(Cut):
        trainer(pictures, tmp_path, cut=9).run()
    table = tmp_path / "epochs.csv"
    lines = table.read_text().splitlines(keepends=True)
    assert len(lines) > 2
    table.unlink() if damage == "gone" else table.write_text("".join([*lines[:-1], "damaged\n"]))
    with pytest.raises(UserError, match=r"does not say epoch \d.*(?s:.*)delete last\.ckpt"):
        trainer(pictures, tmp_path).run()


def changed_digit(folder):
    """Another digit in the learning rate of the first epoch, of which nothing else is left."""
    header, first, *rest = (folder / "epochs.csv").read_text().splitlines()
    cells = first.split(",")
    cells[3] = "0.123"
    (folder / "epochs.csv").write_text("\n".join([header, ",".join(cells), *rest, ""]))


def damaged_checkpoints(folder):
    for path in folder.glob("last.ckpt*"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")


def test_a_digit_that_was_changed_in_the_table_is_noticed(pictures, tmp_path):
    with pytest.raises(Cut):
        trainer(pictures, tmp_path, cut=9).run()
    changed_digit(tmp_path)
    with pytest.raises(Damaged, match=r"epochs\.csv is not what the run left"):
        trainer(pictures, tmp_path).run()


@pytest.mark.parametrize("damage", [changed_digit, damaged_checkpoints])
def test_in_a_study_a_run_that_cannot_go_on_begins_anew_and_ends_with_the_same_bytes(
    damage, pictures, tmp_path, monkeypatch, caplog
):
    expected = whole(pictures, tmp_path / "whole")
    with pytest.raises(Cut):
        trainer(pictures, tmp_path, cut=9).run()
    damage(tmp_path)
    monkeypatch.setattr(trial_context, "study_folder", tmp_path)
    assert whole(pictures, tmp_path) == expected and "the run begins anew" in caplog.text


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_a_checkpoint_of_a_device_with_another_memory_format_goes_on_the_same(
    pictures, tmp_path, monkeypatch, optimizer
):
    fused = partial(OPTIMIZERS[optimizer], fused=True)

    def begun(folder: str, cut: int = 0):
        return trainer(pictures, tmp_path / folder, fused, model=plain_network(), lr=0.01, epochs=3, cut=cut)

    expected = begun("whole")
    expected.run()
    with monkeypatch.context() as as_on_a_gpu:
        move = "headstart.training.trainer.move_network"
        as_on_a_gpu.setattr(move, lambda network, device: network.to(device, memory_format=torch.channels_last))
        run = begun("cut", cut=5)
        with contextlib.suppress(Cut):
            run.run()
    assert run.state.epoch == 1
    resumed = begun("cut")
    resumed.run()
    for one, other in zip(expected.network.parameters(), resumed.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


# ---- with a frozen backbone


@pytest.mark.parametrize("freeze", ["backbone", "backbone_then_none", "backbone_until:2"])
def test_a_run_cut_anywhere_ends_with_the_same_bytes_whatever_is_kept(freeze, pictures, tmp_path, monkeypatch):
    def one(folder: str, cut: int = 0):
        options = dict(unfreeze_epoch=3 if freeze == "backbone_then_none" else None)
        model = frozen_network("cnn", freeze=freeze, **options)
        run = trainer(pictures, tmp_path / folder, model=model, augment="flip_hv", cut=cut)
        return fingerprint(run, run.run())

    expected = recomputing(monkeypatch, lambda: one("whole"))
    for cut in (1, 6, 9, 13):
        with pytest.raises(Cut):
            one(f"cut-{cut}", cut)
        assert one(f"cut-{cut}") == expected
    with pytest.raises(Cut):
        recomputing(monkeypatch, lambda: one("mixed", 6))
    assert one("mixed") == expected


def test_a_checkpoint_holds_the_head_alone_and_refuses_another_backbone(pictures, tmp_path):
    def begun(seed: int, **options):
        return trainer(pictures, tmp_path, model=frozen_network("cnn", seed), augment="none", **options)

    with pytest.raises(Cut):
        begun(0, cut=9).run()
    size = (tmp_path / "last.ckpt").stat().st_size
    head = sum(p.nbytes for p in frozen_network("cnn").network.classifier.parameters())
    assert 4 * head < size < 4 * head + 20_000  # itself, the best one, and Adam's two moments
    with pytest.raises(UserError, match=r"last\.ckpt belongs to another frozen backbone than that .*weights=None now"):
        begun(1).run()
    begun(0).run()


def test_a_checkpoint_leaves_out_the_stages_below_a_cut_and_refuses_others(pictures, tmp_path):
    def begun(seed: int, **options):
        return trainer(pictures, tmp_path, model=frozen_network("test_efficientnet up to blocks.1", seed), **options)

    with pytest.raises(Cut):
        begun(0, cut=9).run()
    saved = torch.load(io.BytesIO(read_checkpoint(tmp_path)), weights_only=True)
    below = ("conv_stem.", "bn1.", "blocks.0.", "blocks.1.")
    expected = {name for name in begun(0).network.state_dict() if not name.startswith(below)}
    assert saved["network"].keys() == saved["best"]["network"].keys() == expected
    with pytest.raises(UserError, match=r"last\.ckpt belongs to another frozen backbone"):
        begun(1).run()
    begun(0).run()


def test_the_time_that_features_took_survives_a_kill(pictures, tmp_path):
    run = trainer(pictures, tmp_path, model=frozen_network("cnn"), augment="flip", cut=9)
    with pytest.raises(Cut):
        run.run()
    assert read_epochs(tmp_path).rows
    again = trainer(pictures, tmp_path, model=frozen_network("cnn"), augment="flip")
    again.run()
    assert again.features.seconds == run.features.seconds > 0
