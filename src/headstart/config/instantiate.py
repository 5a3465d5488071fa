"""What a configuration may name as `_target_`, the check of its keys against what that takes, and its making."""

import inspect
import math
import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

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
REFUSED_BY_HYDRA = re.compile(r"Target '(.*?)'( \(resolved from '(.*?)'\))?.*execution whitelist", re.DOTALL)


HYDRAS_OWN = {"_partial_", "_args_", "_convert_", "_recursive_"}


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
    if node.get("_partial_", False) is not partial:
        raise UserError(f"{key}._partial_={shown(node.get('_partial_'))} is Hydra's own; leave it as its file has it")
    if own := sorted(HYDRAS_OWN - {"_partial_"} & node.keys()):
        raise UserError(f"{key}.{own[0]} is Hydra's own; leave it out")
    target, types = str(node["_target_"]), _argument_types(str(node["_target_"]))
    for name, value in node.items():
        within = f"{key}.{name}"
        _check_nested(within, value)
        if name in ("_target_", "_partial_") or types is None or _is_target(value):
            continue
        if name in passed or (name not in types and ANY_OTHER not in types):
            raise UserError(
                f"{within}=... is no setting of {target}{_meant(within, types.keys() - passed - {ANY_OTHER})}"
            )
        if refused := refusal(within, value, types.get(name, Any)):
            raise UserError(refused)


def make(node: Mapping[str, Any], **arguments: Any) -> Any:
    """Instantiate a `_target_` node, nested ones included; arguments are passed on to the outermost.

    Raises UserError for a target outside the whitelist, for keys that the target does not take, and, unwrapped, for
    whatever the target itself refuses.
    """
    plain = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    for target in _targets(plain):
        _refuse_target(target)
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


ANY_OTHER = "**"  # among the arguments of a target that takes any others, too


def _argument_types(target: str) -> dict[str, Any] | None:
    """The annotation of each argument that a target takes, `Any` without one; None where its signature is not known."""
    _refuse_target(target)
    try:
        found = get_object(target)
        signature = inspect.signature(found)
    except (ImportError, AttributeError, ValueError, InstantiationException):  # `make` says it better
        return None
    hints, types = _hints(found), {}
    for name, parameter in signature.parameters.items():
        annotation = hints.get(name, Any)
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            types[name] = annotation
        elif options := [a for a in get_args(annotation) if hasattr(a, "__total__")]:  # **options: Unpack[a TypedDict]
            types |= get_type_hints(options[0], include_extras=True)
        else:
            types[ANY_OTHER] = Any
    return types


def takes(target: str, name: str) -> bool:
    """Whether a target has an argument of that name, or nobody can tell."""
    try:
        types = _argument_types(target)
    except UserError:
        return False
    return types is None or name in types or ANY_OTHER in types


def _hints(found: Any) -> dict[str, Any]:
    """The annotations of a function, or of a class's constructor; `Any` for names that only a type checker imports."""
    function = inspect.unwrap(found.__init__ if inspect.isclass(found) else found)
    written = getattr(function, "__annotations__", {})
    return {name: _hint(function, annotation) for name, annotation in written.items()}


def _hint(function: Any, annotation: Any) -> Any:
    try:
        return get_type_hints(
            SimpleNamespace(__annotations__={"it": annotation}), function.__globals__, include_extras=True
        )["it"]
    except (NameError, TypeError, AttributeError):
        return Any


def _check_nested(key: str, value: Any) -> None:
    """Check the nodes in a value, at any depth, and its numbers: none means something by being infinite or NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{key}={value}: expected a finite number")
    if _is_target(value):
        check_node(key, value)
    elif isinstance(value, list | dict):
        for place, part in value.items() if isinstance(value, dict) else enumerate(value):
            _check_nested(f"{key}[{place}]" if isinstance(value, list) else f"{key}.{place}", part)


def _is_target(value: Any) -> bool:
    return isinstance(value, dict) and "_target_" in value


def _meant(key: str, settings: Collection[str]) -> str:
    parent, _, name = key.rpartition(".")
    if close := get_close_matches(name, settings, n=1):
        return f"; did you mean {parent}.{close[0]}?"
    return f", which has {', '.join(sorted(settings)) or 'none'}; where a file brings it, ~{key} takes it out"


def _refuse_target(target: str) -> None:
    if not FUNCTION_OR_CLASS.fullmatch(target) or not any(fnmatchcase(target, allowed) for allowed in WHITELIST):
        raise UserError(_not_callable(target))


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
