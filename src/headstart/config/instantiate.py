"""What a configuration may name as `_target_`, the check of its keys against what that takes, and its making."""

import inspect
import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from types import SimpleNamespace
from typing import Any, Unpack, get_args, get_origin, get_type_hints

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import OmegaConf

from headstart.errors import UserError, first_line
from headstart.typed import refusal, shown

# Where what a configuration may call is defined; Hydra refuses everything else, by whatever name it is reached.
WHITELIST = (
    "headstart.cli.checks.Check",
    "headstart.data.augmentation.*",
    "headstart.data.sources.*",
    "headstart.models.builders.*",
    "headstart.models.estimators.*",
    "headstart.sweep.pruners.halving",
    "headstart.training.optimizers.muon",
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
FUNCTION_OR_CLASS = re.compile(r"headstart(\.[a-z]\w*)+|[a-z]\w*(\.[a-z_]\w*)*\.([A-Z]\w*|create_nsgaii\w*)")
HYDRAS_OWN = ("_args_", "_convert_", "_recursive_")
ANY_OTHER = "**"  # among the arguments of a target that takes any others, too


def check_node(
    key: str, node: Mapping[str, Any], *, partial: bool = False, passed: Collection[str] = frozenset()
) -> None:
    """Refuse what a `_target_` node's target would not take: other arguments, and values of other types or bounds.

    Both are read from the target's signature, of what is nested too. node: resolved, under `key` in the configuration.
    partial: whether it has to be `_partial_`, as what is called later. passed: arguments that the code gives itself.
    Raises UserError.
    """
    if not isinstance(node.get("_target_"), str):
        raise UserError(f"{key}={shown(node)}: expected a mapping with _target_")
    for within, inner in _nodes(key, node):
        outermost = inner is node
        _check_arguments(within, inner, partial and outermost, passed if outermost else ())


def _check_arguments(key: str, node: Mapping[str, Any], partial: bool, passed: Collection[str]) -> None:
    """Check a node as `check_node` does, without those in it."""
    if node.get("_partial_", False) is not partial:
        raise UserError(f"{key}._partial_={shown(node.get('_partial_'))} is Hydra's own; leave it as its file has it")
    target, types = str(node["_target_"]), _argument_types(str(node["_target_"]))
    for name, value in node.items():
        within = f"{key}.{name}"
        if name in HYDRAS_OWN:
            raise UserError(f"{within} is Hydra's own; leave it out")
        if refused := refusal(within, value, Any):
            raise UserError(refused)
        if name in ("_target_", "_partial_") or (isinstance(value, dict) and "_target_" in value):
            continue
        if name in passed or (name not in types and ANY_OTHER not in types):
            settings = types.keys() - passed - {ANY_OTHER}
            raise UserError(f"{within}=... is no setting of {target}{_meant(within, settings)}")
        if refused := refusal(within, value, types.get(name, Any)):
            raise UserError(refused)


def make(node: Mapping[str, Any], **arguments: Any) -> Any:
    """Instantiate a `_target_` node, nested ones included; arguments are passed on to the outermost.

    Raises UserError for a target outside the whitelist, for keys that the target does not take, and, unwrapped, for
    whatever the target itself refuses.
    """
    plain = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    for _, inner in _nodes("", plain):
        _refuse_target(str(inner["_target_"]))
    try:
        return instantiate(plain, **arguments, _convert_="all", _execution_whitelist_=WHITELIST)
    except InstantiationException as error:
        raise UserError(f"_target_={plain.get('_target_')}: {first_line(error)}") from error
    except TypeError as error:
        if "argument" not in str(error):  # not about the keys, so a fault of the code, to be seen as such
            raise
        raise UserError(f"{plain.get('_target_')} refused its configuration: {error}") from error


def takes(target: str, name: str) -> bool:
    """Whether a target has an argument of that name, or nobody can tell."""
    try:
        types = _argument_types(target)
    except UserError:
        return False
    return not types.keys().isdisjoint({name, ANY_OTHER})


def _argument_types(target: str) -> dict[str, Any]:
    """The annotation of each argument that a target takes, `Any` without one; ANY_OTHER where nobody knows them."""
    _refuse_target(target)
    try:
        found = get_object(target)
        signature = inspect.signature(found)
    except (ImportError, AttributeError, ValueError, InstantiationException):  # `make` says it better
        return {ANY_OTHER: Any}
    function, types = inspect.unwrap(found.__init__ if inspect.isclass(found) else found), {}
    for name, parameter in signature.parameters.items():
        annotation = _annotation(function, name)
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            types[name] = annotation
        elif get_origin(annotation) is Unpack:  # **options: Unpack[a TypedDict]
            types |= get_type_hints(*get_args(annotation), include_extras=True)
        else:
            types[ANY_OTHER] = Any
    return types


def _annotation(function: Any, name: str) -> Any:
    """The annotation of one argument; `Any` without one, and for names that only a type checker imports."""
    try:
        alone = SimpleNamespace(__annotations__={name: function.__annotations__[name]})
        return get_type_hints(alone, function.__globals__, include_extras=True)[name]
    except (KeyError, NameError, TypeError, AttributeError):
        return Any


def _nodes(key: str, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every `_target_` node in a value, at any depth, with its key; those inside another come first."""
    if isinstance(value, list | dict):
        for place, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _nodes(f"{key}[{place}]" if isinstance(value, list) else f"{key}.{place}", part)
    if isinstance(value, dict) and "_target_" in value:
        yield key, value


def _meant(key: str, settings: Collection[str]) -> str:
    parent, _, name = key.rpartition(".")
    if close := get_close_matches(name, settings, n=1):
        return f"; did you mean {parent}.{close[0]}?"
    return f", which has {', '.join(sorted(settings)) or 'none'}; where a file brings it, ~{key} takes it out"


def _refuse_target(target: str) -> None:
    if not FUNCTION_OR_CLASS.fullmatch(target) or not any(fnmatchcase(target, allowed) for allowed in WHITELIST):
        raise UserError(
            f"_target_={target!r} may not be called from a configuration; see WHITELIST in config/instantiate.py"
        )
