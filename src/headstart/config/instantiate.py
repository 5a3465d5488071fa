"""What a configuration may name as `_target_`, and the making of what it names."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from headstart.errors import UserError, first_line

# Where what a configuration may call is defined; Hydra refuses everything else, by whatever name it is reached.
WHITELIST = (
    "headstart.cli.checks.Check",
    "headstart.data.augmentation.*",
    "headstart.data.sources.*",
    "headstart.models.builders.*",
    "headstart.models.estimators.*",
    "headstart.training.schedules.*",
    "hydra_plugins.hydra_optuna_sweeper.*",
    "logging.FileHandler",
    "logging.Formatter",
    "logging.StreamHandler",
    "optuna.pruners.*",
    "optuna.samplers.*",
    "sklearn.*",
    "timm.optim.*",
    "torch.optim.*",
)
# A function of ours or a library's class. The list alone would let a library's functions through, and the methods of
# its classes: sklearn.datasets.fetch_file, which writes any file, or sklearn.tree.export_graphviz.
FUNCTION_OR_CLASS = re.compile(r"headstart(\.[a-z]\w*)+|[a-z]\w*(\.[a-z_]\w*)*\.[A-Z]\w*")
REFUSED_BY_HYDRA = re.compile(r"Target '(.*?)'( \(resolved from '(.*?)'\))?.*execution whitelist", re.DOTALL)


def make(node: Mapping[str, Any], **arguments: Any) -> Any:
    """Instantiate a `_target_` node, nested ones included; arguments are passed on to the outermost.

    Raises UserError for a target outside the whitelist, for keys that the target does not take, and, unwrapped, for
    whatever the target itself refuses.
    """
    plain = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    for target in _targets(plain):
        if not FUNCTION_OR_CLASS.fullmatch(target):
            raise UserError(_not_callable(target))
    try:
        return instantiate(plain, **arguments, _convert_="all", _execution_whitelist_=WHITELIST)
    except InstantiationException as error:
        if found := REFUSED_BY_HYDRA.match(str(error)):
            raise UserError(_not_callable(found[3] or found[1])) from error
        raise UserError(f"{plain.get('_target_')}: {first_line(error)}") from error
    except TypeError as error:
        if "argument" not in str(error):  # not about the keys, so a fault of the code, to be seen as such
            raise
        raise UserError(f"{plain.get('_target_')} refused its configuration: {error}") from error


def _targets(value: Any) -> Iterator[str]:
    """Every `_target_` in a node, nested ones included."""
    match value:
        case dict():
            if "_target_" in value:
                yield str(value["_target_"])
            for part in value.values():
                yield from _targets(part)
        case list():
            for part in value:
                yield from _targets(part)


def _not_callable(target: str) -> str:
    return f"_target_={target!r} may not be called from a configuration; see WHITELIST in config/instantiate.py"
