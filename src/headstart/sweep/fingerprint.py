"""What a study fixed when it began, and the refusal to go on with anything else."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from headstart.config import (
    DESCRIBING,
    identifying_data,
    identifying_model,
    keys_without_effect,
    outspoken,
    without_hydra,
)
from headstart.errors import UserError
from headstart.statistics import ENOUGH_TO_CHOOSE
from headstart.store import StudyFile, read_facts, read_json, read_run, write_json
from headstart.sweep.arms import Arm
from headstart.sweep.settings import SweeperSettings

SPLIT = "data.validation_size"
PROTOCOL_VERSION = 4  # raise it when a change to the rules makes old and new trials incomparable


def fingerprint_of(
    settings: SweeperSettings, arms: list[Arm], composed: Mapping[str, DictConfig]
) -> dict[str, dict[str, Any]]:
    """What an existing study must agree with: {"common": {key: value}, "arms": {arm: {key: value}}}.

    composed: each arm's configuration, by its name.
    """
    common = {"protocol": PROTOCOL_VERSION}
    common |= {key: getattr(settings, key) for key in ("objective", "sampler", "pruner", "source", "confirm")}
    return dict(common=common, arms={arm.name: _fixed_of(arm, composed[arm.name]) for arm in arms})


def _fixed_of(arm: Arm, cfg: DictConfig) -> dict[str, Any]:
    """What determines the arm's results, but what it searches, and how that is searched."""
    ignored = DESCRIBING | {"threads"} | keys_without_effect(cfg)
    searched = arm.space.keys() | ({"optimizer.lr"} if "lr" in arm.space else set())
    content = outspoken(OmegaConf.to_container(without_hydra(cfg), resolve=True))
    content |= dict(data=identifying_data(content["data"]), model=identifying_model(content["model"]))
    settings = {
        key: value
        for key, value in _flatten(content)
        if key.partition(".")[0] not in ignored and not key.startswith("model.search") and key not in searched
    }
    if settings.get("data.class_weights"):  # once the loss was divided by the weights of each batch
        settings["loss"] = "divided by the number of pictures"
    space = {key: repr(distribution) for key, distribution in arm.space.items()}
    return settings | {"search space": space, "first points": arm.first_points}


def _flatten(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        return [pair for k, v in value.items() for pair in _flatten(v, f"{prefix}.{k}" if prefix else str(k))]
    return [(prefix, value)]


def begun_folds(folder: Path) -> dict[str, int | None] | None:
    """Into how many folds the pictures of each arm were dealt out when the study in the folder began, by its name.

    None without a study there. Raises UserError for a study.json that cannot be read.
    """
    path = folder / "study.json"
    content = read_json(path) if path.exists() else None
    if not _is_whole(content):  # what is wrong with it is said where it is compared
        return None
    found = {arm: keys.get("data.folds") for arm, keys in content["arms"].items()}
    return {arm: folds if isinstance(folds, int) else None for arm, folds in found.items()}


def record_fingerprint(folder: Path, fingerprint: dict[str, Any]) -> None:
    """Write study.json, or its new arms where the study is already in the folder. Raises UserError for changes.

    fingerprint: as `fingerprint_of` returns it, JSON values, and beside it what the report has to know of the study.
    An added arm is no change, and one left out stays recorded.
    """
    refuse_changes(folder, fingerprint)
    path = folder / "study.json"
    if not path.exists():
        write_json(path, fingerprint)
        return
    before = read_json(path)
    now = json.loads(json.dumps(fingerprint))
    before["arms"] |= {a: k for a, k in now["arms"].items() if a not in before["arms"]}
    by_arm = {key: before.get(key, {}) | now.get(key, {}) for key in ("spaces", "settings")}
    order = list(dict.fromkeys([*before.get("arm_order", []), *now.get("arm_order", [])]))
    remembered = {k: v for k, v in now.items() if k not in ("common", "arms")}
    write_json(path, before | remembered | _looks(folder, before, now) | by_arm | dict(arm_order=order))


def _looks(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The looks planned before, and of those planned now what lies beyond the seeds that there are already.

    A look that is put in where somebody has looked already would take back what that one has named.
    """
    seen = Counter(path.parent.parent for path in folder.glob("*/confirm/*/*/result.json"))
    if not seen:
        return {}
    known, most = StudyFile.of(before), max(seen.values())
    looks = {*known.looks, *(look for look in now.get("looks", ()) if look > most or not known.looks)}
    return dict(looks=sorted(looks), planned_seeds=known.planned_seeds or now.get("planned_seeds"))


def refuse_changes(folder: Path, fingerprint: dict[str, Any]) -> None:
    """Compare with the study that is already in the folder, key by key; nothing is written. Raises UserError."""
    path = folder / "study.json"
    if not path.exists():
        if next(folder.glob("*/search/*/result.json"), None):
            raise UserError(
                f"{path} is missing, so nobody can tell what the runs there were made with.\n"
                "Put it back, or start another study by name=..."
            )
        return
    before = read_json(path)
    if not _is_whole(before):
        raise UserError(f"{path} is damaged: it lacks common or arms. Put it back, or start another study by name=...")
    now = json.loads(json.dumps(fingerprint))
    changes, batch, split = _changed(before["common"], now["common"]), None, ""
    for arm, keys in now["arms"].items():
        recorded = _in_words_of_today(before["arms"].get(arm, keys))
        if recorded.get(SPLIT, "") is None and keys.get(SPLIT) == "auto" and _has_enough_to_validate(folder):
            recorded |= {SPLIT: "auto"}  # as the split is the same
        changes += [c for c in _changed(recorded, keys) if c not in changes]
        if batch is None and keys.get("batch_size", "") is None:  # once the default was a number
            batch = recorded.get("batch_size")
        if recorded.get(SPLIT, "") is None and keys.get(SPLIT) == "auto":
            split = f"{SPLIT}=null"
    if changes:
        typed = {f"batch_size={batch}": "batches"} if batch else {}
        _refuse(folder, changes, typed | ({split: "split"} if split else {}))


def _are_close(before: Any, now: Any) -> bool:
    """Whether two values differ by no more than last digits: the steps of a grid were once added up in binary."""
    if isinstance(before, int | float) and isinstance(now, int | float):
        return math.isclose(before, now, rel_tol=1e-12, abs_tol=1e-15)
    if isinstance(before, list) and isinstance(now, list):
        return len(before) == len(now) and all(map(_are_close, before, now))
    if isinstance(before, dict) and isinstance(now, dict):
        return before.keys() == now.keys() and all(_are_close(before[key], now[key]) for key in now)
    return before == now


def _in_words_of_today(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """What was fixed of an arm, of `data` and `model` what is still said: it may have begun with another version."""
    data = {key.removeprefix("data."): value for key, value in recorded.items() if key.startswith("data.")}
    model = {key.removeprefix("model."): value for key, value in recorded.items() if key.startswith("model.")}
    said = {f"data.{key}" for key in identifying_data(data)} | {f"model.{key}" for key in identifying_model(model)}
    return {key: value for key, value in recorded.items() if not key.startswith(("data.", "model.")) or key in said}


def _is_whole(content: Any) -> bool:
    """Whether what study.json holds can be compared and added to; it is a file that people edit."""
    kinds = dict(common=dict, arms=dict, spaces=dict, settings=dict, arm_order=list)
    if not isinstance(content, dict) or not {"common", "arms"} <= content.keys():
        return False
    if not all(isinstance(content[key], kind) for key, kind in kinds.items() if key in content):
        return False
    names = all(isinstance(name, str) for name in content.get("arm_order", []))
    return names and all(isinstance(keys, dict) for keys in content["arms"].values())


def _has_enough_to_validate(folder: Path) -> bool:
    """Whether no run of the study was validated on so few pictures that `auto` would be another split than null.

    Null was the default of before.
    """
    sizes = [read_facts(path.parent).get("val_images") for path in folder.glob("*/*/*/run.json")]
    return all(isinstance(size, int) and size >= ENOUGH_TO_CHOOSE for size in sizes)


def _refuse(folder: Path, changes: list[str], began: Mapping[str, str]) -> None:
    """began: what the study began with by default, and would not have now: the override for it, and what that is."""
    shown = "\n".join(f"  {c}" for c in changes[:12])
    ended = (read_run(p.parent)["state"] for p in folder.glob("*/search/*/result.json"))
    words, what = " ".join(began), " and the ".join(began.values())
    typed = f"; with {words} typed it goes on with the {what} it began with" if began else ""
    lost = f" (none of its runs came to anything: rm -r {folder})" if set(ended) <= {"FAILED"} else ""
    raise UserError(
        f"{folder} holds a study with other settings:\n{shown}\n"
        f"set them as they were, or start another by name=...{lost}{typed}"
    )


def _changed(before: dict[str, Any], now: dict[str, Any], within: str = "") -> list[str]:
    """`epochs: was 10, now 20` for every key that differs."""
    missing, found = "(not there)", []
    for key in dict.fromkeys([*before, *now]):
        was, is_now = before.get(key, missing), now.get(key, missing)
        if isinstance(was, dict) and isinstance(is_now, dict):
            found += _changed(was, is_now, f"{within}{key}: ")
        elif not _are_close(was, is_now):
            was, is_now = ("null" if value is None else value for value in (was, is_now))
            found.append(f"{within}{key}: was {was}, now {is_now}")
    return found
