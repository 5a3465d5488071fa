"""`hydra.sweeper` read once: plain, typed values, and the refusal of what cannot work here."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from omegaconf import DictConfig, OmegaConf

from headstart.errors import UserError
from headstart.sweep.storage import without_password

LEAST = {"n_trials": 1, "n_jobs": 1, "confirm_seeds": 0, "max_consecutive_failures": 1}
MAPPINGS = {
    "params": 'a mapping from key to range, such as {lr: "tag(log, interval(1e-4, 1e-1))"}',
    "sampler": "one that search=tpe, qmc, random or decades chooses",
    "pruner": "null, or a mapping with the _target_ of a pruner of Optuna's",
    "source": 'null, or {overrides: ["model=cnn", "epochs=10"]}',
}  # what stands there, besides null


@dataclass(frozen=True)
class SweeperSettings:
    """What a sweep reads of hydra.sweeper."""

    objective: str
    n_trials: int  # per arm
    n_jobs: int  # runs at a time that this process launches
    confirm_seeds: int
    extend_at_edge: bool
    max_consecutive_failures: int
    retry_failed: bool
    params: dict[str, Any]  # search space: key to Hydra's sweep syntax
    arms: Any
    first_points: Any
    source: dict[str, Any] | None  # {overrides: [...]} of the run that comes before the arms
    sampler: dict[str, Any]  # a `_target_` and its arguments
    pruner: dict[str, Any] | None

    @property
    def is_grid(self) -> bool:
        """Whether every point of the space is tried, in order."""
        return str((self.sampler or {}).get("_target_", "")).endswith(".GridSampler")

    @property
    def source_overrides(self) -> list[str]:
        """Those of the source run, empty without one."""
        return self.source["overrides"] if self.source else []


def read_settings(given: Mapping[str, Any], config: DictConfig) -> SweeperSettings:
    """The settings that Hydra hands to the sweeper; config: the whole one. Raises UserError for what cannot work.

    The arms' own values stay as written: an interpolation is resolved in the arm's configuration, not in the sweep's.
    """
    _refuse_objective(given)
    _refuse_password(config)
    _refuse_stock_keys(given)
    _refuse_basic_launcher(given["n_jobs"], str(config.hydra.runtime.choices["hydra/launcher"]))
    values = {f.name: plain(given[f.name]) for f in fields(SweeperSettings) if f.name != "arms"}
    _refuse_numbers(values)
    _refuse_shapes(values)
    values["params"] = {str(key): value for key, value in (values["params"] or {}).items()}
    arms = OmegaConf.to_container(OmegaConf.create(given["arms"])) if given["arms"] else None
    return SweeperSettings(**values, arms=arms)


def plain(value: Any) -> Any:
    """Dicts and lists in place of OmegaConf's, interpolations resolved; anything else as it is."""
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _refuse_numbers(values: Mapping[str, Any]) -> None:
    for key, least in LEAST.items():
        if values[key] < least:
            raise UserError(f"hydra.sweeper.{key}={values[key]} is too small; give a whole number from {least}")


def _refuse_shapes(values: Mapping[str, Any]) -> None:
    for key, expected in MAPPINGS.items():
        if not isinstance(values[key] or {}, dict):
            raise UserError(f"hydra.sweeper.{key}={values[key]}: expected {expected}")
    source = values["source"]
    if source and not (set(source) == {"overrides"} and isinstance(source["overrides"], list)):
        raise UserError(f"hydra.sweeper.source={source}: expected {MAPPINGS['source']}")
    if not (values["sampler"] or {}).get("_target_"):
        raise UserError(f"hydra.sweeper.sampler={values['sampler']}: expected {MAPPINGS['sampler']}")


def _refuse_objective(given: Mapping[str, Any]) -> None:
    objective, direction = given["objective"], str(given["direction"]).rpartition(".")[2]
    if "test" in objective:
        raise UserError(f"hydra.sweeper.objective={objective}: the test split never chooses; use val_accuracy")
    if objective != "val_accuracy" or direction != "maximize":
        raise UserError("arms are compared by val_accuracy, maximised; hydra/sweeper=optuna takes other objectives")


def _refuse_password(config: DictConfig) -> None:
    storage = str(OmegaConf.to_container(config.hydra.sweeper).get("storage"))
    if without_password(storage) != storage:
        raise UserError(
            f"hydra.sweeper.storage={without_password(storage)}: every run would write the password to its folder; "
            "set the URL as the environment variable HEADSTART_STORAGE"
        )


def _refuse_stock_keys(given: Mapping[str, Any]) -> None:
    if given["custom_search_space"]:
        raise UserError(
            "hydra.sweeper.custom_search_space is not supported by arms; write params or first_points per arm"
        )
    if given["max_failure_rate"] != 1.0:
        raise UserError(
            f"hydra.sweeper.max_failure_rate={given['max_failure_rate']} is the stock sweeper's; here failed "
            "trials stay in the tables, and hydra.sweeper.max_consecutive_failures=3 in a row stop the sweep"
        )


def _refuse_basic_launcher(n_jobs: int, launcher: str) -> None:
    if n_jobs > 1 and launcher == "basic":
        raise UserError(
            f"hydra.sweeper.n_jobs={n_jobs} needs a launcher whose jobs are processes "
            f"(hydra/launcher=joblib); for this machine use jobs={n_jobs}"
        )
