"""The configuration: typed, checked, turned into one run's settings and back into a command."""

from headstart.config.explain import explain, explain_value
from headstart.config.grammar import key_of, override_value
from headstart.config.groups import experiments_folder
from headstart.config.instantiate import WHITELIST, make
from headstart.config.overrides import check_typed, check_words, quote_names
from headstart.config.resolvers import decades
from headstart.config.resume import expand_resume
from headstart.config.run_config import RunConfig, read_run_config
from headstart.config.schema import DESCRIBING, check_values, keys_without_effect, without_hydra

__all__ = [
    "DESCRIBING",
    "WHITELIST",
    "RunConfig",
    "check_typed",
    "check_values",
    "check_words",
    "decades",
    "expand_resume",
    "experiments_folder",
    "explain",
    "explain_value",
    "key_of",
    "keys_without_effect",
    "make",
    "override_value",
    "quote_names",
    "read_run_config",
    "without_hydra",
]
