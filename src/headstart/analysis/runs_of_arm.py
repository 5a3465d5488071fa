"""Which runs stand behind an arm, and whether they agree in what must be equal; tables, plots and caveats ask here."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from headstart.analysis.csv_tables import known
from headstart.store import OUTCOMES, StudyFile

ARM_PHASES = ("search", "confirm", "run")  # the source run, which all arms share, is none of theirs
_KEYS = ["phase", "number", "search_trials", "seed", "state", "val_accuracy", "test_accuracy"]
SETTINGS = ("command", "model", "weights_sha256", "data_sha256", "train_size", "lr", "epochs", "batch_size")

# Of every run of an arm, but for what the arm searches.
OF_ONE_ARM = ("model", "weights_sha256", "freeze", "stem", "data", "data_sha256", "train_size", "val_size")
OF_ONE_ARM += ("image_size", "augmentation", "optimizer", "schedule", "batch_size", "epochs", "split_seed", "folds")
OF_ONE_FOLD = ("data_sha256", "train_size", "val_size", "batch_size")  # of them, what another fold changes
# What differs with a setting that an arm searches.
FOLLOWS = {"train_size": ("data_sha256", "val_size", "batch_size"), "weights": ("weights_sha256",)}
FOLLOWS |= dict.fromkeys(("validation_size", "classes"), ("data_sha256", "val_size", "train_size", "batch_size"))
FOLLOWS |= {"split_seed": ("data_sha256",), "name": ("model",)}
_SHOWN = ("phase", "number", "seed", "state", "lr", "epochs_run", "val_accuracy", "test_accuracy", "run_dir")
_SCORE = re.compile("accuracy|percent|seconds")
MACHINE = ("device", "precision", "torch_version")  # what may differ, and is said


@dataclass(frozen=True, eq=False)
class ArmRuns:
    """The runs behind an arm, rows of trials.csv."""

    rows: pd.DataFrame  # all of the arm's, of its search, its confirmations and its single runs
    best: pd.Series | None  # the trial, or single run, that the validation split selects; None: none may be selected
    repeats: pd.DataFrame  # one per seed, by seed: the present choice's confirmations, or single runs equal to the best

    def _repr_html_(self) -> str:
        best = pd.DataFrame([] if self.best is None else [self.best], columns=self.repeats.columns)
        rows = pd.concat([best, self.repeats]).astype(self.repeats.dtypes)
        return html_table(rows[[name for name in _SHOWN if name in rows and rows[name].notna().any()]])

    @property
    def tested(self) -> pd.DataFrame:
        """Repeats that count in the statistics: they ended, with a test accuracy (at chance level or not)."""
        return self.repeats[is_tested(self.repeats)]

    @property
    def all_the_same(self) -> bool:
        """Whether the seeds leave the model exactly as it is, to the last digit of the validation loss; in each fold,
        where there are folds and one of them has several seeds."""
        losses = self.repeats.groupby("fold", dropna=False)["val_loss"]
        return len(self.tested) > losses.ngroups and bool((losses.nunique() == 1).all())

    @property
    def folds(self) -> int:
        """How many folds the repeats that count are validated on; 0 without folds."""
        return int(self.tested["fold"].nunique())


def html_table(frame: pd.DataFrame) -> str:
    """A frame as a notebook shows it, its texts as they are and its numbers in as many digits as are read."""
    texts = frame.astype(object)
    for name in frame.select_dtypes("float"):
        digits = "{:.2f}" if _SCORE.search(name) else "{:.4g}"
        texts[name] = frame[name].map(digits.format, na_action="ignore").astype(object)
    return texts.fillna("").to_html(index=False, border=0)


def runs_by_arm(trials: pd.DataFrame, study: StudyFile) -> dict[str, ArmRuns]:
    """Find them for every arm of a study that has runs, in the study's order of arms."""
    own = dict(iter(trials[trials["phase"].isin(ARM_PHASES)].groupby("arm", sort=False)))
    return {name: runs_of_arm(own[name]) for name in dict.fromkeys([*study.arm_order, *own]) if name in own}


def runs_of_arm(rows: pd.DataFrame) -> ArmRuns:
    """Find them among the rows of trials.csv of one arm of one study.

    An arm with a search is its best trial (COMPLETE, of the highest val_accuracy, the earlier of equals) and the
    confirmations of what it chose after all its trials, or with confirm=best of that trial. One without is made of its
    single runs: the best, and those equal to it in all but the seed. A run that was repeated or copied is no further
    seed: the last one with a test accuracy counts.
    """
    rows = rows[rows["phase"].isin(ARM_PHASES)]
    keys = rows[_KEYS]  # pandas copies what it selects
    phase = "search" if (keys["phase"] == "search").any() else "run"
    candidates = keys[(keys["phase"] == phase) & (keys["state"] == "COMPLETE") & keys["val_accuracy"].notna()]
    if candidates.empty:
        return ArmRuns(rows, None, rows.iloc[:0])
    ranked = candidates.sort_values(["val_accuracy", "number"], ascending=[False, True], kind="stable")
    best = rows.loc[ranked.index[0]]
    if phase == "search":
        repeats = keys[(keys["phase"] == "confirm") & of_present_choice(keys, best["number"])]
    else:
        settings = _settings(rows[rows["phase"] == "run"])
        repeats = keys.loc[settings.index[settings == settings[best.name]]]
    tested = is_tested(repeats)
    tested_last = pd.concat([repeats[~tested], repeats[tested]]).drop_duplicates("seed", keep="last")
    return ArmRuns(rows, best, rows.loc[tested_last.sort_values("seed", kind="stable").index])


def of_present_choice(rows: pd.DataFrame, best: int) -> pd.Series:
    """Whether each confirmation is of what the arm's search chooses now: of all its trials, or of the best one."""
    ended = ((rows["phase"] == "search") & rows["state"].isin(OUTCOMES)).sum()
    chosen = rows["search_trials"].eq(ended)
    return chosen.where(rows["search_trials"].notna(), rows["number"].eq(best)).fillna(False).astype(bool)


def is_tested(repeats: pd.DataFrame) -> pd.Series:
    """Whether each of these runs ended with a test accuracy."""
    return repeats["state"].isin(["COMPLETE", "CHANCE"]) & repeats["test_accuracy"].notna()


def _settings(rows: pd.DataFrame) -> pd.Series:
    """Everything that a run's command sets but the seed, to find the repeats of a single run."""
    command = rows["command"].fillna("").str.replace(r"(?<!\S)(seed|threads)=\S*", "", regex=True)
    command = command.str.split().str.join(" ")
    return command + "|" + rows[list(SETTINGS[1:])].astype("string").fillna("").agg("|".join, axis=1)


# ---- what must be equal in all of them


def disagreements(arm: str, runs: ArmRuns) -> Iterator[str]:
    """What the arm's search trials and present confirmations differ in, though they must not; a reason each."""
    rows = runs.rows
    searched = {name.removeprefix("params_").rpartition(".")[2] for name in rows if name.startswith("params_")}
    searched |= {column for key, columns in FOLLOWS.items() if key in searched for column in columns}
    both = pd.concat([rows[rows["phase"] == "search"], runs.repeats]) if len(runs.repeats) else rows
    for column in OF_ONE_ARM:
        alike = dict(iter(both.groupby("fold", dropna=False))) if column in OF_ONE_FOLD else {None: both}
        found = max((own[column].dropna().unique() for own in alike.values()), key=len, default=())
        if column not in searched and len(found) > 1:
            yield f"the runs of {arm} differ in {column} ({_shown(found[0])} and {_shown(found[1])})"


def differing_machines(rows: pd.DataFrame) -> Iterator[str]:
    """Columns of the machine in which these runs differ, with their values."""
    for column in MACHINE:
        if len(found := rows[column].dropna().unique()) > 1:
            yield f"{column} {' and '.join(map(_shown, found))}"


def _shown(value: object) -> str:
    return str(known(value))[:12]
