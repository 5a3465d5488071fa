"""A sweep from its configuration to a finished study: compose the arms, launch what the study hands out, report."""

import hashlib
import json
import os
import shlex
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from headstart.config import (
    DESCRIBING,
    check_values,
    experiments_folder,
    explain,
    keys_without_effect,
    override_value,
    without_hydra,
)
from headstart.errors import UserError, summary
from headstart.store import OUTCOMES, read_run
from headstart.sweep import preflight as rehearsal
from headstart.sweep.arms import (
    build_arms,
    check_rates,
    example,
    grid,
    linear_learning_rate,
    replace_overrides,
    searched_by_model,
    size_of,
    sort_arguments,
    with_models_search,
)
from headstart.sweep.fingerprint import check_fingerprint, refuse_changes
from headstart.sweep.progress import SweepStatus, count
from headstart.sweep.scheduler import WAIT, Claim, Study
from headstart.sweep.storage import study_lock, without_password
from headstart.sweep.study_state import Arm, copy_of
from headstart.sweep.trial import number_of
from headstart.sweep.trial_task import StudyTask, make_pruner
from headstart.sweep.turns import Turns
from headstart.sweep.workers import WORKER, end_with, start_workers, stop_workers
from headstart.training import trial_context as current

SECONDS_BETWEEN_CLAIMS = 0.3
SAMPLERS = ("optuna.samplers.*", "hydra_plugins.hydra_optuna_sweeper.*")


@dataclass(frozen=True)
class EndedSweep:
    """A sweep that has ended, for whoever reports it."""

    folder: Path
    problems: tuple[str, ...]  # a sentence each
    error: str  # why the sweep counts as failed; empty where it doesn't


class Sweep:
    """One process's part in a study."""

    def __init__(
        self,
        settings: dict[str, Any],
        context: HydraContext,
        task: TaskFunction,
        config: DictConfig,
        arguments: list[str],
    ):
        self.settings, self.context, self.task, self.config = settings, context, task, config
        self.parent = int(os.environ.get(WORKER, 0))
        if self.parent:
            end_with(self.parent)
        self._refuse_what_cannot_work()
        params = {str(k): v for k, v in (settings["params"] or {}).items()}
        shared, _ = searched_by_model(_plain(config.model.get("search")))
        self.typed = sort_arguments(arguments, params, shared)
        choices = config.hydra.runtime.choices
        configured = OmegaConf.to_container(OmegaConf.create(settings["arms"])) if settings["arms"] else None
        arms = build_arms(configured, self.typed, _plain(settings["first_points"]), str(choices["model"]))
        self.composed = {arm.name: self._compose(f"arm {arm.name}", arm.overrides) for arm in arms}
        self.arms = [self._with_models_search(arm) for arm in arms]
        self.is_grid = str((settings["sampler"] or {}).get("_target_", "")).endswith(".GridSampler")
        self._shape_search()
        fingerprint = self._fingerprint()
        self.name = config.name or "adhoc-" + hashlib.sha256(json.dumps(fingerprint).encode()).hexdigest()[:8]
        with open_dict(config):
            config.name = self.name
        self.folder = Path(config.hydra.sweep.dir)
        self.fingerprint = fingerprint

    def _with_models_search(self, arm: Arm) -> Arm:
        cfg = self.composed[arm.name]
        return with_models_search(arm, _plain(cfg.model.get("search")), self.typed, keys_without_effect(cfg))

    def _refuse_what_cannot_work(self) -> None:
        settings, launcher = self.settings, str(self.config.hydra.runtime.choices["hydra/launcher"])
        if "test" in settings["objective"]:
            raise UserError(
                f"hydra.sweeper.objective={settings['objective']}: the test split never chooses; use val_accuracy"
            )
        if settings["objective"] != "val_accuracy" or str(settings["direction"]).rpartition(".")[2] != "maximize":
            raise UserError("arms are compared by val_accuracy, maximised; hydra/sweeper=optuna takes other objectives")
        storage = str(OmegaConf.to_container(self.config.hydra.sweeper).get("storage"))
        if without_password(storage) != storage:
            raise UserError(
                f"hydra.sweeper.storage={without_password(storage)}: every run would write the password to its folder; "
                "set the URL as the environment variable HEADSTART_STORAGE"
            )
        if settings["custom_search_space"]:
            raise UserError(
                "hydra.sweeper.custom_search_space is not supported by arms; write params or first_points per arm"
            )
        if settings["max_failure_rate"] != 1.0:
            raise UserError(
                f"hydra.sweeper.max_failure_rate={settings['max_failure_rate']} is the stock sweeper's; here failed "
                "trials stay in the tables, and hydra.sweeper.max_consecutive_failures=3 in a row stop the sweep"
            )
        if settings["n_jobs"] > 1 and launcher == "basic":
            raise UserError(
                f"hydra.sweeper.n_jobs={settings['n_jobs']} needs a launcher whose jobs are processes "
                f"(hydra/launcher=joblib); for this machine use jobs={settings['n_jobs']}"
            )

    def _shape_search(self) -> None:
        """Turn a grid into points tried in order, and leave out of the budget what a small space doesn't have."""
        for arm in self.arms:
            if self.is_grid:
                arm.first_points = grid(arm.space, arm.first_points)
            check_rates(arm)
            if warning := linear_learning_rate(arm.space):
                print(f"warning: {warning}", file=sys.stderr)
        self.n_trials = self.settings["n_trials"]
        if self.is_grid:
            self.n_trials = min(self.n_trials, max(len(a.first_points) for a in self.arms))  # smaller grids repeat
        if not any(arm.space for arm in self.arms):
            self.n_trials = 1  # nothing to search: one trial per arm

    # ---- composition and fingerprint

    def _compose(self, whose: str, overrides: list[str]) -> DictConfig:
        words = replace_overrides(self.typed.fixed, overrides)
        try:
            return self.context.config_loader.load_sweep_config(self.config, words)
        except CompactHydraException as error:
            raise UserError(f"{whose}: {explain(error, words)}") from None

    def _fingerprint(self) -> dict[str, Any]:
        """What an existing study must agree with; composing every arm also finds its mistakes before anything runs."""
        common = dict(
            protocol=PROTOCOL_VERSION, objective=self.settings["objective"], sampler=_plain(self.settings["sampler"]),
            pruner=_plain(self.settings["pruner"]), source=_plain(self.settings["source"]),
        )  # fmt: skip
        arms = {}
        for arm in self.arms:
            cfg = self.composed[arm.name]
            check_values(cfg)
            content = OmegaConf.to_container(without_hydra(cfg), resolve=True)
            flat = {
                k: v
                for k, v in _flatten(content)
                if k.partition(".")[0] not in DESCRIBING | {"threads"} | keys_without_effect(cfg)
                and not k.startswith("model.search")
                and k not in ("data.root", "data.cache", "data.download")
                and k not in arm.space
                and not (k == "optimizer.lr" and "lr" in arm.space)
            }
            space = {k: repr(d) for k, d in arm.space.items()}
            arms[arm.name] = flat | {"search space": space, "first points": arm.first_points}
        return dict(common=common, arms=arms)

    # ---- running

    def run(self) -> EndedSweep | None:
        """Show the plan and run what is missing; return what there is to report, unless another process does."""
        refuse_changes(self.folder, self.fingerprint)
        if not self.config.dry_run:
            self._rehearse()
            with study_lock(self.folder):
                begins = not (self.folder / "study.json").exists()
                check_fingerprint(self.folder, self.fingerprint | self._remembered())
        try:
            self.study = self._open_study()
        except UserError:
            if not self.config.dry_run and begins:  # it has not begun, and must not stand in the way of one that can
                (self.folder / "study.json").unlink(missing_ok=True)
            raise
        jobs = max(self.config.jobs, self.settings["n_jobs"])
        self.status = SweepStatus(self.study, jobs, quiet=bool(self.parent))
        self.status.plan(self.config, self._epochs(), self._question(), self._plan_notes())
        if self.config.dry_run:
            return None
        workers = [] if self.parent else start_workers(self._typed(), self.config.jobs, self.folder)
        try:
            with self.status:
                self._work()
            for worker in workers:
                worker.wait()
        except BaseException:
            stop_workers(workers)
            raise
        if self.parent:
            return None
        problems = [
            f"a worker ended with exit code {worker.returncode}; its log: {self.folder / f'worker-{index}.log'}"
            for index, worker in enumerate(workers, start=1)
            if worker.returncode
        ]
        failed, error = self._failures()
        return EndedSweep(self.folder, (*problems, *failed), error)

    def _rehearse(self) -> None:
        """Make data and model of what has no run yet, before anything is recorded; not where jobs run elsewhere."""
        if self.parent or self.config.hydra.runtime.choices["hydra/launcher"] != "basic":
            return
        cfgs = {}
        if (source := _plain(self.settings["source"])) and not self._has_run(self.folder / "source"):
            cfgs["source"] = self._compose("source", source["overrides"])
        for arm in self.arms:
            if self._has_run(self.folder / arm.name / "search" / "000"):
                continue
            point = [f"{k}={override_value(v)}" for k, v in example(arm).items()]
            cfg = self._compose(f"arm {arm.name}", replace_overrides(arm.overrides, point))
            if "model.weights=source" not in arm.overrides:  # which are not there yet
                cfgs[f"arm {arm.name}"] = cfg
        rehearsal.rehearse(cfgs)

    def _has_run(self, run_dir: Path) -> bool:
        return read_run(run_dir)["state"] in OUTCOMES

    def _failures(self) -> tuple[list[str], str]:
        """Failed trials are results, but nobody should overlook them; an arm without any other is an error."""
        problems = []
        for arm in self.arms:
            trials = self.study.trials(arm.name)
            failed = [t for t in trials if t.state == TrialState.FAIL]
            if failed:
                log = self.study.run_dir(arm.name, number_of(failed[-1])) / "log"
                problems.append(
                    f"arm {arm.name}: {count(len(failed), 'trial')} failed, the last with: "
                    f"{failed[-1].user_attrs.get('reason')} ({log})"
                )
        tried = [[t for t in self.study.trials(a.name) if t.state != TrialState.WAITING] for a in self.arms]
        if any(all(t.state == TrialState.FAIL for t in trials) for trials in tried):
            return problems, "an arm has no trial that ran; mend the cause and add hydra.sweeper.retry_failed=true"
        return problems, ""

    def _remembered(self) -> dict[str, Any]:
        """What the report wants to know of a study beyond its runs."""
        study = self.config.hydra.runtime.choices.get("experiments")
        return dict(
            name=self.name, experiment=study,
            question=self._question(), command=shlex.join(["headstart", "-m", *self._typed()]), n_trials=self.n_trials,
            confirm_seeds=self.settings["confirm_seeds"], seed=self.config.seed, arm_order=[a.name for a in self.arms],
            spaces={a.name: {k: _bounds(d) for k, d in a.space.items()} for a in self.arms},
            unpruned=self.settings["pruner"] is None, sampler=str(self.config.hydra.runtime.choices.get("search")),
            **self._reported(),
        )  # fmt: skip

    def _reported(self) -> dict[str, Any]:
        """Figures of others that the experiment's file holds."""
        if self.config.reported is None:
            return {}
        from headstart.store import check_figures

        figures = _plain(self.config.reported)
        check_figures(figures)
        return dict(reported=figures)

    def _question(self) -> str | None:
        """The first comment of the experiment's file: what the study asks."""
        chosen = self.config.hydra.runtime.choices.get("experiments")
        if not chosen:
            return None
        lines = (experiments_folder() / f"{chosen}.yaml").read_text().splitlines()
        return next((line.lstrip("# ") for line in lines if line.startswith("# ") and "@package" not in line), None)

    def _epochs(self) -> set[int]:
        """Numbers of epochs that the arms have; none where all of them are fitted in one go."""
        trained = any("epochs" not in keys_without_effect(cfg) for cfg in self.composed.values())
        found = {keys["epochs"] for keys in self.fingerprint["arms"].values() if keys.get("epochs")}
        return found or ({self.config.epochs} if trained else set())

    def _plan_notes(self) -> list[str]:
        notes = []
        if self.is_grid and self.n_trials < self.settings["n_trials"]:
            notes.append(
                f"the grid has {self.n_trials} points: that many trials an arm, not {self.settings['n_trials']}"
            )
        for arm in self.arms:
            points = size_of(arm.space)
            if points < self.n_trials:
                notes.append(f"arm {arm.name} has only {points} different settings to try: some of its trials repeat")
        return notes

    def _open_study(self) -> Study:
        url = self.config.hydra.sweeper.storage  # resolved here: an unnamed study has its name by now
        if self.config.dry_run:  # a plan leaves nothing behind
            url = copy_of(url, self.folder, self.name, [a.name for a in self.arms])
        return Study(
            name=self.name, folder=self.folder, url=url, arms=self.arms, n_trials=self.n_trials,
            confirm_seeds=self.settings["confirm_seeds"], seed=self.config.seed, make_sampler=self._make_sampler,
            pruner=make_pruner(_plain(self.settings["pruner"])), source=bool(self.settings["source"]),
            keep=self.config.keep, extend_at_edge=self.settings["extend_at_edge"],
            retry_failed=self.settings["retry_failed"] and not self.parent and not self.config.dry_run,
        )  # fmt: skip

    def _make_sampler(self, seed: int) -> BaseSampler:
        node = dict(_plain(self.settings["sampler"]))
        if self.is_grid:
            return instantiate(
                {"_target_": "optuna.samplers.RandomSampler", "seed": seed}, _execution_whitelist_=SAMPLERS
            )
        return instantiate(node | {"seed": seed}, _execution_whitelist_=SAMPLERS, _convert_="all")

    def _work(self) -> None:
        """Run claims until nothing is left, in `n_jobs` threads that wait for nobody."""
        self.launcher = Plugins.instance().instantiate_launcher(
            config=self.config, hydra_context=self.context, task_function=StudyTask(self.task, self.study.owner)
        )
        self.failures, self.failed = 0, None
        self.turns = Turns()
        self.died: set[Path] = set()  # run folders whose job ended with its process
        if self.settings["n_jobs"] == 1:
            return self._one_after_another()
        threads = [threading.Thread(target=self._guarded, daemon=True) for _ in range(self.settings["n_jobs"])]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():  # a plain join would not let a signal through
                thread.join(0.5)
        if self.failed is not None:
            raise self.failed

    def _guarded(self) -> None:
        try:
            self._one_after_another()
        except BaseException as error:
            self.failed = self.failed or error

    def _one_after_another(self) -> None:
        while self.failed is None:
            if current.stop:
                raise SystemExit(143)
            claim = self.study.claim()
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
        with self.turns.alone() if claim.run_dir in self.died else self.turns.together():
            try:
                returned = self.launcher.launch([self._overrides(claim)], initial_job_idx=claim.number or 0)[0]
                error = returned._return_value if returned.status == JobStatus.FAILED else None
            except Exception as died:  # a launcher's worker was killed: the study decides what becomes of the trial
                returned, error = JobReturn(), died
                self.died.add(claim.run_dir)
        try:
            state = self.study.settle(claim, error)
        finally:
            claim.release()
        self.status.end(claim, state)
        self._count_failures(claim, state, error)

    def _count_failures(self, claim: Claim, state: str, error: Any) -> None:
        if state == "FAILED":
            self.failures += 1
        elif state not in ("RUNNING", "INTERRUPTED"):  # lost, and to be run again
            self.failures = 0
        if isinstance(error, UserError) and claim.kind == "source":
            raise error
        if self.failures >= self.settings["max_consecutive_failures"]:
            raise UserError(
                f"{self.failures} runs in a row failed, the last one with: {summary(error)}\n"
                f"its log: {claim.run_dir / 'log'}\n"
                "mend the cause, then run the same command with hydra.sweeper.retry_failed=true; other settings are "
                "another study, with another name="
            )

    def _overrides(self, claim: Claim) -> list[str]:
        """The job's overrides: what was typed, the arm's, the trial's, and where it belongs."""
        subdir = claim.run_dir.relative_to(self.folder)
        own = [f"name={self.name}", f"arm={claim.arm}", f"phase={claim.kind}"]
        own += [f"{k}={override_value(v)}" for k, v in claim.params.items()]
        if claim.seed is not None:
            own.append(f"seed={claim.seed}")
        own += [f"hydra.sweep.subdir={subdir}", "hydra.job_logging.root.handlers=[file]"]
        middle = (
            _plain(self.settings["source"])["overrides"] if claim.kind == "source" else self._arm(claim.arm).overrides
        )
        source = override_value(str(self.study.source_dir / "best.safetensors"))
        middle = [f"model.weights={source}" if o == "model.weights=source" else o for o in middle]
        return replace_overrides(replace_overrides(self.typed.fixed, middle), own)

    def _typed(self) -> list[str]:
        """The command line of this sweep without -m, with the name that an unnamed one was given."""
        typed = [o for o in self.config.hydra.overrides.hydra if not o.startswith("hydra.mode=")]
        return [*typed, *replace_overrides(list(self.config.hydra.overrides.task), [f"name={self.name}"])]

    def _arm(self, name: str) -> Arm:
        return next(a for a in self.arms if a.name == name)


PROTOCOL_VERSION = 1  # raise it when a change to the rules makes old and new trials incomparable


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _flatten(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        return [pair for k, v in value.items() for pair in _flatten(v, f"{prefix}.{k}" if prefix else str(k))]
    return [(prefix, value)]


def _bounds(distribution: Any) -> dict[str, Any]:
    return {k: v for k, v in vars(distribution).items() if k in ("low", "high", "log", "step", "choices")}
