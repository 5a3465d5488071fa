"""Every column has a type and a meaning, and is in the dictionary."""

import re

from headstart.analysis.columns import (
    ARMS,
    ARMS_SHORT,
    EPOCHS,
    LEDGER,
    PAIRS,
    READ_FIRST,
    TABLES,
    TRIALS,
    Column,
    dictionary_markdown,
)
from headstart.store import EPOCH_FIELDS
from headstart.store.run_record import FIELDS


def test_every_column_that_the_design_promises_is_there():
    text = """study arm phase number state reason model weights freeze stem data train_size image_size augmentation
    optimizer schedule lr batch_size epochs epochs_run seed split_seed val_accuracy val_loss best_epoch test_accuracy
    test_precision_macro test_recall_macro test_f1_macro epochs_to_70 epochs_to_80 epochs_to_90 epochs_to_93
    epochs_to_95 seconds_to_70 seconds_to_80 seconds_to_90 seconds_to_93 seconds_to_95 seconds_train images_per_second
    parameters parameters_trainable parameters_with_statistics weights_sha256 normalisation test_reads device threads
    precision torch_version git_commit config_hash command run_dir"""
    promised = text.split()
    assert [name for name in TRIALS if name in promised] == promised
    assert set(EPOCHS) == {"study", "arm", "phase", "number", "seed", "run_dir", *EPOCH_FIELDS}
    for columns in TABLES.values():
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in columns)
        assert {column.dtype for column in columns.values()} <= {"Int64", "Float64", "string", "boolean"}


def test_every_comparing_column_that_the_design_promises_is_there():
    promised = """arm trials pruned diverged failed best_lr lr_low lr_high edge lr_tolerance_decades val_accuracy seeds
    test_mean test_std test_ci_low test_ci_high test_precision_macro test_recall_macro test_f1_macro epochs_to_70
    epochs_to_70_censored seconds_to_95 seconds_to_95_censored parameters"""
    assert set(promised.split()) <= set(ARMS)
    promised = """arm_a arm_b seeds difference ci_low ci_high probability_of_improvement p_holm speedup_epochs
    speedup_seconds verdict"""
    assert set(promised.split()) <= set(PAIRS)


def test_what_people_read_first_stands_first_and_alone_in_a_short_table_with_units_in_the_names():
    assert list(ARMS)[:10] == list(READ_FIRST) and list(ARMS_SHORT) == list(READ_FIRST.values())
    for name, short in READ_FIRST.items():
        assert ARMS_SHORT[short].dtype == ARMS[name].dtype
        unit = ARMS[name].unit
        assert unit in ("", "count") or short.endswith(f"_{unit}") or unit in short, short


def test_the_dictionary_explains_every_column_of_every_table():
    text = dictionary_markdown()
    for name, columns in TABLES.items():
        section = text.split(f"## {name}.csv\n")[1].split("\n## ")[0]
        for column, about in columns.items():
            assert f"| `{column}` | {about.dtype} | {about.unit} | {about.meaning} |" in section
    assert "`params_<key>`" in text and "censored" in text
    assert all(isinstance(c, Column) and c.meaning for columns in TABLES.values() for c in columns.values())


def test_the_dictionary_explains_the_tables():
    text = dictionary_markdown()
    for name, columns in {"arms": ARMS, "pairs": PAIRS, "ledger": LEDGER}.items():
        assert f"## {name}.csv" in text and TABLES[name] is columns
        assert all(column.meaning for column in columns.values())


def test_what_a_run_records_is_read_by_the_types_of_its_columns():
    """The reader of result.json knows a type for every column that a run records itself, and the same one."""
    computed = {"run_dir", "train_accuracy", "steps", "images"}
    computed |= {name for name in TRIALS if "_to_" in name or name.startswith("reached_")}
    kinds = {"text": "string", "a whole number from 0": "Int64", "a number": "Float64"}
    kinds |= {"a number from 0 to 100": "Float64"}
    recorded = {name: kinds[said] for name, (said, _) in FIELDS.items() if said in kinds}
    assert {name: c.dtype for name, c in TRIALS.items() if name not in computed}.items() <= recorded.items()
    percents = {name for name, column in TRIALS.items() if column.unit == "percent"} - computed
    assert percents == {name for name, (said, _) in FIELDS.items() if said == "a number from 0 to 100"}
