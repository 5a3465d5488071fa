"""What a run wrote of itself is read back, and nothing else is taken for it."""

import json
import random

import pytest

from headstart.store import append_epoch, read_record, read_run, write_json, write_record
from headstart.store.run_record import DIGEST_OF_RECORD, DIGESTS_OF_FILES, FIELDS, digest_of_record
from store.helpers_store import epoch_row, mutated

RECORD = dict(state="COMPLETE", val_accuracy=71.5, lr=1e-7 / 3, seed=3, arm="Größe 模型", params={"lr": 1e-7 / 3})


def left(folder, **changed):
    """What a run leaves: a record as it begins, epochs, predictions, and its result."""
    write_record(folder / "run.json", dict(arm="cnn", number=0))
    for epoch in (1, 2, 3):
        append_epoch(folder, epoch_row(epoch, val_accuracy=60.0 + epoch))
    (folder / "predictions.npz").write_bytes(b"predictions")
    result = RECORD | dict(test_accuracy=70.0, test_reads=1, phase="confirm") | changed
    write_record(folder / "result.json", result, ("epochs.csv", "predictions.npz"))


def test_a_record_reads_back_as_it_was_written(tmp_path):
    write_record(tmp_path / "a.json", RECORD | dict(val_loss=float("nan")), ("epochs.csv",))
    assert read_record(tmp_path / "a.json") == (RECORD | dict(val_loss=None), {}, "")


def test_spacing_and_order_are_no_change_of_a_record(tmp_path):
    left(tmp_path)
    before = read_run(tmp_path)
    content = json.loads((tmp_path / "result.json").read_text())
    (tmp_path / "result.json").write_text(json.dumps(dict(sorted(content.items())), indent=7))
    assert read_run(tmp_path) == before and before["state"] == "COMPLETE"


@pytest.mark.parametrize("name", ["result.json", "epochs.csv", "predictions.npz"])
def test_no_damaged_file_is_taken_for_what_the_run_left(tmp_path, name):
    rng = random.Random(3)
    left(tmp_path)
    whole, original = read_run(tmp_path), (tmp_path / name).read_bytes()
    for damage in (b"", original[: len(original) // 2], *(mutated(original, rng) for _ in range(100))):
        (tmp_path / name).write_bytes(damage)
        run = read_run(tmp_path)
        if run != whole:  # harmless: spaces
            assert run["state"] == "INTERRUPTED" and name in run["reason"]
        assert run == whole or "test_accuracy" not in run
        assert name == "result.json" or damage == original or run != whole


def test_a_digit_changed_by_hand_is_noticed(tmp_path):
    left(tmp_path)
    text = (tmp_path / "result.json").read_text()
    (tmp_path / "result.json").write_text(text.replace("71.5", "91.5"))
    assert "changed since it was written" in read_run(tmp_path)["reason"]


@pytest.mark.parametrize("lacking", [{DIGEST_OF_RECORD}, {DIGEST_OF_RECORD, DIGESTS_OF_FILES}])
def test_a_result_without_digest_beside_a_run_json_with_one_is_none(tmp_path, lacking):
    left(tmp_path)
    content = json.loads((tmp_path / "result.json").read_text())
    write_json(tmp_path / "result.json", {key: value for key, value in content.items() if key not in lacking})
    assert read_run(tmp_path)["state"] == "INTERRUPTED"


def test_a_run_of_before_there_were_digests_is_read_without_complaint(tmp_path):
    write_json(tmp_path / "run.json", dict(arm="cnn", number=0))
    append_epoch(tmp_path, epoch_row(1))
    write_json(tmp_path / "result.json", RECORD)
    assert read_run(tmp_path) == RECORD | dict(number=0, reason="")


def test_predictions_may_be_deleted_and_epochs_may_not(tmp_path):
    left(tmp_path)
    (tmp_path / "predictions.npz").unlink()
    assert read_run(tmp_path)["state"] == "COMPLETE"
    (tmp_path / "epochs.csv").unlink()
    assert read_run(tmp_path)["reason"] == "damaged epochs.csv: it is not what the run left"


def test_only_who_asks_for_the_whole_run_reads_the_files_beside(tmp_path):
    left(tmp_path)
    (tmp_path / "epochs.csv").write_bytes(b"")
    assert read_run(tmp_path)["damaged"] == "epochs.csv"
    assert read_run(tmp_path, whole=False)["state"] == "COMPLETE"


def test_a_digest_names_no_file_elsewhere(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "secret").write_text("x")
    content = RECORD | {DIGESTS_OF_FILES: {"../secret": "0" * 64}}
    write_json(tmp_path / "run/result.json", content | {DIGEST_OF_RECORD: digest_of_record(content)})
    assert read_run(tmp_path / "run")["state"] == "COMPLETE"


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [{"a": [{}]}, [[["x"]]], float("inf")])
def test_no_field_may_be_of_another_type(tmp_path, field, value):
    (tmp_path / "a.json").write_text(json.dumps(RECORD | {field: value}))
    record, _, fault = read_record(tmp_path / "a.json")
    assert record is None and fault.startswith(f"unreadable a.json: {field}=") and "expected " in fault


@pytest.mark.parametrize("content", [b"", b'{"stem": "cifar", "arm": "other"}', b"\xff"])
def test_a_result_vouches_for_what_its_run_began_with(tmp_path, content):
    left(tmp_path, stem=None)
    whole = read_run(tmp_path)
    (tmp_path / "run.json").write_bytes(content)
    assert read_run(tmp_path) == whole and whole["arm"] == RECORD["arm"]
