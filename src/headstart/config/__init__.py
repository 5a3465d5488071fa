"""The configuration: typed, checked, turned into one run's settings and back into a command."""

from headstart.config.explain import explain, explain_value, refused_value
from headstart.config.grammar import key_of, override_value
from headstart.config.groups import composed, groups, option_alone, options, study_file
from headstart.config.instantiate import WHITELIST, check_node, make
from headstart.config.job_configs import context_of_jobs
from headstart.config.meant import understood
from headstart.config.overrides import RESERVED, check_keys, check_typed, check_words, quote_names, refuse_deletion
from headstart.config.own_files import check_own_files
from headstart.config.resolvers import decades
from headstart.config.resume import expand_resume
from headstart.config.run_config import RunConfig, check_without_torch, read_run_config
from headstart.config.schema import (
    DESCRIBING,
    check_values,
    frozen_epochs,
    identifying_data,
    identifying_model,
    keys_without_effect,
    outspoken,
    runs_elsewhere,
    without_hydra,
)
from headstart.config.search_path import as_typed, expand_config_dir, expand_study, experiments_folder, passed_over

__all__ = [
    "DESCRIBING",
    "RESERVED",
    "WHITELIST",
    "RunConfig",
    "as_typed",
    "check_keys",
    "check_node",
    "check_own_files",
    "check_typed",
    "check_values",
    "check_without_torch",
    "check_words",
    "composed",
    "context_of_jobs",
    "decades",
    "expand_config_dir",
    "expand_resume",
    "expand_study",
    "experiments_folder",
    "explain",
    "explain_value",
    "frozen_epochs",
    "groups",
    "identifying_data",
    "identifying_model",
    "key_of",
    "keys_without_effect",
    "make",
    "option_alone",
    "options",
    "outspoken",
    "override_value",
    "passed_over",
    "quote_names",
    "read_run_config",
    "refuse_deletion",
    "refused_value",
    "runs_elsewhere",
    "study_file",
    "understood",
    "without_hydra",
]
