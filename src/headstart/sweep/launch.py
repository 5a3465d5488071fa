"""Run what the scheduler hands out until nothing is left, beside other processes that do the same."""

import shlex
import threading
import time
from functools import partial
from pathlib import Path

from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction

from headstart.config import runs_elsewhere
from headstart.errors import UserError, summary
from headstart.store import write_json
from headstart.sweep import preflight
from headstart.sweep.cluster import FailedStarts, prepare_cluster
from headstart.sweep.fingerprint import record_fingerprint, refuse_changes
from headstart.sweep.leases import LostClaim, claims_of
from headstart.sweep.minutes import scheduler_of
from headstart.sweep.plan import Plan
from headstart.sweep.progress import SweepStatus, arm_without_runs, failed_arms
from headstart.sweep.pruners import make_pruner
from headstart.sweep.recovery import SharedLock, explained_faults, record_places
from headstart.sweep.samplers import make_sampler
from headstart.sweep.scheduler import WAIT, Claim, Scheduler
from headstart.sweep.storage import IN_MEMORY, copy_in_memory, make_folder, open_storage
from headstart.sweep.study_state import SeedsWanted, StudyState
from headstart.sweep.sync import Synced
from headstart.sweep.trial_task import TrialTask
from headstart.sweep.workers import (
    SECONDS_TO_STOP,
    Waiting,
    end_with,
    failed_workers,
    reporting_process,
    stop_children,
    waiting_workers,
    workers_beside,
)
from headstart.training import trial_context

SECONDS_BETWEEN_CLAIMS = 0.3


@explained_faults()
def run_sweep(
    plan: Plan, context: HydraContext, task: TaskFunction, seeds_wanted: SeedsWanted
) -> tuple[tuple[str, ...], str] | None:
    """Print the plan and run what is missing; (problems, error) as `EndedSweep` has them.

    seeds_wanted: who is asked with confirm_seeds=auto. Returns None where nobody reports: a dry run ends with its plan,
    and of a worker's runs the process that started it tells.
    Raises UserError for what a user has to mend.
    """
    if len(plan.looks) > 1 and seeds_wanted is None:
        raise UserError("confirm_seeds=auto needs the command headstart, which compares; give a number of seeds")
    if reporter := reporting_process():
        end_with(reporter)
    refuse_changes(plan.folder, plan.fingerprint)
    checks = {} if reporter else preflight.configurations_to_check(plan)
    if plan.config.dry_run:
        is_timed = bool(plan.in_minutes) or runs_elsewhere(plan.config)  # or can't be
        paces = preflight.measured_paces(checks, elsewhere=is_timed)
        status = SweepStatus(_planned_state(plan, seeds_wanted), plan.jobs, quiet=False)
        status.print_plan(plan)
        status.print_time(paces)
        return None
    prepare_cluster(plan.config)
    preflight.run_preflight(checks)
    work = partial(_work, plan, context, task, seeds_wanted)
    if reporter:
        return work(waiting=None)
    if plan.config.jobs > 1:
        make_folder(plan.folder)  # for the workers' logs
        open_storage(IN_MEMORY)  # which imports what every worker would have to import for its own
    with waiting_workers(partial(work, waiting=None), plan.words(), plan.config.jobs, plan.folder) as waiting:
        return work(waiting=waiting)


@explained_faults()
def _work(
    plan: Plan, context: HydraContext, task: TaskFunction, seeds_wanted: SeedsWanted, waiting: Waiting | None
) -> tuple[tuple[str, ...], str] | None:
    """Open the study and run what it hands out; returns what `run_sweep` does. waiting: None in a worker."""
    is_worker, folder = waiting is None, plan.own_folder()
    with trial_context.working("the same command" + (f" with {shlex.quote(folder)}" if folder else "")):
        scheduler, synced = _begin(plan, seeds_wanted, is_worker)
        status = SweepStatus(scheduler.state, plan.jobs, quiet=is_worker)
        status.print_plan(plan, scheduler.disagreements)
        jobs = 1 if waiting is None else plan.config.jobs
        with workers_beside(plan.words(), jobs, plan.folder, waiting) as workers, status:
            launcher = Plugins.instance().instantiate_launcher(
                config=plan.config, hydra_context=context, task_function=TrialTask(task, scheduler.owner)
            )
            runner = ClaimRunner(plan, scheduler, status, launcher, synced)
            runner.run()
            while synced.fetch():  # verdicts may ask for more seeds, once all runs are here
                runner.run()
    if is_worker:
        return None
    state = scheduler.state
    problems = [*failed_workers(workers, plan.folder), *failed_arms(state), *record_places(state, synced.url)]
    return tuple(problems), "\n".join(filter(None, (arm_without_runs(state), synced.end())))


# ---- opening the study


def _planned_state(plan: Plan, seeds_wanted: SeedsWanted) -> StudyState:
    """The study as it would begin; a plan leaves nothing behind."""
    names = [arm.name for arm in plan.arms]
    url = copy_in_memory(plan.config.hydra.sweeper.storage, plan.folder, plan.config.name, names)
    return _open_state(plan, url, seeds_wanted)


def _begin(plan: Plan, seeds_wanted: SeedsWanted, is_worker: bool) -> tuple[Scheduler, Synced]:
    """Record the study and open it; one that can't begin leaves its name free for one that can.

    What lies in a store alone is fetched before the storage and the folder are compared.
    """
    path, settings, url = plan.folder / "study.json", plan.settings, plan.config.hydra.sweeper.storage
    claims = claims_of(plan.config.name, plan.folder, url, settings.lease_seconds)
    with claims.lock():
        begins = not path.exists()
        begun = claims.settings() if begins and settings.elsewhere else None
    try:
        with claims.lock():
            if begun is not None:
                write_json(path, begun)
            record_fingerprint(plan.folder, plan.fingerprint | plan.facts())
        state = _open_state(plan, url, seeds_wanted)
        synced = Synced(state, settings.sync)
        if not is_worker:
            synced.begin()
        scheduler = scheduler_of(plan)(
            state,
            partial(make_sampler, settings),
            source=bool(settings.source),
            keep=plan.config.keep,
            extend_at_edge=settings.extend_at_edge,
            retry_failed=settings.retry_failed and not is_worker,
            looks_back=not is_worker,
        )
        with claims.lock():
            claims.keep_settings(path)
    except UserError:
        if begins:
            path.unlink(missing_ok=True)
        raise
    return scheduler, synced


def _open_state(plan: Plan, url: str, seeds_wanted: SeedsWanted) -> StudyState:
    state = StudyState(
        name=plan.config.name,
        folder=plan.folder,
        url=url,
        arms=plan.arms,
        n_trials=plan.n_trials,
        looks=plan.looks,
        confirm=plan.settings.confirm,
        seed=plan.config.seed,
        pruner=make_pruner(plan.settings.pruner),
        seeds_wanted=seeds_wanted if len(plan.looks) > 1 else None,
        lease_seconds=plan.settings.lease_seconds,
        elsewhere=plan.settings.elsewhere,
    )
    while state.ask_for_more_seeds():  # those that were asked for when it last went on
        pass
    return state


# ---- running claims


class ClaimRunner:
    """Launches the runs that this process claims, in `n_jobs` threads that wait for nobody."""

    def __init__(self, plan: Plan, scheduler: Scheduler, status: SweepStatus, launcher: Launcher, synced: Synced):
        self.plan, self.scheduler, self.status, self.launcher, self.synced = plan, scheduler, status, launcher, synced
        self.failures_in_a_row = 0
        self.error: BaseException | None = None  # what ended one of the threads, and ends the others
        self.running = SharedLock()
        self.died: set[Path] = set()  # run folders whose job ended with its process
        self.failed_starts = FailedStarts(plan.launcher)

    def run(self) -> None:
        """Run claims until nothing is left. Raises what ended a thread: UserError for too many failures in a row."""
        if self.plan.settings.n_jobs == 1:
            return self._one_after_another()
        threads = [threading.Thread(target=self._guarded, daemon=True) for _ in range(self.plan.settings.n_jobs)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():  # a plain join would not let a signal through
                    thread.join(0.5)
        except SystemExit:
            stop_children()  # Python would wait at its end for the runs of the launcher's pool
            for thread in threads:  # which puts its own things in order first
                thread.join(SECONDS_TO_STOP)
            raise
        if self.error is not None:
            raise self.error

    def _guarded(self) -> None:
        try:
            self._one_after_another()
        except BaseException as error:
            self.error = self.error or error

    def _one_after_another(self) -> None:
        while self.error is None:
            trial_context.end_if_told()
            try:
                claim = self.scheduler.claim()
            except LostClaim as lost:  # this process was stopped while it decided, and others went on
                self.status.lose(lost)
                continue
            if claim is None:
                return
            if claim == WAIT:
                self.status.show()
                time.sleep(SECONDS_BETWEEN_CLAIMS)
                continue
            self._run(claim)

    def _run(self, claim: Claim) -> None:
        self.status.begin(claim)
        # A worker that dies may take the others of its pool with it; whose fault it was shows only who runs alone.
        try:
            with self.running.exclusive() if claim.run_dir in self.died else self.running.shared():
                error = self._launch(claim)
            if isinstance(error, LostClaim):
                self.status.lose(error)
            self.scheduler.end_where_outside(claim, error)
            state = self.scheduler.tell(claim, error)
            self.synced.put(claim.run_dir)
        finally:
            claim.release()
        self.status.end(claim, state)
        self._watch_failures(claim, state, error)

    def _launch(self, claim: Claim) -> BaseException | None:
        """Run the claim's job; what it raised, or what its launcher did."""
        words = preflight.job_overrides(self.plan, claim)
        try:
            job = self.launcher.launch([words], initial_job_idx=claim.number or 0)[0]
        except Exception as died:  # a launcher's worker was killed: the study decides what becomes of the trial
            trial_context.end_if_told()  # as it was by this process
            if runs_elsewhere(self.plan.config):
                self.failed_starts.count(claim.run_dir, died)
            else:  # many may share a pool
                self.died.add(claim.run_dir)
            return died
        return job._return_value if job.status == JobStatus.FAILED else None

    def _watch_failures(self, claim: Claim, state: str, error: BaseException | None) -> None:
        if state == "FAILED":
            self.failures_in_a_row += 1
        elif state not in ("RUNNING", "INTERRUPTED"):  # lost, and to be run again
            self.failures_in_a_row = 0
        if isinstance(error, UserError) and claim.kind == "source":
            raise error
        if self.failures_in_a_row >= self.plan.settings.max_consecutive_failures:
            raise UserError(
                f"{self.failures_in_a_row} runs in a row failed, the last one with: {summary(error)}\n"
                f"its log: {claim.run_dir / 'log'}\n"
                "mend the cause, then run the same command with hydra.sweeper.retry_failed=true; other settings are "
                "another study, with another name="
            )
