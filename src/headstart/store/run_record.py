"""run.json and result.json of a run: written with digests of what they say and of the files beside, read without trust.

A digest stands for what was written, whoever copies the folder: what differs since is no record any more. Records of
before there were digests have none; like all others they are read by the types and bounds of `FIELDS`.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le, MaxLen, MultipleOf

from headstart.store.epochs import LARGEST_COUNT
from headstart.store.files import as_plain, as_text, parse_json, read_regular_file, write_json

DIGEST_OF_RECORD = "record_sha256"  # of all else that the record says
DIGESTS_OF_FILES = "files_sha256"  # by name, of files that the run left beside its result
LONGEST_TEXT = 2**20  # characters

Text = Annotated[str, MaxLen(LONGEST_TEXT)]
Whole = Annotated[int, Ge(0), Le(LARGEST_COUNT)] | Annotated[float, Ge(0), Le(LARGEST_COUNT), MultipleOf(1)]
Percent = Annotated[float, Ge(0), Le(100)]
Scalar = str | int | float | bool

KINDS: tuple[tuple[str, Any, str], ...] = (  # what a message calls it, what it is, which fields are of it
    (
        "text",
        Text,
        """study arm phase state reason model weights freeze batch_norm stem data augmentation optimizer schedule
        class_weights weights_sha256 normalisation device precision torch_version sklearn_version headstart_version
        git_commit config_hash data_sha256 data_test_sha256 data_files best_sha256 processor command""",
    ),
    (
        "a whole number from 0",
        Whole,
        """number search_trials train_size val_size train_images val_images test_images copies_dropped copies_kept
        look_alikes folds fold image_size batch_size epochs epochs_run seed split_seed cv_folds best_epoch parameters
        parameters_trainable parameters_with_statistics multiply_adds weights_bytes test_reads threads""",
    ),
    (
        "a number",
        float,
        """lr class_ratio val_loss val_mse val_mae val_r2 test_mse test_mae test_r2 cv_accuracy_std seconds_train
        images_per_second seconds_features latency_seconds latency_p95_seconds answers_per_second""",
    ),
    (
        "a number from 0 to 100",
        Percent,
        """val_accuracy cv_accuracy_mean test_accuracy test_balanced_accuracy test_precision_macro test_recall_macro
        test_f1_macro test_corrupted_mean test_noise_mean test_blur_mean test_jpeg_mean test_contrast_mean""",
    ),
    ("values by key", dict[str, Scalar | None], "params"),
    ("names", list[Text], "classes"),
    ("percentages by kind", dict[str, list[Percent]], "corrupted"),
    ("counts by class", list[list[Whole]], "confusion"),
    ("scores by class", dict[str, dict[str, float | None]], "per_class"),
)
FIELDS = {name: (said, kind) for said, kind, names in KINDS for name in names.split()}  # any may be null, too


def write_record(path: Path, record: dict[str, Any], files: Iterable[str] = ()) -> None:
    """Write a run's record with its digest, and those of `files` beside it, where they are there; atomically.

    Raises:
        UserError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    kept = {name: digest for name in files if (digest := digest_of(path.with_name(name))) is not None}
    content = as_plain(record | ({DIGESTS_OF_FILES: kept} if kept else {}))
    write_json(path, content | {DIGEST_OF_RECORD: digest_of_record(content)})


def digest_of(path: Path) -> str | None:
    """SHA-256 of a file's bytes; None where there is no regular file that can be read."""
    try:
        return hashlib.sha256(read_regular_file(path)).hexdigest()
    except (OSError, ValueError):
        return None


def read_record(path: Path) -> tuple[dict[str, Any] | None, dict[str, str] | None, str]:
    """Return (record, digests of the files beside it, fault): None and what is wrong; ("" if there is no such file).

    Of a record without a digest, as earlier versions wrote them, the digests of the files are None.
    """
    if not os.path.lexists(path):
        return None, None, ""
    try:
        record = parse_json(path)
        if not isinstance(record, dict):
            raise ValueError("not an object")
        given, kept = record.pop(DIGEST_OF_RECORD, None), record.get(DIGESTS_OF_FILES)
        if (given is not None or kept is not None) and given != digest_of_record(record):
            raise ValueError("changed since it was written (its SHA-256 differs)")
        if not isinstance(kept, dict | None):
            raise ValueError(f"{DIGESTS_OF_FILES}={as_text(kept)[:40]}")
        _check_types(record)
    except FileNotFoundError:
        return None, None, f"unreadable {path.name}: a link to nothing"
    except OSError as error:
        return None, None, f"unreadable {path.name}: {error.strerror}"
    except ValueError as error:
        return None, None, f"unreadable {path.name}: {error}"
    record.pop(DIGESTS_OF_FILES, None)
    return record, None if given is None else kept or {}, ""


def digest_of_record(record: dict[str, Any]) -> str:
    """Of what a record says, however it is spaced and ordered."""
    return hashlib.sha256(json.dumps(record, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _check_types(record: dict[str, Any]) -> None:
    """Raise ValueError that names the first field which is not what it may be."""
    from pydantic import ValidationError

    try:
        _adapter().validate_python(record)
    except ValidationError as error:
        name = str(error.errors(include_url=False, include_context=False, include_input=False)[0]["loc"][0])
        said = "expected " + FIELDS[name][0] if name in FIELDS else "expected names of fields"
        raise ValueError(f"{name}={as_text(record.get(name))[:40]}, {said}") from None


@lru_cache(maxsize=1)
def _adapter() -> Any:
    """Pydantic's check of a whole record, which takes microseconds: a report reads ten thousand."""
    from pydantic import ConfigDict, TypeAdapter
    from typing_extensions import TypedDict  # which pydantic asks for before Python 3.12

    record = TypedDict("record", {name: kind | None for name, (_, kind) in FIELDS.items()}, total=False)
    record.__pydantic_config__ = ConfigDict(strict=True, allow_inf_nan=False)
    return TypeAdapter(record)
