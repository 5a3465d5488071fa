"""Epochs, steps, images and seconds to a target, by hand."""

import numpy as np
import pandas as pd
import pytest

from analysis.helpers_analysis import describe_study, run, search
from headstart.analysis.comparison import compare


def test_speed_is_the_median_over_seeds_with_the_censored_counted(tmp_path):
    describe_study(tmp_path, "a")
    search(tmp_path, "a")
    curves = [(50, 70, 81), (71, 72, 73), (30, 40, 60, 71), (30, 40, 50, 60, 69.9), (10, 20)]
    for seed, curve in enumerate(curves, 1):
        state = "DIVERGED" if seed == 5 else "COMPLETE"
        own = dict(
            arm="a", phase="confirm", number=2, seed=seed, val_accuracy=84.0, state=state, curve=curve, pace=seed
        )
        run(tmp_path, f"a/confirm/002/seed-{seed}", **own, test_accuracy=90.0)
    row = compare(tmp_path).arms.iloc[0]
    # Reached after 1, 2 and 4 epochs of 5 runs; the one that diverged after 2 epochs counts as never to the end:
    # survival 4/5, 3/5, 2/5 at 1, 2, 4. Dropped at 2 it would be 4/5, 3/5, 3/10; dropped at all, the median were 2.
    assert (row["epochs_to_70"], row["epochs_to_70_censored"]) == (4, 2)
    assert (row["steps_to_70"], row["images_to_70"]) == (40, 2560)
    # Reached after 2, 2 and 12 seconds; without it 20 seconds and, diverged, counted to the end.
    assert row["seconds_to_70"] == 12.0
    assert (row["epochs_to_80"], row["epochs_to_80_censored"]) == (pd.NA, 4)
    assert (row["reached_70"], row["reached_80"], row["reached_halfway"]) == ("yes", "never", "yes")
    assert (row["halfway_accuracy"], row["epochs_to_halfway"], row["epochs_to_halfway_censored"]) == (60.0, 3, 1)
    assert row["final_val_accuracy"] == pytest.approx(np.mean([81, 73, 71, 69.9]))
    # 99 % of 73.725 is 72.99: after 3 and 3 epochs by two of five.
    assert (row["epochs_to_99_of_final"], row["epochs_to_99_of_final_censored"]) == (pd.NA, 3)


def test_a_run_that_diverged_early_never_gets_there(tmp_path):
    describe_study(tmp_path, "a")
    search(tmp_path, "a")
    curves = [(70,), (10, 20, 30, 70), (10, 20), (10, 20), (10, 20, 30, 40, 50)]
    states = ["COMPLETE", "COMPLETE", "DIVERGED", "DIVERGED", "COMPLETE"]
    for seed, (curve, state) in enumerate(zip(curves, states, strict=True)):
        run(tmp_path, f"{seed}", arm="a", phase="confirm", number=2, seed=seed, state=state, curve=curve)
    row = compare(tmp_path).arms.iloc[0]
    # 2 of 5 reach 70; taken as runs cut short at epoch 2, the two would make that 60 % after epoch 4.
    assert (row["epochs_to_70"], row["epochs_to_70_censored"], row["confirmations_lost"]) == (pd.NA, 3, 2)


@pytest.mark.parametrize(
    ("confirmations", "said"),
    [
        ([], "not run"),
        ([("FAILED", ())], "not run"),
        ([("COMPLETE", ())], "no epochs"),
        ([("COMPLETE", (60, 65))], "never"),
        ([("DIVERGED", (60,))], "never"),
        ([("COMPLETE", (60, 71))], "yes"),
        ([("COMPLETE", (60, 65)), (None, (60,))], "not yet"),
        ([(None, ())], "not yet"),
    ],
)
def test_who_never_got_there_is_told_apart_from_who_was_not_run(tmp_path, confirmations, said):
    describe_study(tmp_path, "a")
    search(tmp_path, "a")
    for seed, (state, curve) in enumerate(confirmations, 1):
        own = dict(arm="a", phase="confirm", number=2, seed=seed, curve=curve)
        own |= dict(state=state, val_accuracy=84.0) if state else {}
        run(tmp_path, f"a/confirm/002/seed-{seed}", **own, **({"test_accuracy": 60.0} if state == "COMPLETE" else {}))
    row = compare(tmp_path).arms.iloc[0]
    assert row["reached_70"] == said
    assert (row["epochs_to_70"] is pd.NA) == (said != "yes")
