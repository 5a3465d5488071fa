"""Running what was claimed: the overrides of its job, threads, jobs that die, failures in a row."""

from types import SimpleNamespace

import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from headstart.errors import OutsideFault, UserError
from headstart.store import AT_WORK, is_alive, read_run
from headstart.sweep.arms import Arm
from headstart.sweep.launch import ClaimRunner
from headstart.sweep.plan import Plan
from headstart.sweep.preflight import job_overrides
from headstart.sweep.progress import SweepStatus
from headstart.sweep.sync import Synced
from headstart.training import trial_context
from sweep.helpers_sweep import finish, open_scheduler


class Jobs:
    """A launcher whose jobs end as `endings` say by their run folder, else COMPLETE; some end with their process."""

    def __init__(self, scheduler, endings=(), deaths=()):
        self.scheduler, self.endings, self.deaths = scheduler, dict(endings), dict(deaths)
        self.claims, self.launched, self.meanwhile = {}, [], lambda run: None
        claim = scheduler.claim
        scheduler.claim = lambda: self._remember(claim())

    def _remember(self, claim):
        if hasattr(claim, "run_dir"):
            self.claims[self._run(claim.run_dir)] = claim
        return claim

    def _run(self, folder):
        return str(folder.relative_to(self.scheduler.state.folder))

    def launch(self, overrides, initial_job_idx):
        run = next(word.partition("=")[2] for word in overrides[0] if word.startswith("hydra.sweep.subdir="))
        self.launched.append((run, initial_job_idx))
        self.meanwhile(run)
        if self.deaths.get(run, 0) > 0:
            self.deaths[run] -= 1
            raise RuntimeError("a worker was terminated")
        job = JobReturn()
        job.status = JobStatus.FAILED if run in self.endings else JobStatus.COMPLETED
        job._return_value = self.endings.get(run, 50.0)
        failed = dict(state="FAILED", reason=str(job._return_value)) if run in self.endings else {}
        finish(self.scheduler, self.claims[run], **failed)
        return [job]


def runner(tmp_path, n_jobs=1, endings=(), deaths=(), launcher="joblib", **changes):
    scheduler = open_scheduler(tmp_path, **changes)
    settings = SimpleNamespace(n_jobs=n_jobs, max_consecutive_failures=3, source_overrides=["epochs=1"])
    hydra = {"sweep": {"dir": str(scheduler.state.folder)}, "runtime": {"choices": {"hydra/launcher": launcher}}}
    config = OmegaConf.create({"name": "s", "hydra": hydra})
    plan = Plan(settings, config, ["epochs=2"], scheduler.state.arms, {}, None, 6, {})
    status = SweepStatus(scheduler.state, jobs=n_jobs, quiet=True)
    return ClaimRunner(plan, scheduler, status, Jobs(scheduler, endings, deaths), Synced(scheduler.state, None))


def failing(*runs):
    return {f"a/search/{n:03d}": ValueError(f"trial {n} broke\nsee the manual") for n in runs}


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_claims_are_run_until_nothing_is_left(tmp_path, n_jobs):
    running = runner(tmp_path, n_jobs, n_trials=3, confirm_seeds=1)
    running.run()
    runs = [run for run, _ in running.launcher.launched]
    search = {f"{arm}/search/{n:03d}" for arm in "ab" for n in range(3)}
    assert set(runs) == search | {f"{arm}/confirm/002/seed-1" for arm in "ab"} and len(runs) == 8
    assert all(f"{index:03d}" in run for run, index in running.launcher.launched)


def test_failures_in_a_row_end_the_sweep_and_say_where_to_look(tmp_path):
    running = runner(tmp_path, arms=["a"], endings=failing(1, 2, 3))
    with pytest.raises(UserError) as error:
        running.run()
    first, second, *_ = str(error.value).splitlines()
    assert first == "3 runs in a row failed, the last one with: trial 3 broke"
    assert second == f"its log: {tmp_path}/s/a/search/003/log"
    assert "hydra.sweeper.retry_failed=true" in str(error.value)
    assert len(running.launcher.launched) == 4


def test_a_run_that_ends_well_begins_the_row_anew(tmp_path):
    running = runner(tmp_path, arms=["a"], endings=failing(0, 1, 3, 4))
    running.run()
    assert len(running.launcher.launched) == 6


def test_a_mistake_in_the_source_ends_the_sweep_at_once(tmp_path):
    mistake = UserError("no such class")
    running = runner(tmp_path, arms=["a"], endings={"source": mistake}, source=True)
    with pytest.raises(UserError) as error:
        running.run()
    assert error.value is mistake


def test_a_run_whose_worker_died_is_run_again_and_alone(tmp_path):
    running = runner(tmp_path, arms=["a"], n_trials=2, deaths={"a/search/001": 2})
    alone = []
    running.launcher.meanwhile = lambda run: alone.append((run, running.running._alone))
    running.run()
    died = "a/search/001"
    assert alone == [("a/search/000", False), (died, False), (died, True), (died, True)]
    assert running.scheduler.state.find("a", 1).state.name == "COMPLETE"


def test_a_run_whose_worker_always_dies_is_failed(tmp_path):
    running = runner(tmp_path, arms=["a"], n_trials=1, deaths={"a/search/000": 9})
    running.run()
    assert (
        "its process died 3 times (out of memory, or of time?): a worker was terminated"
        in (read_run(tmp_path / "s/a/search/000")["reason"])
    )
    assert running.failures_in_a_row == 1


def test_a_cluster_that_starts_no_job_ends_the_study_and_fails_no_trial(tmp_path):
    running = runner(tmp_path, arms=["a"], deaths={"a/search/000": 9}, launcher="submitit_slurm")
    with pytest.raises(OutsideFault, match="hydra/launcher=submitit_slurm started no job: a worker was terminated"):
        running.run()
    assert len(running.launcher.launched) == 3
    assert not (tmp_path / "s/a/search/000/result.json").exists()
    assert not is_alive(tmp_path / "s/a/search/000")


def test_a_job_of_a_cluster_that_dies_is_run_again_beside_others(tmp_path):
    running = runner(tmp_path, arms=["a"], n_trials=2, deaths={"a/search/001": 2}, launcher="submitit_slurm")
    alone = []

    def begin(run):
        (tmp_path / "s" / run / AT_WORK).touch()
        alone.append(running.running._alone)

    running.launcher.meanwhile = begin
    running.run()
    assert alone == [False] * 4
    assert running.scheduler.state.find("a", 1).state.name == "COMPLETE"


def test_what_ends_one_thread_ends_all_and_is_raised(tmp_path):
    running = runner(tmp_path, n_jobs=2, n_trials=50, endings=failing(*range(50)), arms=["a"])
    with pytest.raises(UserError, match="runs in a row failed"):
        running.run()
    assert len(running.launcher.launched) <= 6


def test_a_process_that_was_told_to_stop_claims_nothing_more(tmp_path, monkeypatch):
    running = runner(tmp_path)
    running.launcher.meanwhile = lambda run: monkeypatch.setattr(trial_context, "stop", 143)
    with pytest.raises(SystemExit) as end:
        running.run()
    assert end.value.code == 143 and len(running.launcher.launched) == 1


def test_a_jobs_overrides_are_what_was_typed_the_arms_and_its_own(tmp_path):
    arms = [Arm("a", ["model=cnn", "model.weights=source", "epochs=9"], {}, [])]
    plan = runner(tmp_path, arms=arms, source=True).plan
    claim = SimpleNamespace(kind="confirm", arm="a", number=4, params={"lr": 1e-3, "optimizer": "a b"}, seed=7)
    claim.run_dir = plan.folder / "a/confirm/004/seed-7"
    assert job_overrides(plan, claim) == [
        "model=cnn",
        f"model.weights={tmp_path}/s/source/best.safetensors",
        "epochs=9",
        "name=s",
        "arm=a",
        "phase=confirm",
        "lr=0.001",
        'optimizer="a b"',
        "seed=7",
        "hydra.sweep.subdir=a/confirm/004/seed-7",
        "hydra.job_logging.root.handlers=[file]",
    ]
    source = SimpleNamespace(kind="source", arm="source", number=None, params={}, seed=None)
    source.run_dir = plan.folder / "source"
    assert job_overrides(plan, source)[:4] == ["epochs=1", "name=s", "arm=source", "phase=source"]
