"""The diagram of many arms: ranks are averaged over paired seeds, and bars say what the verdicts say."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from headstart.report import Material, plots
from headstart.report.plots.critical_difference import beaten, families, paired_ranks
from report.helpers_report import drawn, lines, ranked, sentences, study

ARMS = tuple("abcdefgh")
SPREAD = np.random.default_rng(1).normal(0, 0.5, (8, 5))
SCORES = dict(zip(ARMS, 90 - np.array([0, 1, 1.6, 2.4, 3, 3.5, 9, 12])[:, None] + SPREAD, strict=True))


@pytest.fixture(scope="module")
def eight():
    return ranked(*ARMS, scores=SCORES)


def joined(ax, frames):
    """The arms whose dots each bar carries."""
    ranks = paired_ranks(frames.trials, frames.pairs).mean()
    at = {round(rank, 9): arm for arm, rank in ranks.items()}
    assert len(at) == len(ranks)  # else a bar would not say whose its dots are
    return [{at[round(x, 9)] for x in line.get_xdata()} for line in lines(ax, "joined")]


def test_arms_stand_at_their_average_rank_over_paired_seeds(eight, ax):
    assert plots.critical_difference(eight.trials, eight.pairs, ax) is ax
    expected = rankdata(-np.array(list(SCORES.values())), axis=0).mean(axis=1)
    words = [text.get_text() for text in ax.texts]
    assert sorted(words) == sorted(f"{arm} ({rank:.2f})" for arm, rank in zip(ARMS, expected, strict=True))
    assert sorted(line.get_xdata()[1] for line in lines(ax, "rank")) == pytest.approx(sorted(expected))
    assert "over 5 seeds (digits, 50 training images)" in ax.get_title(loc="left")


def test_bars_join_exactly_the_pairs_without_a_winner(eight, ax):
    plots.critical_difference(eight.trials, eight.pairs, ax)
    bars = joined(ax, eight)
    without, named = set(), set()
    for _, pair in eight.pairs.iterrows():
        (named if pair["p_holm"] < 0.05 else without).add(frozenset(pair[["arm_a", "arm_b"]]))
    assert named and without
    assert all(any(pair <= bar for bar in bars) for pair in without)
    assert not any(pair <= bar for pair in named for bar in bars)


def test_a_pair_that_may_have_no_winner_is_joined_however_small_its_p(ax):
    frames = ranked(*ARMS, scores=SCORES, spaces={})  # what was searched is not known
    assert frames.pairs["p_holm"].min() < 0.01 and frames.pairs["winner"].isna().all()
    plots.critical_difference(frames.trials, frames.pairs, ax)
    assert joined(ax, frames) == [set(ARMS)]


def test_ties_share_a_rank_and_only_seeds_that_all_have_count(ax):
    scores = {arm: [90.0, 80.0 + place, 70.0] for place, arm in enumerate(ARMS)}
    frames = ranked(*ARMS, scores=scores, seeds=3)
    trials = frames.trials[~(frames.trials["arm"].eq("a") & frames.trials["seed"].eq(3))]
    ranks = paired_ranks(trials, frames.pairs)
    assert ranks[list(ARMS)].to_numpy().tolist() == [[4.5] * 8, [8, 7, 6, 5, 4, 3, 2, 1]]


def test_arms_without_a_reading_are_left_out_and_named(eight):
    trials = eight.trials[~(eight.trials["arm"].eq("c") & eight.trials["phase"].eq("confirm"))]
    untested = type(eight)(**vars(eight) | {"trials": trials})
    found = drawn(untested, "critical_difference")
    assert len(lines(found.figure.axes[0], "rank")) == 7
    assert found.caption.endswith("Not tested yet, and not there: c.")


def test_no_seed_that_all_arms_have_is_said(eight, ax):
    only = dict(zip(ARMS, range(1, 9), strict=True))
    trials = eight.trials[eight.trials["seed"] == eight.trials["arm"].map(only)]
    assert "No seed has been tested in all arms yet" in sentences(plots.critical_difference(trials, eight.pairs, ax))


def test_the_page_has_it_for_more_than_six_arms_only(eight, ax):
    few = study(*ARMS[:6])
    assert drawn(few, "critical_difference") is None
    assert plots.critical_difference(few.trials, few.pairs, ax) is None
    found = drawn(eight, "critical_difference")
    assert "Demšar" in found.caption and found.alt.startswith("Average rank of test accuracy over 5 seeds: a 1.")
    assert "h 8.00." in found.alt


def test_each_study_data_and_size_has_a_diagram_of_its_own(eight):
    more = eight.pairs.assign(train_size=pd.array([500] * len(eight.pairs), dtype="Int64"))
    few = eight.pairs[eight.pairs["arm_b"].isin(["b", "c"])].assign(data="other")
    both = type(eight)(**vars(eight) | {"pairs": pd.concat([few, eight.pairs, more])})
    assert [len(own) for own in families(both.pairs)] == [28, 28]
    found = drawn(both, "critical_difference")
    assert ["500" in ax.get_title(loc="left") for ax in found.figure.axes] == [False, True]
    assert found.figure.get_figheight() > 5


def test_the_words_say_what_each_arm_is_better_than(eight):
    material = Material(eight)
    better = beaten(material.pairs)
    assert {(a, b) for a, own in better.items() for b in own} == {
        (w, a if w == b else b)
        for a, b, w in eight.pairs[["arm_a", "arm_b", "winner"]].itertuples(index=False)
        if w is not pd.NA
    }


def test_what_draws_it_is_imported_only_then():
    code = "import sys, headstart.report.figures; print('seaborn' in sys.modules, 'statsmodels' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
