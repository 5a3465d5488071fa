"""The Hydra sweeper `arms`, as thin as it goes: settings in, a sweep run, and how it ended for whoever reports.

Hydra imports this module at every start, so Optuna and all else heavy is imported when a sweep begins.
"""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.config_store import ConfigStore
from hydra.errors import CompactHydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import MISSING, DictConfig

from headstart.errors import UserError
from headstart.typed import Truth

OF_HEADSTART = ("data", "model", "search", "budget", "n_trials", "confirm_seeds")  # that a sweep of arms reads


@dataclass
class ArmsConf:
    """Keys of hydra.sweeper: those of the stock sweeper, and what only `arms` knows."""

    _target_: str = "headstart.sweep.plugin.ArmsSweeper"
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "tpe"}])
    sampler: Any = MISSING  # chosen by search=
    direction: Any = "maximize"
    storage: Any = None
    study_name: str | None = None
    n_trials: int = 20
    n_jobs: int = 1
    max_failure_rate: float = 1.0  # the stock sweeper's; any other value is refused
    custom_search_space: str | None = None
    params: Any = None
    arms: Any = None
    source: Any = None
    objective: str = "val_accuracy"
    # In another program's configuration, which has none of these, `setup` says whose sweeper this is.
    first_points: Any = "${oc.select:search.first_points,null}"
    extend_at_edge: Any = "${oc.select:search.extend_at_edge,null}"
    pruner: Any = "${oc.select:budget.pruner,null}"
    confirm_seeds: Any = "${oc.select:confirm_seeds,0}"
    confirm: Any = "${oc.select:confirm,null}"
    max_consecutive_failures: int = 3
    retry_failed: Truth = False
    lease_seconds: float = 60.0
    elsewhere: str | None = None
    sync: str | None = None


ConfigStore.instance().store(group="hydra/sweeper", name="arms", node=ArmsConf, provider="headstart")


@dataclass(frozen=True)
class EndedSweep:
    """How a sweep that ran to its total has ended, for the command that reports on it."""

    folder: Path
    problems: tuple[str, ...]  # lines to print after the report: failed trials by arm, workers that ended in error
    error: str  # with which the command exits 1; "" for none


class ArmsSweeper(Sweeper):
    """One Optuna study per arm, equal budgets, resumable and shared by any number of processes."""

    seeds_wanted: ClassVar[Any] = None  # study_state.SeedsWanted, set by who can read tables
    ended: ClassVar[EndedSweep | None] = None  # set by the process that reports: no worker, and not by a dry run

    def __init__(self, **settings: Any):
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what a sweep needs; nothing is opened or written yet.

        Raises CompactHydraException, which Hydra prints as a sentence, in another program's configuration.
        """
        if lacking := [key for key in OF_HEADSTART if key not in config]:
            raise CompactHydraException(
                f"hydra/sweeper=arms is headstart's own sweeper: this configuration has no {', '.join(lacking)}. "
                "Choose another, such as hydra/sweeper=optuna, or use the command headstart"
            )
        self.context, self.task, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep to its total, or print its plan; arguments: the overrides as typed.

        Exits with a message for a user's mistake.
        """
        from headstart.sweep.workers import hold_blas_threads, release_blas_threads

        began = time.time()
        if self.config.jobs > 1:
            hold_blas_threads()
        from headstart.config import context_of_jobs
        from headstart.sweep.launch import run_sweep
        from headstart.sweep.minutes import fitted_plan, refuse_without_minutes
        from headstart.sweep.plan import make_plan
        from headstart.sweep.settings import read_settings
        from headstart.sweep.storage import close_storages

        ArmsSweeper.ended = None
        context = context_of_jobs(self.context, self.config)
        try:
            settings = read_settings(self.settings, self.config)
            plan = make_plan(settings, context.config_loader, self.config, arguments)
            if self.config.minutes is None:
                refuse_without_minutes(plan)
            else:
                plan = fitted_plan(plan, context.config_loader, began)
            ended = run_sweep(plan, context, self.task, ArmsSweeper.seeds_wanted)
        except UserError as error:
            print(f"headstart: {error}", file=sys.stderr)
            raise SystemExit(1) from None
        finally:
            close_storages()
            release_blas_threads()
        if ended is not None:
            ArmsSweeper.ended = EndedSweep(plan.folder, *ended)
