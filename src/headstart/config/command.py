"""What identifies a run, and the command line that repeats it: both made of its settings, whatever study it is from."""

import hashlib
import json
import shlex
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from omegaconf import OmegaConf

from headstart.config.grammar import differences, key_of, top_key_of
from headstart.config.groups import composed, default_options, options
from headstart.config.schema import (
    DESCRIBING,
    RUN_GROUPS,
    Config,
    identifying_data,
    identifying_model,
    keys_without_effect,
    outspoken,
)
from headstart.config.search_path import as_typed, given_search_path


def config_hash(values: Config, **settled: Any) -> str:
    """First 16 digits of the sha256 of what determines a run's result; equal hash, equal row (at equal threads).

    settled: values that the run filled in for `auto`. Threads are left out: a run may go on with other ones. So is what
    has no effect on the model, and the search space that its file brings.
    The folder that data is read from is left out: its content is identified by `data_sha256` in the run's record.
    """
    ignored = DESCRIBING | {"threads"} | keys_without_effect(values)
    content = {k: v for k, v in outspoken(vars(values) | settled).items() if k not in ignored}
    content["model"] = {k: v for k, v in identifying_model(values.model).items() if k != "search"}
    content["data"] = identifying_data(values.data)
    if content["data"].get("class_weights"):
        content["data"]["class_weights"] += " over pictures"  # once the loss was divided by the batch's weights
    if content["data"].get("validation_size") == "auto":
        content["data"]["validation_size"] = None  # as the default was called before; old checkpoints go on
    if "duplicates" in values.data and values.data["duplicates"] is None:
        content["data"]["allow_duplicates"] = (
            False  # what was said before there was `duplicates`: old checkpoints go on
        )
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def command_line(changes: Iterable[str], ignored: Collection[str]) -> str:
    """The single run that these changes of the defaults make, without those of top-level keys to be ignored."""
    words = [word for word in changes if top_key_of(word) not in ignored]
    return shlex.join(["headstart", *as_typed(given_search_path() if any(map(_is_own, words)) else []), *words])


def _is_own(word: str) -> bool:
    """Whether it chooses an option that is not among ours, but in a folder of the user's own."""
    return key_of(word) in RUN_GROUPS and word.partition("=")[2] not in options(key_of(word), own=False)


def changes_from_defaults(written: Mapping[str, Any], choices: Mapping[str, str]) -> list[str]:
    """The overrides that lead from the defaults to a job; an experiment's content is in them, and its name is not.

    written: the job as composed, `${...}` unresolved; choices: the option of each of RUN_GROUPS.
    """
    picked = [f"{g}={choices[g]}" for g in RUN_GROUPS if choices[g] != default_options()[g]]
    baseline = _baseline(tuple(picked))
    ignored = DESCRIBING - {"phase"} if written["phase"] == "search" else DESCRIBING
    now = {key: written[key] for key in sorted(written) if key not in ignored}
    before = {key: baseline[key] for key in now if key in baseline}
    found = differences(before, now)
    return picked + [c for c in found if not key_of(c).startswith("model.search")]  # a sweep's, as `search` is


@lru_cache(maxsize=64)
def _baseline(choices: tuple[str, ...]) -> dict[str, Any]:
    """Composed, unresolved configuration with only these group choices on top of the defaults."""
    return OmegaConf.to_container(composed(choices), resolve=False)
