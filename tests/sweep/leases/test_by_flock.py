"""Claims by flock: of one folder, freed by the kernel, lost by nobody."""

import time
from contextlib import nullcontext

import pytest

from headstart.errors import UserError
from headstart.store import is_alive, write_record
from headstart.sweep.leases.by_flock import FlockClaims
from headstart.sweep.storage import IN_MEMORY


@pytest.fixture
def claims(tmp_path):
    return FlockClaims(tmp_path / "s", f"journal:///{tmp_path}/study.log")


def test_a_claim_is_alive_until_it_and_its_job_let_go(claims, tmp_path):
    run_dir = tmp_path / "s" / "a" / "search" / "000"
    with claims.lock(), claims.snapshot():
        hold = claims.take(run_dir, "me")
    job = claims.adopt(run_dir, "me")
    hold.release()
    assert claims.is_alive(run_dir) and not claims.seize(run_dir)
    job.check()
    with job.acting(), job.ending():
        pass
    job.release()
    assert not is_alive(run_dir) and claims.seize(run_dir) and not job.is_taken_elsewhere()


def test_what_was_seen_alive_stays_so_for_one_decision_which_takes_no_time(claims, tmp_path):
    """However many runs are at work: the study's lock is held meanwhile, and all other processes wait for it."""
    run_dirs = [tmp_path / "s" / "a" / "search" / f"{number:03}" for number in range(20)]
    with claims.lock():
        holds = [claims.take(run_dir, "me") for run_dir in run_dirs]
    seconds = []
    for looking in (nullcontext, claims.snapshot):
        began = time.monotonic()
        with looking():
            assert all(map(claims.is_alive, run_dirs)) and not any(map(claims.seize, run_dirs))
        seconds.append(time.monotonic() - began)
    assert seconds[1] < seconds[0] / 3 and seconds[0] > 0.5
    with claims.snapshot():
        assert claims.is_alive(run_dirs[0])
        holds[0].release()
        assert claims.is_alive(run_dirs[0]) and not claims.is_alive(tmp_path / "none")
        with claims.snapshot():  # a decision within, which looks again
            assert not claims.is_alive(run_dirs[0])
            hold = claims.take(run_dirs[0], "me")
            assert claims.is_alive(run_dirs[0])
        hold.release()
    assert not claims.is_alive(run_dirs[0])
    for hold in holds:
        hold.release()


def test_a_job_of_another_owner_and_one_whose_run_is_to_run_again_do_not_start(claims, tmp_path):
    run_dir = tmp_path / "s" / "a" / "search" / "000"
    with claims.lock():
        claims.take(run_dir, "me").release()
    with pytest.raises(UserError, match="handed to another process while this job waited"):
        claims.adopt(run_dir, "somebody else")
    claims.reopen(run_dir)
    with pytest.raises(UserError, match="handed to another process"):
        claims.adopt(run_dir, "me")


def test_how_a_run_ended_is_in_its_folder_alone(claims, tmp_path):
    run_dir = tmp_path / "s" / "a" / "confirm" / "000" / "seed-1"
    run_dir.mkdir(parents=True)
    assert not claims.has_ended(run_dir)
    write_record(run_dir / "result.json", dict(state="COMPLETE", val_accuracy=50.0, val_size=30))
    claims.note_end(run_dir)
    assert claims.has_ended(run_dir) and claims.val_size(run_dir) == 30 and claims.ended() == {}


def test_in_memory_nobody_else_has_to_be_kept_out(tmp_path):
    with FlockClaims(tmp_path / "none", IN_MEMORY).lock():
        assert not (tmp_path / "none").exists()
