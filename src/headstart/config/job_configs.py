"""The configurations of a sweep's jobs: options are composed once, and jobs that differ in values alone get copies."""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

KEPT = 64  # compositions; a study has one an arm


def context_of_jobs(context: HydraContext, cfg: DictConfig) -> HydraContext:
    """What a sweep and its launcher compose with; where jobs run in this process, options are composed once."""
    if cfg.hydra.runtime.choices["hydra/launcher"] != "basic":
        return context  # other launchers take their loader to other processes, for a job each
    return replace(context, config_loader=JobConfigs(context.config_loader))


class JobConfigs:
    """A config loader for one sweep, in place of Hydra's, whose configurations it gives.

    Hydra reads and merges some twenty files for each job, which takes ten times as long as a copy does. The jobs of an
    arm have the same options; they differ in their learning rate, seed and folder. So what is composed is the job's
    options without its values, once; its values are then set in a copy, as Hydra would set them.
    """

    def __init__(self, loader: ConfigLoader):
        self._loader = loader
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """Compose a job's configuration of the sweep's overrides and its own. Raises Hydra's errors."""
        overrides = OverridesParser.create().parse_overrides(sweep_overrides)
        values = _values(overrides, master_config.hydra.runtime.choices)
        try:
            options = self._options(
                master_config, [str(o.input_line) for o in overrides if o.key_or_group not in values]
            )
            if _are_leaves(options, values):
                return _with_values(options, values, master_config, overrides)
        except (HydraException, OmegaConfBaseException):  # which Hydra explains by all of the job's overrides
            pass
        return self._loader.load_sweep_config(master_config, sweep_overrides)

    def _options(self, master_config: DictConfig, words: list[str]) -> DictConfig:
        found = self._composed.get(tuple(words))
        if found is None:
            found = self._loader.load_sweep_config(master_config, words)
            if len(self._composed) < KEPT:
                self._composed[tuple(words)] = found
        return found


def _values(overrides: Sequence[Override], groups: Container[str]) -> dict[str, Any]:
    """What is set by plain key=value, a number, a truth or a text, and by no other override, in whole or in part.

    groups: the config groups, whose values are options.
    """
    times = Counter(o.key_or_group for o in overrides)
    found = {}
    for override in overrides:
        key = override.key_or_group
        within = {key[:at] for at, letter in enumerate(key) if letter == "."}.difference(groups)  # options come first
        is_plain = override.type == OverrideType.CHANGE and override.package is None and not override.is_value_path
        if not is_plain or key in groups or times[key] > 1 or within & times.keys() or override.is_sweep_override():
            continue
        value = override.value()
        if value is None or isinstance(value, bool | int | float | str):
            found[key] = value
    return found


def _are_leaves(options: DictConfig, values: Mapping[str, Any]) -> bool:
    """Whether each of these keys names one value in the composed configuration."""
    nodes = [OmegaConf.select(options, key, throw_on_resolution_failure=False) for key in values]
    return not any(OmegaConf.is_config(node) for node in nodes)


def _with_values(
    options: DictConfig, values: Mapping[str, Any], master_config: DictConfig, overrides: Sequence[Override]
) -> DictConfig:
    """The composed configuration with these values, and the overrides that led to it. Raises OmegaConf's errors."""
    cfg = deepcopy(options)
    for key, value in values.items():
        OmegaConf.update(cfg, key, value, merge=True)
    typed = OmegaConf.to_container(master_config.hydra.overrides.hydra)
    cfg.hydra.overrides.hydra = [*typed, *(str(o.input_line) for o in overrides if o.is_hydra_override())]
    cfg.hydra.overrides.task = [str(o.input_line) for o in overrides if not o.is_hydra_override()]
    OmegaConf.copy_cache(from_config=master_config, to_config=cfg)  # what was resolved once, as the time, is so for all
    return cfg
