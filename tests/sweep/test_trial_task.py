"""A job of a study, in whatever process: it tells the study its own outcome."""

import pickle
import sqlite3
import threading
from contextlib import contextmanager, suppress

import pytest
from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict, read_write
from sqlalchemy.exc import OperationalError

from headstart.config import without_hydra
from headstart.errors import OutsideFault, UserError
from headstart.store import AT_WORK, holding_lock, is_alive, read_run, write_json
from headstart.sweep.pruners import make_pruner
from headstart.sweep.trial_task import TrialTask
from headstart.training import trial_context
from sweep.helpers_sweep import open_scheduler


@pytest.fixture
def job(monkeypatch):
    """`job(scheduler, claim)` is the configuration of a claim's job, with Hydra's as the job would find it."""
    with initialize_config_module("headstart.conf"):

        def configured(scheduler, claim):
            words = ["name=s", f"arm={claim.arm}", f"phase={claim.kind}", "data=digits", f"seed={claim.seed or 0}"]
            cfg = compose("config", words, return_hydra_config=True)
            with open_dict(cfg):
                cfg.hydra.runtime.output_dir = str(claim.run_dir)
                cfg.hydra.sweep.dir = str(scheduler.state.folder)
                cfg.hydra.sweeper.storage = scheduler.state.url
                cfg.hydra.job.num = claim.number or 0
            claim.release()  # a job in another process, whose sweeper holds no lock of its own here
            HydraConfig.instance().set_config(cfg)
            return without_hydra(cfg)

        yield configured
        HydraConfig.instance().cfg = None


def state_of(scheduler, number=0):
    trial = scheduler.state.find("a", number)
    return trial.state.name, trial.value, trial.user_attrs.get("reason")


def test_a_search_trial_reports_and_tells_what_it_returned(tmp_path, job):
    scheduler = open_scheduler(tmp_path, arms=["a"])
    claim = scheduler.claim()

    def task(cfg):
        assert is_alive(claim.run_dir)  # locked while it runs
        assert trial_context.facts() == dict(number=0, params={"lr": 0.1})
        assert trial_context.study_folder == scheduler.state.folder
        trial_context.report(40.0, 1)
        return 42.0

    assert TrialTask(task, scheduler.owner)(job(scheduler, claim)) == 42.0
    assert state_of(scheduler) == ("COMPLETE", 42.0, None)
    assert scheduler.state.find("a", 0).intermediate_values == {1: 40.0}
    assert trial_context.trial is None and not is_alive(claim.run_dir)
    assert trial_context.study_folder is None


def test_what_a_cluster_ends_a_job_with_is_no_failure_of_its_run(tmp_path, job, monkeypatch):
    """Submitit raises after the job has ended with its epoch, where it may not be queued again."""

    @contextmanager
    def ended_by_the_cluster():
        with suppress(SystemExit):
            yield
        raise RuntimeError("timed out too many times")

    monkeypatch.setattr("headstart.sweep.trial_task.ending_with_an_epoch", ended_by_the_cluster)
    scheduler = open_scheduler(tmp_path, arms=["a"])
    claim = scheduler.claim()
    with pytest.raises(RuntimeError, match="too many times"):
        TrialTask(lambda cfg: exec("raise SystemExit(140)"), scheduler.owner)(job(scheduler, claim))
    assert state_of(scheduler) == ("RUNNING", None, None) and not (claim.run_dir / "result.json").exists()
    assert not is_alive(claim.run_dir)


def test_a_job_that_raises_is_recorded_and_told_as_failed(tmp_path, job):
    scheduler = open_scheduler(tmp_path, arms=["a"])
    claim = scheduler.claim()
    with pytest.raises(RuntimeError):
        TrialTask(lambda cfg: exec("raise RuntimeError('out of paper')"), scheduler.owner)(job(scheduler, claim))
    assert state_of(scheduler) == ("FAIL", None, "out of paper")
    found = read_run(claim.run_dir)
    assert (found["state"], found["reason"], found["params"]) == ("FAILED", "out of paper", {"lr": 0.1})
    assert [found[name] for name in ("study", "arm", "phase", "number")] == ["s", "a", "search", 0]  # its row's place
    assert trial_context.trial is None


def test_a_database_that_fails_under_a_report_is_no_fault_of_the_run(tmp_path, job, monkeypatch):
    scheduler = open_scheduler(tmp_path, arms=["a"])
    claim = scheduler.claim()
    full = OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))
    monkeypatch.setattr("optuna.Trial.report", lambda *_: exec("raise full", {"full": full}))

    def task(cfg):
        with pytest.raises(OutsideFault, match=r"^disk full: the study's database could not be written"):
            trial_context.report(40.0, 1)
        return 42.0

    assert TrialTask(task, scheduler.owner)(job(scheduler, claim)) == 42.0


def test_a_confirmation_knows_its_trial_and_tells_nothing(tmp_path, job):
    scheduler = open_scheduler(tmp_path, arms=["a"], n_trials=1, confirm_seeds=1)
    first = scheduler.claim()
    TrialTask(
        lambda cfg: write_json(first.run_dir / "result.json", dict(state="COMPLETE", val_accuracy=50.0)),
        (scheduler.owner),
    )(job(scheduler, first))
    claim = scheduler.claim()
    seen = []
    TrialTask(lambda cfg: seen.append(trial_context.facts()) or 99.0, scheduler.owner)(job(scheduler, claim))
    assert (claim.kind, seen) == ("confirm", [dict(number=0, params={"lr": 0.1})])
    assert state_of(scheduler) == ("COMPLETE", 50.0, None)


def test_the_source_is_no_trial(tmp_path, job):
    scheduler = open_scheduler(tmp_path, arms=["a"], source=True)
    seen = []
    TrialTask(lambda cfg: seen.append(trial_context.trial), scheduler.owner)(job(scheduler, scheduler.claim()))
    assert seen == [None]


def test_a_job_whose_run_was_handed_to_another_process_does_nothing(tmp_path, job):
    scheduler = open_scheduler(tmp_path, arms=["a"])
    claim, ran = scheduler.claim(), []
    cfg = job(scheduler, claim)
    with pytest.raises(UserError, match="handed to another process while this job waited"):
        TrialTask(ran.append, "another owner")(cfg)
    assert ran == [] and state_of(scheduler)[0] == "RUNNING"


def test_a_job_that_does_not_see_the_studys_folder_says_so_and_fails_no_trial(tmp_path, job):
    scheduler = open_scheduler(tmp_path, arms=["a"])
    claim, ran = scheduler.claim(), []
    cfg = job(scheduler, claim)
    with read_write(HydraConfig.instance().cfg.hydra) as hydra:  # a relative path, and another place to start in
        hydra.sweep.dir = str(tmp_path / "elsewhere/s")
        hydra.runtime.output_dir = str(tmp_path / "elsewhere/s/a/search/000")
    with pytest.raises(OutsideFault, match=r"elsewhere/s as .* sees it is not the study's folder"):
        TrialTask(ran.append, scheduler.owner)(cfg)
    assert ran == [] and state_of(scheduler)[0] == "RUNNING"


def test_a_second_job_of_a_run_waits_for_the_end_of_the_first(tmp_path, job):
    scheduler = open_scheduler(tmp_path, arms=["a"])
    claim, ran = scheduler.claim(), []
    cfg = job(scheduler, claim)
    second = threading.Thread(target=TrialTask(lambda cfg: ran.append(cfg.arm), scheduler.owner), args=(cfg,))
    with holding_lock(claim.run_dir / AT_WORK):  # as the first does
        second.start()
        second.join(0.3)
        assert ran == [] and is_alive(claim.run_dir)
    second.join(10)
    assert ran == ["a"]


def test_a_run_that_is_claimed_anew_is_one_that_nobody_began(tmp_path, job):
    scheduler = open_scheduler(tmp_path, arms=["a"])
    claim = scheduler.claim()
    assert not (claim.run_dir / AT_WORK).exists()
    with pytest.raises(SystemExit):
        TrialTask(lambda cfg: exec("raise SystemExit(143)"), scheduler.owner)(job(scheduler, claim))
    assert (claim.run_dir / AT_WORK).exists()
    again = scheduler.claim()
    assert again.run_dir == claim.run_dir and not (claim.run_dir / AT_WORK).exists()


def test_a_task_can_be_sent_to_another_process_and_holds_no_password():
    sent = pickle.dumps(TrialTask(make_pruner, "owner"))
    assert pickle.loads(sent).owner == "owner"
    assert set(vars(TrialTask(make_pruner, "owner"))) == {"task", "owner"}
