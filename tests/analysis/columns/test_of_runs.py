"""The columns of runs: what was promised, and of the types that records have."""

from headstart.analysis.columns import EPOCHS, TRIALS
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
