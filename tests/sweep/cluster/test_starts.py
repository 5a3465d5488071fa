"""Jobs that a cluster did not start: the study ends with a sentence, and no run is failed for it."""

import pytest

from headstart.errors import OutsideFault
from headstart.store import AT_WORK
from headstart.sweep.cluster import FailedStarts

REFUSED = RuntimeError("sbatch: error: invalid partition specified: fast\nsbatch: error: Batch job submission failed")


def test_after_three_tries_for_a_run_the_study_ends_with_what_was_said(tmp_path):
    starts = FailedStarts("submitit_slurm")
    for _ in range(2):
        starts.count(tmp_path / "000", REFUSED)
        starts.count(tmp_path / "001", REFUSED)
    with pytest.raises(OutsideFault) as error:
        starts.count(tmp_path / "000", REFUSED)
    first, second = str(error.value).splitlines()
    assert first == "hydra/launcher=submitit_slurm started no job: sbatch: error: invalid partition specified: fast"
    assert "no trial is lost" in second


def test_a_job_that_had_begun_is_not_counted(tmp_path):
    starts = FailedStarts("submitit_slurm")
    (tmp_path / AT_WORK).touch()
    for _ in range(5):
        starts.count(tmp_path, RuntimeError("out of memory"))
