"""What a study fixed when it began."""

import pytest

from headstart.errors import UserError
from headstart.store import read_json
from headstart.sweep.fingerprint import record_fingerprint, refuse_changes


def fingerprint(**changes):
    return {"common": {"sampler.seed": 0}, "arms": {"cnn": {"epochs": 10, "data.train_size": None} | changes}}


def test_changed_settings_are_refused_key_by_key_and_new_arms_are_not(tmp_path):
    record_fingerprint(tmp_path, fingerprint())
    before = (tmp_path / "study.json").read_bytes()
    with pytest.raises(UserError) as error:
        record_fingerprint(tmp_path, fingerprint(epochs=20, **{"data.train_size": 500}))
    assert "epochs: was 10, now 20" in str(error.value)
    assert "data.train_size: was None, now 500" in str(error.value)
    with pytest.raises(UserError, match="epochs: was 10, now 20"):
        refuse_changes(tmp_path, fingerprint(epochs=20))
    assert (tmp_path / "study.json").read_bytes() == before
    added = fingerprint()
    added["arms"]["resnet18"] = {"epochs": 10}
    record_fingerprint(tmp_path, added)
    record_fingerprint(tmp_path, fingerprint())  # an arm left out stays recorded
    assert set(read_json(tmp_path / "study.json")["arms"]) == {"cnn", "resnet18"}


def test_what_the_report_knows_of_an_arm_stays_when_a_later_command_leaves_the_arm_out(tmp_path):
    both = fingerprint() | dict(spaces={"cnn": {"lr": {}}, "big": {"lr": {}}}, arm_order=["big", "cnn"], n_trials=5)
    record_fingerprint(tmp_path, both)
    record_fingerprint(tmp_path, fingerprint() | dict(spaces={"cnn": {"lr": {}}}, arm_order=["cnn"], n_trials=12))
    found = read_json(tmp_path / "study.json")
    assert (set(found["spaces"]), found["arm_order"], found["n_trials"]) == ({"cnn", "big"}, ["big", "cnn"], 12)
