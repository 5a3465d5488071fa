"""Everything that touches a disk: run folders, locks, caches and where they lie."""

from headstart.store.cache_paths import GB, cache_limit, cache_root, expanded, shown_path, shown_size
from headstart.store.checkpoints import read_checkpoint, write_checkpoint
from headstart.store.data_record import (
    DataRecord,
    LeftOutFiles,
    Samples,
    find_data_record,
    keep_data_record,
    read_data_record,
    record_path,
)
from headstart.store.epochs import (
    EPOCH_FIELDS,
    LARGEST_COUNT,
    Epochs,
    append_epoch,
    read_epochs,
    truncate_epochs,
)
from headstart.store.feature_cache import FeatureCache, FeatureEntry, NotKept, describe_features, size_on_disk
from headstart.store.file_listing import DIGEST, FileListing, changes_since, keep_listing
from headstart.store.files import (
    LARGEST_RECORD,
    WEIGHT_SUFFIXES,
    as_text,
    json_of,
    read_json,
    sha256_of,
    write_atomically,
    write_json,
)
from headstart.store.image_cache import shared_images, write_facts, write_images
from headstart.store.locks import holding_lock
from headstart.store.run_folder import (
    AT_CHANCE,
    FINISHED,
    OUTCOMES,
    PAUSED,
    RUN_MARKERS,
    find_runs,
    read_facts,
    read_run,
    set_aside,
    valid_name,
)
from headstart.store.run_lock import is_alive, lock_run
from headstart.store.scratch import scratch_folder
from headstart.store.study_file import METRICS, PublishedFigure, StudyFile, check_figures, is_number, read_study

__all__ = [
    "AT_CHANCE",
    "DIGEST",
    "EPOCH_FIELDS",
    "FINISHED",
    "GB",
    "LARGEST_COUNT",
    "LARGEST_RECORD",
    "METRICS",
    "OUTCOMES",
    "PAUSED",
    "RUN_MARKERS",
    "WEIGHT_SUFFIXES",
    "DataRecord",
    "Epochs",
    "FeatureCache",
    "FeatureEntry",
    "FileListing",
    "LeftOutFiles",
    "NotKept",
    "PublishedFigure",
    "Samples",
    "StudyFile",
    "append_epoch",
    "as_text",
    "cache_limit",
    "cache_root",
    "changes_since",
    "check_figures",
    "describe_features",
    "expanded",
    "find_data_record",
    "find_runs",
    "holding_lock",
    "is_alive",
    "is_number",
    "json_of",
    "keep_data_record",
    "keep_listing",
    "lock_run",
    "read_checkpoint",
    "read_data_record",
    "read_epochs",
    "read_facts",
    "read_json",
    "read_run",
    "read_study",
    "record_path",
    "scratch_folder",
    "set_aside",
    "sha256_of",
    "shared_images",
    "shown_path",
    "shown_size",
    "size_on_disk",
    "truncate_epochs",
    "valid_name",
    "write_atomically",
    "write_checkpoint",
    "write_facts",
    "write_images",
    "write_json",
]
