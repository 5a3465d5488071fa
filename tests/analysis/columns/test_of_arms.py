"""The columns of arms: what was promised, and what people read first."""

from headstart.analysis.columns import ARMS, ARMS_SHORT, READ_FIRST


def test_every_column_that_the_design_promises_is_there():
    promised = """arm trials pruned diverged failed best_lr lr_low lr_high edge lr_tolerance_decades val_accuracy seeds
    test_mean test_std test_ci_low test_ci_high test_precision_macro test_recall_macro test_f1_macro epochs_to_70
    epochs_to_70_censored seconds_to_95 seconds_to_95_censored parameters"""
    assert set(promised.split()) <= set(ARMS)


def test_what_people_read_first_stands_first_and_alone_in_a_short_table_with_units_in_the_names():
    assert list(ARMS)[:10] == list(READ_FIRST) and list(ARMS_SHORT) == list(READ_FIRST.values())
    for name, short in READ_FIRST.items():
        assert ARMS_SHORT[short].dtype == ARMS[name].dtype
        unit = ARMS[name].unit
        assert unit in ("", "count") or short.endswith(f"_{unit}") or unit in short, short
