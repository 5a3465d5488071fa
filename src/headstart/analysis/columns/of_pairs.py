"""Columns of pairs.csv, and of other comparisons: repeated searches, and forecasts for more training images."""

from headstart.analysis.columns.kinds import Columns, count, flag, integer, number, percent, points, text
from headstart.analysis.columns.of_runs import of_trials

# ---- pairs.csv: a row per pair of arms that can be compared

PAIRS: Columns = {
    **of_trials("study"),
    "arm_a": text("first arm: that with pretrained weights, or if both or neither has any, the more accurate one"),
    "arm_b": text("second arm, on the same data and train_size"),
    **of_trials("data", "train_size"),
    "seeds": count("seeds that both were confirmed with; where fewer named a winner already, these"),
    "difference": points("test accuracy a - b, mean over these seeds"),
    "ci_low": points("lower bound of its interval (paired Student t) at `level`, for what `holds_for` says"),
    "ci_high": points("upper bound of the same interval"),
    "holds_for": text(
        "what the interval generalises to: new seeds, new test images, repeated searches, other training images of the "
        "same folds"
    ),
    "seeds_ci_low": points("lower bound of the 95 % interval for new seeds alone, not corrected"),
    "seeds_ci_high": points("upper bound of the same interval"),
    "level": number("", "level of the interval, by Holm's step and the error that is spent at this number of seeds"),
    "detectable": points(
        "true difference that such an interval would have told from zero 80 times in 100; empty: not even one of 100"
    ),
    "probability_of_improvement": number("", "P(a > b) of fresh runs, over all combinations of seeds"),
    "p": number("", "two-sided p-value of the paired t test"),
    "p_holm": number("", "the same, corrected for all looks at the seeds and, by Holm, for all pairs of `family`"),
    "family": count("pairs of the study that the correction counts"),
    "speedup_epochs": number("", "epochs of b / epochs of a to `speedup_threshold`: above 1, a is sooner"),
    "speedup_seconds": number("", "the same in training seconds; empty where device or threads of the arms differ"),
    "speedup_epochs_low": number(
        "",
        "lower bound of its 95 % interval: geometric mean over paired seeds, Student t on logarithms; a run that never "
        "got there counts with what it lasted, and the bound on its side stays open (empty)",
    ),
    "speedup_epochs_high": number("", "upper bound of the same interval; empty: open"),
    "speedup_seconds_low": number("", "lower bound of the same interval in training seconds; empty: open"),
    "speedup_seconds_high": number("", "upper bound of it; empty: open"),
    "speedup_threshold": percent("highest stated val_accuracy that the median run of both reaches; empty: none"),
    "untuned_a": percent(
        "trials of a at its first points, which are tried whatever the search finds, that had more val_accuracy than "
        "b's best: learning rates at which a need not be tuned to beat b; empty: none are known"
    ),
    "untuned_b": percent("the same of b's against a's best"),
    "test_sampling": points("± that the choice of test images alone gives an accuracy (95 %)"),
    "pictures": count("test pictures that both answered; empty: not known"),
    "pictures_alone": points(
        "± that the choice of these alone leaves of the difference, by these very models, at `level`; it is in the "
        "interval, too"
    ),
    "pictures_paired": flag(
        "whether that is by the pictures on which the arms differ; no: predictions were not kept, and it is as of two "
        "accuracies on pictures of their own, which is more"
    ),
    "winner": text("arm that the verdict names; empty: none"),
    "undecided": flag("whether more seeds could still decide the pair"),
    "verdict": text("the one sentence that the evidence allows"),
    "next": text("what to run next; empty: nothing is missing"),
}

# ---- searches.csv and search_pairs.csv: searches that were repeated with other seeds, and their pairs

SEARCHES: Columns = {
    "search": text("what the repeats share of their studies' names; the arm where a study has several"),
    **of_trials("arm"),
    "repeats": count("studies that differ in the seed alone and have a score: n of the statistics"),
    "led_nowhere": count(
        "further repeats: no trial may be selected, or confirmations DIVERGED; the means are too high without them, "
        "and no winner is named"
    ),
    "trials": count("trials of each search; the fewest, where they differ"),
    "epochs_searched": number("epochs", "epochs that a search's trials trained, mean over repeats"),
    "best_lr_low": number("", "lowest of the learning rates that the searches found best"),
    "best_lr_high": number("", "highest of them"),
    "val_mean": percent("validation accuracy of the best trial, mean over repeats"),
    "val_lowest": percent("the same of the least lucky search"),
    "test_mean": percent("test accuracy of the best trial's confirmations, mean over repeats"),
    "test_std": points("its standard deviation over repeats (n - 1)"),
    "test_ci_low": percent("lower bound of its 95 % interval (Student t on log odds) for repeated searches"),
    "test_ci_high": percent("upper bound of the same interval"),
    "test_lowest": percent("the same of the least lucky search"),
    **of_trials("data", "train_size"),
}

SEARCH_PAIRS: Columns = {
    "search_a": text("first search"),
    "search_b": text("second search, on the same images"),
    "repeats": count("study seeds that both were repeated with"),
    "val_difference": points("validation accuracy of the best trial a - b, mean over these seeds"),
    "val_ci_low": points("lower bound of its 95 % interval (paired Student t), not corrected"),
    "val_ci_high": points("upper bound of its 95 % interval (paired Student t), not corrected"),
    **{name: PAIRS[name] for name in ("difference", "ci_low", "ci_high", "level", "p", "p_holm")},
    "family": count("pairs of searches that the correction counts"),
    **{name: PAIRS[name] for name in ("pictures", "pictures_alone", "pictures_paired")},
    "winner": text("search that the verdict names; empty: none"),
    **{name: PAIRS[name] for name in ("verdict", "next")},
}

# ---- forecast.csv: a row per line of arms that differ in their training images alone, and per pair of lines

FORECAST: Columns = {
    "images": integer("images", "training images that the forecast is for"),
    "line_a": text("arms that differ in nothing but their training images, by what their names share"),
    "line_b": text("a second such line; empty: the row is about the accuracy of the first one alone"),
    "sizes": count("numbers of training images that the forecast is made from; the fewer, of two lines"),
    "largest": integer("images", "the largest of them; the smaller, of two lines"),
    "forecast": number(
        "percent, or points", "test accuracy of line_a at `images`; of two lines what a is above b; a median"
    ),
    "ci_low": number(
        "percent, or points",
        "lower bound of its 95 % interval, for what seeds, subsets and the law of the curve leave open; assumed is the "
        "same recipe at all sizes",
    ),
    "ci_high": number("percent, or points", "upper bound of the same interval"),
    "measured": number(
        "percent, or points", "the same from arms of exactly `images`, which the forecast does not know; empty: none"
    ),
    "held": flag("whether the interval holds what was measured; empty: nothing was"),
    "differs": text("what was measured with another recipe than the arms of the forecast; empty: nothing"),
    "sentence": text("the row in words"),
}
