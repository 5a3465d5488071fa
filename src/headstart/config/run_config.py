"""One run's configuration, read once: checked, resolved and typed, so that nobody behind it asks Hydra again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from omegaconf import DictConfig, OmegaConf

from headstart.config.command import changes_from_defaults, command_line, config_hash
from headstart.config.grammar import top_key_of
from headstart.config.instantiate import check_node
from headstart.config.schema import (
    PARTIAL,
    PASSED,
    RUN_GROUPS,
    Config,
    check_complete,
    check_values,
    keys_without_effect,
    without_hydra,
)
from headstart.errors import UserError

WITHOUT_TORCH = ("data", "schedule")  # groups whose functions are there before torch is, which takes seconds


@dataclass(frozen=True)
class RunConfig:
    """What one run is to do."""

    values: Config  # every key; the groups are plain mappings
    choices: Mapping[str, str]  # the option of each of RUN_GROUPS
    written: Mapping[str, Any]  # as composed, `${...}` unresolved: what a command line is made of

    def with_values(self, **changes: Any) -> Self:
        """The same run with other values of these keys."""
        return replace(self, values=replace(self.values, **changes), written={**self.written, **changes})

    @property
    def title(self) -> str:
        """What a person calls the run while it goes on."""
        rate = "" if "lr" in self.keys_without_effect else f" lr={self.values.lr:g}"
        return self.choices["model"] + rate

    def keeps(self, state: str) -> bool:
        """Whether weights and predictions of a run that ended in that state stay.

        Other runs start from those of a source run; a pruned trial is never the best.
        """
        keep = self.values.keep
        return self.values.phase == "source" or keep == "all" or (keep == "best" and state != "PRUNED")

    @property
    def keys_without_effect(self) -> frozenset[str]:
        """Top-level keys without effect on this run's model."""
        return keys_without_effect(self.values)

    def set_without_effect(self) -> list[str]:
        """Those of them that differ from their defaults all the same, sorted."""
        changed = map(top_key_of, changes_from_defaults(self.written, self.choices))
        return sorted(self.keys_without_effect.intersection(changed))

    def config_hash(self, **settled: Any) -> str:
        """What identifies the run: equal hash, equal row. settled: values that the run filled in for `auto`."""
        return config_hash(self.values, **settled)

    def command(self, **settled: Any) -> str:
        """The single run that gives the same result again, without what has no effect on its model.

        settled: top-level values that the run filled in itself (threads, precision).
        """
        changes = changes_from_defaults({**self.written, **settled}, self.choices)
        return command_line(changes, self.keys_without_effect)


def check_without_torch(cfg: DictConfig) -> None:
    """Refuse what `read_run_config` would, of the groups that are checked in no time. Raises UserError."""
    for group in WITHOUT_TORCH:
        _check_group(group, OmegaConf.to_container(cfg[group], resolve=True))


def _check_group(group: str, node: Mapping[str, Any]) -> None:
    check_node(group, node, partial=group in PARTIAL, passed=PASSED.get(group, frozenset()))


def read_run_config(cfg: DictConfig, choices: Mapping[str, str]) -> RunConfig:
    """Check, resolve and type one job's configuration, as Hydra composed it; choices: hydra.runtime.choices.

    Raises UserError for a value that is missing or that no run can work with, and OmegaConf's errors for one that
    cannot be resolved.
    """
    cfg = without_hydra(cfg)
    check_complete(cfg)
    cfg.search = cfg.budget = None  # a sweep's; nothing in them can be wrong for one run
    values = OmegaConf.to_object(cfg)
    check_values(values)
    for group in (*WITHOUT_TORCH, *(group for group in RUN_GROUPS if group not in WITHOUT_TORCH)):
        _check_group(group, getattr(values, group))
    unfreeze = values.model.get("unfreeze_epoch")
    if unfreeze is not None and unfreeze > values.epochs:
        raise UserError(
            f"model.unfreeze_epoch={unfreeze} comes after the last epoch ({values.epochs}); unfreeze earlier"
        )
    options = {group: str(choices[group]) for group in RUN_GROUPS}
    return RunConfig(values, options, written=OmegaConf.to_container(cfg, resolve=False))
