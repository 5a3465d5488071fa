"""The columns of comparisons."""

from headstart.analysis.columns import PAIRS


def test_every_column_that_the_design_promises_is_there():
    promised = """arm_a arm_b seeds difference ci_low ci_high probability_of_improvement p_holm speedup_epochs
    speedup_seconds verdict"""
    assert set(promised.split()) <= set(PAIRS)
