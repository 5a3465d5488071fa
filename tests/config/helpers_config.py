"""What the tests of the configuration share: composing it."""

from hydra import compose, initialize_config_module
from omegaconf import DictConfig

from headstart.config import RunConfig, read_run_config


def composed(*overrides: str, hydra: bool = False) -> DictConfig:
    """What these overrides compose to; hydra: with Hydra's own part."""
    with initialize_config_module("headstart.conf"):
        return compose("config", list(overrides), return_hydra_config=hydra)


def read(*overrides: str) -> RunConfig:
    """The run that these overrides configure."""
    cfg = composed(*overrides, hydra=True)
    return read_run_config(cfg, cfg.hydra.runtime.choices)
