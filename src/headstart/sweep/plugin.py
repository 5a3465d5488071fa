"""The Hydra sweeper `arms`: thin; arms and their search come from sweep/arms.py, what to run next from
sweep/scheduler.py.

Hydra imports this module at every start, so Optuna and all else heavy is imported when a sweep begins.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import MISSING, DictConfig

if TYPE_CHECKING:
    from headstart.sweep.launch import EndedSweep


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
    first_points: Any = "${search.first_points}"
    extend_at_edge: bool = "${search.extend_at_edge}"  # type: ignore[assignment]
    pruner: Any = "${budget.pruner}"
    confirm_seeds: int = "${confirm_seeds}"  # type: ignore[assignment]
    max_consecutive_failures: int = 3
    retry_failed: bool = False


ConfigStore.instance().store(group="hydra/sweeper", name="arms", node=ArmsConf, provider="headstart")


class ArmsSweeper(Sweeper):
    """One Optuna study per arm, equal budgets, resumable and shared by any number of processes."""

    ended: "EndedSweep | None" = None  # the sweep that this process ended last and has to report

    def __init__(self, **settings: Any):
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what a sweep needs; nothing is opened or written yet."""
        self.context, self.task, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep to its total, or print its plan. Exits with a message for a user's mistake."""
        from headstart.errors import UserError
        from headstart.sweep.launch import Sweep

        try:
            ArmsSweeper.ended = Sweep(self.settings, self.context, self.task, self.config, arguments).run()
        except UserError as error:
            from hydra.errors import HydraException

            raise SystemExit(_fail(str(error))) from HydraException(str(error))


def _fail(text: str) -> int:
    import sys

    print(f"headstart: {text}", file=sys.stderr)
    return 1
