"""`hydra.sweeper` read once: plain, typed values, and the refusal of what cannot work here."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_type_hints

from omegaconf import DictConfig, OmegaConf

from headstart.config import check_node, key_of
from headstart.errors import UserError, first_line
from headstart.store import check_remote
from headstart.sweep.leases import has_server
from headstart.sweep.search_space import FirstPoints, Params
from headstart.sweep.storage import without_password
from headstart.typed import Count, LeaseSeconds, Node, Processes, Seeds, Truth, refusal, shown

EXAMPLES = {
    "params": '{lr: "tag(log, interval(1e-4, 1e-1))"}',
    "arms": "{cnn: model=cnn, big: model=resnet18}",
    "first_points": "[{lr: 1e-3}]",
    "sampler": "what search=tpe, qmc, random or decades chooses",
    "pruner": "{_target_: optuna.pruners.MedianPruner}",
    "source": '{overrides: ["model=cnn", "epochs=10"]}',
}
HALVING = "headstart.sweep.pruners.halving"
TYPED_AS = {"pruner": "budget.pruner", "first_points": "search.first_points", "extend_at_edge": "search.extend_at_edge"}
TYPED_AS |= {key: key for key in ("n_trials", "confirm_seeds", "confirm")}  # hydra.sweeper interpolates them


@dataclass(frozen=True)
class SweeperSettings:
    """What a sweep reads of hydra.sweeper."""

    objective: str
    n_trials: Count  # per arm
    n_jobs: Processes  # runs at a time that this process launches
    confirm_seeds: Seeds | Literal["auto"]
    confirm: Literal["search", "best"]
    extend_at_edge: Truth
    max_consecutive_failures: Count
    retry_failed: Truth
    params: Params  # the search space
    arms: dict[str, list[str] | dict[str, Any]] | None  # by name: overrides, or {overrides, params, first_points}
    first_points: FirstPoints
    source: dict[Literal["overrides"], list[str]] | None  # of the run that comes before the arms
    sampler: Node
    pruner: Node | None
    lease_seconds: LeaseSeconds
    elsewhere: Literal["join", "rerun"] | None  # what becomes of runs that lie in other folders of the study
    sync: str | None  # URL of a store by which the folders come together

    @property
    def is_grid(self) -> bool:
        """Whether every point of the space is tried, in order."""
        return str((self.sampler or {}).get("_target_", "")).endswith(".GridSampler")

    @property
    def source_overrides(self) -> list[str]:
        """Those of the source run, empty without one."""
        return self.source.get("overrides", []) if self.source else []


def read_settings(given: Mapping[str, Any], config: DictConfig) -> SweeperSettings:
    """The settings that Hydra hands to the sweeper; config: the whole one. Raises UserError for what cannot work.

    The arms' own values stay as written: an interpolation is resolved in the arm's configuration, not in the sweep's.
    """
    values = {f.name: plain(given[f.name]) for f in fields(SweeperSettings) if f.name != "arms"}
    _refuse_two_pruners(config)
    values["pruner"] = pruner_of(values["pruner"], config)
    values["arms"] = OmegaConf.to_container(given["arms"]) if OmegaConf.is_config(given["arms"]) else given["arms"]
    typed = OmegaConf.to_container(config.hydra.overrides.hydra)
    _refuse_types(values, set(map(key_of, typed)))
    _refuse_idle(typed, config.seed, values["sampler"])
    _refuse_sampler(typed, values["sampler"])
    _refuse_objective(given)
    _refuse_storage(config)
    _refuse_url(given["storage"])
    if values["sync"] is not None:
        check_remote(values["sync"], "hydra.sweeper.sync")
        values["elsewhere"] = values["elsewhere"] or "join"
    _refuse_without_server(typed, values, config)
    _refuse_stock_keys(given)
    _refuse_basic_launcher(values["n_jobs"], str(config.hydra.runtime.choices["hydra/launcher"]))
    return SweeperSettings(**values | dict(params=values["params"] or {}))


def plain(value: Any) -> Any:
    """Dicts and lists in place of OmegaConf's, interpolations resolved; anything else as it is."""
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def pruner_of(node: Any, config: DictConfig) -> Any:
    """The configured pruner's node, in whose place `halving` puts its own."""
    factor = config.get("halving")
    return node if factor is None else {"_target_": HALVING, "factor": factor}


def _refuse_two_pruners(config: DictConfig) -> None:
    typed = [word for word in config.hydra.overrides.task if key_of(word).startswith("budget.pruner")]
    if typed and config.get("halving") is not None:
        raise UserError(f"halving={config.halving:g} takes the place of budget.pruner; leave it or {typed[-1]} out.")


def _refuse_types(values: Mapping[str, Any], typed: Collection[str]) -> None:
    for key, annotation in get_type_hints(SweeperSettings, include_extras=True).items():
        own = f"hydra.sweeper.{key}"
        name = own if own in typed else TYPED_AS.get(key, own)
        if refused := refusal(name, values[key], annotation):
            raise UserError(refused + (f", such as {EXAMPLES[key]}" if key in EXAMPLES else ""))
    for key, name in (("sampler", "hydra.sweeper.sampler"), ("pruner", "budget.pruner")):
        if values[key] is not None:
            check_node(name, values[key], partial=key == "sampler" and values[key].get("_partial_", False))


def _refuse_idle(typed: list[str], seed: int, sampler: Mapping[str, Any]) -> None:
    """Refuse what the stock sweeper reads and this one sets itself."""
    for word in typed:
        if key_of(word) == "hydra.sweeper.study_name":
            raise UserError(f"{word} has no effect here; a study is called by name=...")
        if key_of(word) in ("hydra.run.dir", "hydra.sweep.subdir"):
            raise UserError(f"{word} has no effect on a sweep, which names the folders of its runs itself")
    if sampler.get("seed") not in (None, seed):
        raise UserError(f"hydra.sweeper.sampler.seed={sampler['seed']} has no effect here; give seed=...")


def _refuse_sampler(typed: list[str], sampler: Mapping[str, Any]) -> None:
    """Refuse what the stock sweeper's own types take for something else: -1 for true, and counts below 0."""
    values = {key_of(word): word.partition("=")[2] for word in typed}
    if sampler.get("constraints_func") is not None:
        raise UserError("hydra.sweeper.sampler.constraints_func has no effect here: no trial has constraints")
    for key, value in sampler.items():
        text = values.get(f"hydra.sweeper.sampler.{key}", "")
        if isinstance(value, bool) and text and text.lower() not in ("true", "false"):
            raise UserError(f"hydra.sweeper.sampler.{key}={text}: expected true or false")
        if text and isinstance(value, int) and value < 0:
            raise UserError(f"hydra.sweeper.sampler.{key}={value}: expected a whole number from 0")


def _refuse_objective(given: Mapping[str, Any]) -> None:
    objective, direction = given["objective"], str(given["direction"]).rpartition(".")[2]
    if "test" in objective:
        raise UserError(f"hydra.sweeper.objective={objective}: the test split never chooses; use val_accuracy")
    if objective != "val_accuracy" or direction != "maximize":
        raise UserError("arms are compared by val_accuracy, maximised; hydra/sweeper=optuna takes other objectives")


def _refuse_storage(config: DictConfig) -> None:
    storage = OmegaConf.to_container(config.hydra.sweeper).get("storage")
    if not isinstance(storage, str) or not storage:
        raise UserError(
            f"hydra.sweeper.storage={shown(storage)}: expected a URL, such as sqlite:///study.db; left out, the study "
            "has a database in its folder"
        )
    if without_password(storage) != storage:
        raise UserError(
            f"hydra.sweeper.storage={without_password(storage)}: every run would write the password to its folder; "
            "set the URL as the environment variable HEADSTART_STORAGE"
        )


def _refuse_url(url: str) -> None:
    """Refuse a storage that Optuna can't open, as far as its URL tells."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    if url.startswith("journal:///"):
        return
    try:
        parsed = make_url(url)
        parsed.get_dialect().import_dbapi()
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise UserError(
            f"hydra.sweeper.storage={without_password(url)}: {first_line(error)}; expected sqlite:///FILE, "
            "journal:///FILE or another URL of SQLAlchemy's, such as postgresql+psycopg://USER@HOST/DATABASE"
        ) from None
    except ValueError:  # whose text may be the password
        parsed = None
    if parsed is None or "@" in (parsed.host or ""):
        raise UserError(
            f"hydra.sweeper.storage={without_password(url)}: what stands for its host and port is neither; "
            "in a password write @ as %40, : as %3A and / as %2F"
        )


def _refuse_without_server(typed: list[str], values: Mapping[str, Any], config: DictConfig) -> None:
    """Refuse what only a study has whose claims a database server keeps."""
    if not has_server(config.hydra.sweeper.storage):
        of_server = [f"hydra.sweeper.{key}" for key in ("lease_seconds", "elsewhere", "sync")]
        for key in (key for key in of_server if key in map(key_of, typed)):
            raise UserError(
                f"{key} needs a PostgreSQL server that all machines reach: set the environment variable "
                "HEADSTART_STORAGE=postgresql+psycopg://USER:PASSWORD@HOST/DATABASE, or leave it out"
            )
    elif values["elsewhere"] is not None and config.minutes is not None:
        key = "elsewhere" if values["sync"] is None else "sync"
        raise UserError(
            f"minutes={config.minutes:g} fits a study to one machine; give hydra.sweeper.{key}="
            f"{values[key]} without it, with n_trials= and epochs="
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
