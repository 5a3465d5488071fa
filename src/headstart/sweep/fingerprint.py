"""What a study fixed when it began, and the refusal to go on with anything else."""

import json
from pathlib import Path
from typing import Any

from headstart.errors import UserError
from headstart.store import read_json, read_run, write_json


def check_fingerprint(folder: Path, fingerprint: dict[str, Any]) -> None:
    """Compare with the study that is already in the folder, and record its new arms. Raises UserError for changes.

    fingerprint: {"common": {key: value}, "arms": {arm: {key: value}}}, JSON values, and what the report has to know.
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
    spaces = before.get("spaces", {}) | now.get("spaces", {})
    order = list(dict.fromkeys([*before.get("arm_order", []), *now.get("arm_order", [])]))
    remembered = {k: v for k, v in now.items() if k not in ("common", "arms")}
    write_json(path, before | remembered | dict(spaces=spaces, arm_order=order))


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
    if not all(isinstance(before.get(k), dict) for k in ("common", "arms")):
        raise UserError(f"{path} is damaged: it lacks common or arms. Put it back, or start another study by name=...")
    now = json.loads(json.dumps(fingerprint))
    changes = _changed(before["common"], now["common"])
    for arm, keys in now["arms"].items():
        for change in _changed(before["arms"].get(arm, keys), keys):
            if change not in changes:
                changes.append(change)
    if changes:
        shown = "\n".join(f"  {c}" for c in changes[:12])
        ended = (read_run(p.parent)["state"] for p in folder.glob("*/search/*/result.json"))
        lost = f" (none of its runs came to anything: rm -r {folder})" if set(ended) <= {"FAILED"} else ""
        raise UserError(
            f"{folder} holds a study with other settings:\n{shown}\n"
            f"set them as they were, or start another by name=...{lost}"
        )


def _changed(before: dict[str, Any], now: dict[str, Any], within: str = "") -> list[str]:
    missing, found = "(not there)", []
    for key in dict.fromkeys([*before, *now]):
        was, is_now = before.get(key, missing), now.get(key, missing)
        if isinstance(was, dict) and isinstance(is_now, dict):
            found += _changed(was, is_now, f"{within}{key}: ")
        elif was != is_now:
            found.append(f"{within}{key}: was {was}, now {is_now}")
    return found
