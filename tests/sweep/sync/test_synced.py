"""Two folders of a study that have nothing in common but a database server and a store, here a folder, too."""

import pytest
from conftest import files_below

from headstart.errors import OutsideFault, UserError
from headstart.store import digest_of, read_json, read_run, write_json
from headstart.sweep.recovery import record_places
from headstart.sweep.sync import Synced
from sweep.helpers_sweep import finish, open_scheduler
from sweep.leases.helpers_leases import ended, silent
from sweep.postgres import needs_server

pytestmark = needs_server


@pytest.fixture
def synced(shared_study, tmp_path):
    """`synced(place, **changes)`: a scheduler of the study in a folder of its own, and that folder beside the store."""

    def opened(place: str, **changes):
        scheduler = shared_study(tmp_path / place, **dict(n_trials=2, confirm_seeds=1) | changes)
        study_file = scheduler.state.folder / "study.json"
        if not study_file.exists():
            write_json(study_file, {})
        return scheduler, Synced(scheduler.state, f"file://{tmp_path}/store/")

    return opened


def put(scheduler, synced, claim) -> None:
    """The claim's job to its end, as a sweeper has it: its result is put into the store while the claim is held."""
    with claim.hold.acting():
        finish(scheduler, claim, told=False)
    scheduler.tell(claim)
    synced.put(claim.run_dir)
    claim.release()


def test_two_folders_fetch_from_the_store_what_each_lacks(synced):
    (here, of_here), (there, of_there) = synced("here"), synced("there")
    of_here.begin()
    of_there.begin()
    for scheduler, to_store in ((here, of_here), (there, of_there), (here, of_here)):
        put(scheduler, to_store, scheduler.claim())
    assert len(here.state.away()) == 1 and len(there.state.away()) == 2
    assert of_here.fetch() and of_there.fetch()
    assert not here.state.away() and not there.state.away()
    assert not of_here.fetch() and of_here.end() == of_there.end() == ""
    assert record_places(here.state, of_here.url) == record_places(there.state, of_there.url) == []
    results = [
        {name: files[name] for name in files if name.endswith(("result.json", "run.json", "best.safetensors"))}
        for files in (files_below(scheduler.state.folder / "a") for scheduler in (here, there))
    ]
    assert results[0] == results[1] and len(results[0]) == 9
    assert read_json(here.state.folder / "study.json")["places"].keys() == {
        "a/confirm/001/seed-1",
        "a/search/000",
        "a/search/001",
    }
    assert synced("there", looks_back=True)[0].disagreements == []


def test_a_result_whose_process_was_killed_before_it_was_put_is_put_when_the_command_is_given_again(synced, capfd):
    (here, of_here), (there, of_there) = synced("here"), synced("there")
    of_here.begin()
    claim = here.claim()
    ended(here, claim)  # and never put
    of_there.begin()
    assert there.state.away() and f"{of_there.url}/a/search/000 is left out: it is not there" in capfd.readouterr().err
    (line,) = record_places(there.state, of_there.url)
    assert line.endswith(f"they are not whole in {of_there.url}: give the same command there, then here once more")
    synced("here")[1].begin()
    assert of_there.fetch() and read_run(there.state.run_dir("a", 0))["state"] == "COMPLETE"


def test_what_a_lost_machine_took_with_it_can_run_again_and_what_it_had_put_need_not(synced):
    (here, of_here), (_, of_there) = synced("here"), synced("there")
    of_here.begin()
    put(here, of_here, here.claim())
    ended(here, here.claim())
    of_there.begin()
    again, _ = synced("there", elsewhere="rerun", looks_back=True)
    (line,) = again.disagreements
    assert line.startswith(f"{again.state.run_dir('a', 1)}: its result lies in ") and line.endswith(
        "it runs again here"
    )


def test_who_looks_while_a_result_is_on_its_way_waits_for_it(synced, monkeypatch):
    (here, of_here), (_, of_there) = synced("here"), synced("there")
    claim = here.claim()
    with claim.hold.acting():
        finish(here, claim, told=False)
    here.tell(claim)

    def looks_again(_seconds: float) -> None:
        of_here.put(claim.run_dir)

    monkeypatch.setattr("headstart.sweep.sync.synced.time.sleep", looks_again)
    assert of_there.fetch()
    claim.release()


def test_what_was_damaged_in_the_store_is_named_left_there_and_fetched_once_it_was_put_again(synced, tmp_path, capfd):
    (here, of_here), (there, of_there) = synced("here"), synced("there")
    of_here.begin()
    put(here, of_here, here.claim())
    result = tmp_path / "store" / here.state.name / "a/search/000/result.json"
    whole = result.read_bytes()
    result.write_bytes(whole.replace(b"COMPLETE", b"PRUNED"))
    assert not of_there.fetch() and not of_there.fetch()
    said = capfd.readouterr().err
    assert said.count("a/search/000 is left out: its result.json there is not the one that the study has") == 1
    assert not there.state.run_dir("a", 0).exists()
    synced("here")[1].begin()
    assert result.read_bytes() == whole and of_there.fetch()


def test_a_store_that_is_lost_costs_no_result_and_gets_what_it_lacks_when_it_is_back(synced, tmp_path, capfd):
    here, of_here = synced("here")
    of_here.begin()
    store = tmp_path / "store"
    store.rename(tmp_path / "lost")
    store.write_text("no folder")
    put(here, of_here, here.claim())
    put(here, of_here, here.claim())
    assert capfd.readouterr().err.count("cannot be used (") >= 1
    assert [read_run(here.state.run_dir("a", n))["state"] for n in (0, 1)] == ["COMPLETE", "COMPLETE"]
    assert "cannot be used (" in of_here.end()
    with pytest.raises(OutsideFault, match="give the same command again"):
        synced("here")[1].begin()
    store.unlink()
    (tmp_path / "lost").rename(store)
    assert of_here.end() == ""
    assert sorted(of_here.remote.runs()) == ["a/search/000", "a/search/001"]


def test_what_a_process_did_after_it_was_fenced_off_is_not_put(synced, tmp_path):
    (here, of_here), (there, of_there) = synced("here"), synced("there")
    lost = here.claim()
    silent(lost)
    again = there.claim()
    assert again.number == lost.number
    put(there, of_there, again)
    finish(here, lost, told=False, seconds_train=2.5)  # other bytes
    of_here.put(lost.run_dir)
    kept = tmp_path / "store" / here.state.name / "a/search/000/result.json"
    assert digest_of(kept) == digest_of(again.run_dir / "result.json") != digest_of(lost.run_dir / "result.json")
    assert of_here.fetch() and digest_of(kept) == digest_of(lost.run_dir / "result.json")
    assert (lost.run_dir.parent / ".000.superseded-1/result.json").exists()


def test_a_folder_that_joins_fetches_the_source_run_with_its_weights(synced):
    here, of_here = synced("here", source=True)
    of_here.begin()
    put(here, of_here, here.claim())
    there, of_there = synced("there", source=True)
    of_there.begin()
    assert (there.state.source_dir / "best.safetensors").read_bytes() == b"x"
    assert there.claim().kind == "search"


def test_another_study_of_the_name_does_not_get_the_place(synced, tmp_path):
    here, of_here = synced("here")
    of_here.begin()
    of_other = Synced(open_scheduler(tmp_path / "other", name=here.state.name).state, f"file://{tmp_path}/store")
    write_json(of_other.state.folder / "study.json", {})
    with pytest.raises(UserError, match="holds another study of this name"):
        of_other.begin()


def test_without_a_store_nothing_is_said_or_done(shared_study, tmp_path):
    scheduler = shared_study(tmp_path, n_trials=1)
    alone = Synced(scheduler.state, None)
    alone.begin()
    put(scheduler, alone, scheduler.claim())
    assert (alone.fetch(), alone.end(), alone.url) == (False, "", "")
