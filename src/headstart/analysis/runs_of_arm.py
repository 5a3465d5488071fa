"""Which runs stand behind an arm: its best trial and its repeats. Tables, plots, galleries and caveats ask here."""

from dataclasses import dataclass

import pandas as pd

from headstart.store import FINISHED

ARM_PHASES = ("search", "confirm", "run")  # the source run, which all arms share, is none of theirs
_KEYS = ["phase", "number", "search_trials", "seed", "state", "val_accuracy", "test_accuracy"]
SETTINGS = ("command", "model", "weights_sha256", "data_sha256", "train_size", "lr", "epochs", "batch_size")


@dataclass(frozen=True, eq=False)
class ArmRuns:
    """The runs behind an arm, rows of trials.csv."""

    best: pd.Series | None  # the trial, or single run, that the validation split selects; None: none may be selected
    repeats: pd.DataFrame  # one per seed, by seed: the present choice's confirmations, or single runs equal to the best

    @property
    def tested(self) -> pd.DataFrame:
        """Repeats that count in the statistics: they ended, with a test accuracy (at chance level or not)."""
        return self.repeats[is_tested(self.repeats)]

    @property
    def all_the_same(self) -> bool:
        """Whether the seeds leave the model exactly as it is, to the last digit of the validation loss."""
        return len(self.tested) >= 2 and self.repeats["val_loss"].nunique() == 1


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
        return ArmRuns(None, rows.iloc[:0])
    ranked = candidates.sort_values(["val_accuracy", "number"], ascending=[False, True], kind="stable")
    best = rows.loc[ranked.index[0]]
    if phase == "search":
        repeats = keys[(keys["phase"] == "confirm") & of_present_choice(keys, best["number"])]
    else:
        settings = _settings(rows[rows["phase"] == "run"])
        repeats = keys.loc[settings.index[settings == settings[best.name]]]
    tested = is_tested(repeats)
    tested_last = pd.concat([repeats[~tested], repeats[tested]]).drop_duplicates("seed", keep="last")
    return ArmRuns(best, rows.loc[tested_last.sort_values("seed", kind="stable").index])


def of_present_choice(rows: pd.DataFrame, best: int) -> pd.Series:
    """Whether each confirmation is of what the arm's search chooses now: of all its trials, or of the best one."""
    ended = ((rows["phase"] == "search") & rows["state"].isin(FINISHED)).sum()
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
