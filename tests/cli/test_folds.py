"""Studies with data.folds, whole: confirmations over folds, paired over arms, and what the tables say of them."""

import shlex

import numpy as np
import pytest

from headstart.analysis.csv_tables import read_table
from headstart.store import read_run

STUDY = ["-m", "name=s", "model=linear,cnn", "data=digits", "data.train_size=120", "data.folds=3", "epochs=6"]
STUDY += [
    "threads=1",
    "augmentation=none",
    "batch_size=16",
    "n_trials=1",
    "confirm=best",
    "lr=3e-3",
]


def confirmations(trials, arm):
    return trials[(trials["arm"] == arm) & (trials["phase"] == "confirm")].sort_values("seed")


@pytest.mark.usefixtures("without_plots")
def test_confirmations_take_the_folds_in_turn_the_same_in_every_arm_and_more_seeds_go_on_with_them(command, tmp_path):
    code, _, text = command(*STUDY, "confirm_seeds=3")
    assert code == 0, text
    assert "with 3 seeds over 3 folds" in text and "multiple" not in text
    folder = tmp_path / "outputs/s"
    trials, arms = (read_table(folder / f"tables/{name}.csv") for name in ("trials", "arms"))
    assert trials["folds"].eq(3).all() and trials.loc[trials["phase"] == "search", "fold"].eq(0).all()
    pictures = {}
    for arm in ("linear", "cnn"):
        runs = confirmations(trials, arm)
        assert runs[["seed", "fold"]].to_numpy().tolist() == [[1, 0], [2, 1], [3, 2]]
        stored = [np.load(folder / run_dir / "predictions.npz")["val_indices"] for run_dir in runs["run_dir"]]
        assert len(set(np.concatenate(stored))) == sum(map(len, stored)) == 120
        pictures[arm] = [found.tolist() for found in stored]
        row = arms[arms["arm"] == arm].iloc[0]
        assert row["folds"] == 3 and row["val_mean"] == pytest.approx(runs["val_accuracy"].mean())
        for name in ("val_mse", "val_mae", "val_r2", "test_mse", "test_mae", "test_r2"):
            assert runs[name].isna().all() if arm == "cnn" else row[name] == pytest.approx(runs[name].mean()), name
    assert pictures["linear"] == pictures["cnn"]
    (pair,) = read_table(folder / "tables/pairs.csv").to_dict("records")
    page = (folder / "report.html").read_text()
    assert "Validation, mean over folds, %" in page and ">Fold</th>" in page
    assert pair["seeds"] == 3 and "other training pictures of these folds" in pair["holds_for"] in pair["verdict"]

    code, _, text = command(*STUDY, "confirm_seeds=5")
    assert code == 0, text
    assert "5 seeds are no multiple of 3 folds: not every fold is used equally often" in text
    more = read_table(folder / "tables/trials.csv")
    for arm in ("linear", "cnn"):
        assert confirmations(more, arm)["fold"].tolist() == [0, 1, 2, 0, 1]
        assert confirmations(more, arm)["run_dir"].tolist()[:3] == confirmations(trials, arm)["run_dir"].tolist()
    code, _, text = command(*[word.replace("folds=3", "folds=4") for word in STUDY], "confirm_seeds=5")
    assert code == 1 and "data.folds: was 3, now 4" in text
    repeats_itself(command, confirmations(more, "cnn").iloc[1])


def repeats_itself(command, row):
    """Whether the row's command is the single run that gives the same result again."""
    words = shlex.split(row["command"])[1:]
    assert {"data.folds=3", "data.fold=1"} <= set(words)
    code, _, text = command(*words, "hydra.run.dir=again")
    assert code == 0, text
    again = read_run("again")
    for name in ("val_accuracy", "val_loss", "test_accuracy", "fold", "data_sha256"):
        assert again[name] == row[name], name


def test_a_study_of_folds_that_there_cannot_be_does_not_begin(command, tmp_path):
    for words, said in (
        (["data.folds=13"], "each fold needs a picture of each class, and the rarest has 12"),
        (["data.folds=3", "data.validation_size=0.2"], "data.folds=3 and data.validation_size=0.2 are both given"),
    ):
        code, _, text = command(*[word for word in STUDY if "folds" not in word], *words)
        assert code == 1 and said in text, text
    assert not (tmp_path / "outputs/s/study.json").exists()
