"""Runs of a study that lie in other folders of it, with a real server."""

import shutil

import pytest

from headstart.errors import UserError
from headstart.store import read_json, read_run, write_json, write_record
from headstart.sweep.recovery import record_places
from sweep.helpers_sweep import table
from sweep.leases.helpers_leases import ended, silent
from sweep.postgres import needs_server

pytestmark = needs_server


@pytest.fixture
def two(shared_study, tmp_path):
    """A study of two trials and a confirmation: folder `here` ran 0 and the confirmation, `there` ran 1."""
    settings = dict(n_trials=2, confirm_seeds=1)
    here, there = (shared_study(tmp_path / place, **settings) for place in ("here", "there"))
    for scheduler in (here, there, here):
        ended(scheduler, scheduler.claim())
    assert here.claim() is None and there.claim() is None
    for scheduler in (here, there):
        write_json(scheduler.state.folder / "study.json", {})
    return here.state, there.state


def opened_again(shared_study, state, **changes):
    return shared_study(state.folder.parent, n_trials=2, confirm_seeds=1, looks_back=True, **changes)


def copied(run: str, of, to) -> None:
    shutil.copytree(of.folder / run, to.folder / run)


def test_what_lies_elsewhere_is_said_and_written_down_until_it_is_copied(two):
    here, there = two
    (line,) = record_places(here)
    assert line.startswith("1 of 3 runs lie in other folders of the study and are not in this report: ")
    assert f":{there.folder} (1);\ncopy them here, such as by rsync -a --exclude='/.*' " in line
    places = read_json(here.folder / "study.json")["places"]
    assert sorted(places) == ["a/confirm/001/seed-1", "a/search/000", "a/search/001"]
    assert [run for run, place in places.items() if place.endswith(str(there.folder))] == ["a/search/001"]
    copied("a/search/001", there, here)
    assert record_places(here) == []


def test_a_result_elsewhere_is_neither_lost_nor_run_again_unless_that_is_asked_for(shared_study, two):
    here, there = two
    again = opened_again(shared_study, here)
    assert again.disagreements == [] and again.claim() is None
    before = table(again)
    again = opened_again(shared_study, here, elsewhere="rerun")
    (line,) = again.disagreements
    assert line.startswith(f"{here.folder}/a/search/001: its result lies in ")
    assert line.endswith(f":{there.folder}; it runs again here")
    claim = again.claim()
    assert (claim.kind, claim.number) == ("search", 1)
    ended(again, claim, seconds_train=1.5)  # by which its bytes are others
    assert table(again) == before and again.claim() is None
    of_there = opened_again(shared_study, there)
    assert any("what lay here is now .001.superseded-1" in line for line in of_there.disagreements)
    assert not there.run_dir("a", 1).exists()


def test_what_a_dead_process_had_begun_is_put_aside_where_another_folder_has_the_result(shared_study, tmp_path):
    here, there = (shared_study(tmp_path / place, n_trials=1) for place in ("here", "there"))
    lost = there.claim()
    (lost.run_dir / "run.json").write_text("{}")
    silent(lost)
    ended(here, here.claim())
    again = shared_study(tmp_path / "there", n_trials=1, looks_back=True)
    assert [line.partition(": ")[0] for line in again.disagreements] == [str(lost.run_dir)]
    assert not lost.run_dir.exists() and (lost.run_dir.parent / ".000.superseded-1" / "run.json").exists()


def test_a_damaged_copy_is_to_be_copied_again_and_a_damaged_run_of_our_own_runs_again(shared_study, two):
    here, there = two
    run_dir = there.run_dir("a", 1)
    (run_dir / "epochs.csv").write_text("epoch\n")
    write_record(run_dir / "result.json", read_run(run_dir), ["epochs.csv"])
    with there.locked():
        there.claims.note_end(run_dir)
    copied("a/search/001", there, here)
    (here.run_dir("a", 1) / "epochs.csv").write_text("damaged")
    (here.run_dir("a", 0) / "result.json").write_text("{")
    again = opened_again(shared_study, here)
    own, copy = again.disagreements
    assert own.startswith(f"{here.run_dir('a', 0)}: unreadable result.json") and own.endswith("; it runs again")
    assert copy.startswith(f"{here.folder}/a/search/.001.superseded-1: damaged epochs.csv")
    assert copy.endswith(f":{there.folder} again")
    claim = again.claim()
    assert (claim.kind, claim.number) == ("search", 0)
    ended(again, claim)
    assert again.claim() is None


def test_a_confirmation_that_is_gone_where_it_was_made_runs_again_and_one_elsewhere_does_not(shared_study, two):
    here, there = two
    (confirm,) = here.folder.glob("a/confirm/*/seed-1")
    assert opened_again(shared_study, there).claim() is None
    shutil.rmtree(confirm)
    again = opened_again(shared_study, here)
    assert again.disagreements == [f"{confirm}: its result is gone; it runs again"]
    claim = again.claim()
    assert (claim.kind, claim.run_dir) == ("confirm", confirm)
    claim.release()


def test_a_source_run_has_to_be_in_the_folder_that_joins(shared_study, tmp_path):
    here = shared_study(tmp_path / "here", source=True)
    ended(here, here.claim())
    assert here.claim().kind == "search"
    there = shared_study(tmp_path / "there", source=True)
    with pytest.raises(UserError, match="the source run lies in another folder of the study; copy it from there to"):
        there.claim()
    copied("source", here.state, there.state)
    assert there.claim().kind == "search"


def test_runs_of_before_there_were_leases_are_noted_by_their_own_folders_and_no_other_runs_them_again(
    shared_study, two, server
):
    here, there = two
    server.execute(f"DELETE FROM headstart_leases WHERE study LIKE '{here.name}/%'")
    again = opened_again(shared_study, there)
    assert len(again.disagreements) == 1 and "nobody has noted where its result lies" in again.disagreements[0]
    assert opened_again(shared_study, here).disagreements == []
    assert {run_dir.name for run_dir in here.claims.ended()} == {"000", "001", "seed-1"}
