"""The configuration: typed, checked, turned into settings and back into a command."""

from headstart.config.overrides import check_typed, check_words, expand_resume, explain, explain_value, key_of
from headstart.config.schema import (
    DESCRIBING,
    WHITELIST,
    check_complete,
    check_values,
    command_line,
    config_hash,
    decades,
    experiments_folder,
    keys_without_effect,
    make,
    override_value,
    without_effect,
    without_hydra,
)

__all__ = [
    "DESCRIBING",
    "WHITELIST",
    "check_complete",
    "check_typed",
    "check_values",
    "check_words",
    "command_line",
    "config_hash",
    "decades",
    "expand_resume",
    "experiments_folder",
    "explain",
    "explain_value",
    "key_of",
    "keys_without_effect",
    "make",
    "override_value",
    "without_effect",
    "without_hydra",
]
