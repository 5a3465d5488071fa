"""Leases in a real PostgreSQL server: folders that share a study, holders that were silent, results elsewhere."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from headstart.sweep.leases import LostClaim, server
from headstart.sweep.scheduler import WAIT
from headstart.sweep.trial import Reporter
from sweep.helpers_sweep import finish, open_scheduler, table, work
from sweep.leases.helpers_leases import SECONDS, ended, silent
from sweep.postgres import needs_server

pytestmark = needs_server


def test_two_folders_share_a_study_and_what_one_ran_the_other_takes_as_done(shared_study, tmp_path):
    here, there = shared_study(tmp_path / "here", confirm_seeds=2), shared_study(tmp_path / "there", confirm_seeds=2)
    while (claim := here.claim()) is not None:
        ended(here, claim)
        here, there = there, here
    assert there.claim() is None
    whole = open_scheduler(tmp_path / "whole", arms=["a"], confirm_seeds=2)
    work(whole)
    assert table(here) == table(there) == table(whole)
    runs = [
        sorted(p.parent.relative_to(s.state.folder) for p in s.state.folder.rglob("result.json")) for s in (here, there)
    ]
    assert len(runs[0]) == len(runs[1]) == 4 and not set(runs[0]) & set(runs[1])


def test_a_run_is_one_processs_while_it_beats_however_long_it_takes(shared_study, tmp_path):
    here, there = shared_study(tmp_path / "here", n_trials=1), shared_study(tmp_path / "there", n_trials=1)
    claim = here.claim()
    time.sleep(2 * SECONDS)
    assert there.claim() == WAIT
    claim.hold.check()
    ended(here, claim)
    assert there.claim() is None


def test_who_was_silent_is_replaced_and_neither_reports_nor_tells_any_more(shared_study, tmp_path):
    here, there = shared_study(tmp_path / "here", n_trials=1), shared_study(tmp_path / "there", n_trials=1)
    stale = here.claim()
    reporter = Reporter(f"{here.state.name}/a", here.state.url, 0, here.state.pruner, reports=True)
    with stale.hold.acting():
        reporter.report(1.0, 1)
    silent(stale)
    claim = there.claim()
    assert (claim.kind, claim.number, claim.params) == ("search", 0, stale.params)
    with pytest.raises(LostClaim, match="was handed to another process, as nothing was heard of this one for 1 sec"):
        stale.hold.check()
    with pytest.raises(LostClaim), stale.hold.acting():
        reporter.report(2.0, 2)
    with pytest.raises(LostClaim), stale.hold.acting():
        finish(here, stale)
    assert stale.hold.is_taken_elsewhere()
    assert here.tell(stale) == "RUNNING"
    assert ended(there, claim) == "COMPLETE"
    (trial,) = there.state.trials("a")[:1]
    assert trial.value == pytest.approx(table(there)["a"][0][3]) and trial.intermediate_values[1] == 1.0
    assert 2 not in trial.intermediate_values or trial.intermediate_values[2] != 2.0


def test_a_lease_that_ran_out_while_nobody_wanted_the_run_is_renewed(shared_study, tmp_path):
    here = shared_study(tmp_path, n_trials=1)
    claim = here.claim()
    silent(claim)
    claim.hold.check()
    assert ended(here, claim) == "COMPLETE"


def test_whose_process_is_gone_on_this_machine_is_replaced_at_once(shared_study, tmp_path):
    here, again = (
        shared_study(tmp_path, n_trials=1, lease_seconds=600),
        shared_study(tmp_path, n_trials=1, lease_seconds=600),
    )
    claim = here.claim()
    assert again.claim() == WAIT
    claim.hold._lock.release()  # as the kernel does at kill -9
    assert again.claim().number == 0


def test_a_decision_of_who_was_stopped_meanwhile_is_rolled_back(shared_study, tmp_path):
    here = shared_study(tmp_path / "here", n_trials=2)
    server._servers.clear()  # so that the other has connections and a heartbeat of its own, as in another process
    there = shared_study(tmp_path / "there", n_trials=2)
    claims = here.state.claims
    with pytest.raises(LostClaim, match="the lock of study"), claims.lock():
        claims.server.heartbeat.clear()
        with ThreadPoolExecutor(1) as other:
            claimed = other.submit(there.claim)  # the server ends the session that has the lock, and passes it on
            assert claimed.result(20 * SECONDS).number == 0
        here.state.storage.create_new_trial(here.state.studies["a"]._study_id)
    assert [t.number for t in there.state.trials("a") if t.state.name == "RUNNING"] == [0]
    assert len(there.state.trials("a")) == 5  # those that were queued in the beginning
