"""A folder that is no finished run says what it is."""

import pytest

from headstart import store
from headstart.errors import UserError
from headstart.inference.finished import check_finished
from inference.helpers_inference import finished


def test_a_finished_run_passes(tmp_path):
    finished(tmp_path / "run")
    check_finished(tmp_path / "run")


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (dict(state="FAILED"), "is a run that failed"),
        (dict(state="COMPLETE", phase="search", val_accuracy=50.0), "of a search only the best trial's weights stay"),
    ],
)
def test_a_run_without_weights_says_why(tmp_path, record, said):
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    store.write_json(tmp_path / "run" / "result.json", record)
    with pytest.raises(UserError, match=said):
        check_finished(tmp_path / "run")


def test_a_folder_of_runs_names_them(tmp_path):
    finished(tmp_path / "study" / "run")
    with pytest.raises(UserError, match=r"is not one run; give one of those with weights in it:\n.*study/run"):
        check_finished(tmp_path / "study")
