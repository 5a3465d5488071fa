"""Studies with data.folds, whole: confirmations over folds, paired over arms, and what the tables say of them."""

import json
import re
import shlex
import shutil

import numpy as np
import pytest
from data.helpers_data import make_tree
from PIL import Image

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


OWN = ["-m", "data=folder", "data.root=pets", "data.size=8", "data.cache=cache", "model=logistic_regression,linear"]
OWN += ["epochs=1", "threads=1", "augmentation=none", "batch_size=16", "n_trials=1", "lr=1e-3", "budget=smoke"]


@pytest.fixture
def pets(tmp_path):
    """40 pictures for training and validation, dark cats and bright dogs."""
    for name, grey in (("cat", 40), ("dog", 200)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(25):
            Image.new("L", (8, 8), grey + number).save(tmp_path / f"pets/{name}/{number}.png")


@pytest.mark.usefixtures("without_plots", "pets")
def test_a_study_on_few_pictures_of_ones_own_chooses_folds_and_goes_on_with_them(command, tmp_path):
    code, _, text = command(*OWN, "name=few")
    assert code == 0, text
    assert "with 3 seeds over 3 folds" in text and "multiple" not in text
    assert "few pictures: each of 3 folds of them validates in turn (data.folds=null: one split)" in text
    trials = read_table(tmp_path / "outputs/few/tables/trials.csv")
    assert trials["folds"].eq(3).all() and trials["command"].str.contains("data.folds=3").all()
    assert confirmations(trials, "logistic_regression")["fold"].tolist() == [0, 1, 2]
    repeats_itself(command, confirmations(trials, "linear").iloc[1])
    make_tree(tmp_path / "pets", {"fox": 100})  # of so many none would be chosen: the study stands, the pictures do not
    code, _, text = command(*OWN, "name=few", "confirm_seeds=4")
    assert code == 1 and "data.folds" not in text.partition("headstart: ")[2], text


@pytest.mark.usefixtures("without_plots", "pets")
def test_a_study_that_was_begun_before_there_was_that_choice_goes_on_without_folds(command, tmp_path):
    code, _, text = command(*OWN, "name=before", "data.folds=null")
    assert code == 0, text
    path = tmp_path / "outputs/before/study.json"
    assert not [key for arm in json.loads(path.read_text())["arms"].values() for key in arm if "fold" in key]
    shutil.rmtree(tmp_path / "outputs/before/linear/confirm")  # as by a kill
    more = [word for word in OWN if not word.startswith("model=")]  # an arm more, which is split as the others are
    code, _, text = command(*more, "name=before", "model=logistic_regression,linear,decision_tree")
    assert code == 0 and "folds" not in text, text
    trials = read_table(tmp_path / "outputs/before/tables/trials.csv")
    assert trials["folds"].isna().all() and set(trials["arm"]) == {"logistic_regression", "linear", "decision_tree"}
    assert trials["val_images"].eq(10).all()


@pytest.mark.usefixtures("pets")
def test_minutes_take_each_fold_equally_often(command):
    words = [word for word in OWN if not word.startswith(("budget=", "n_trials=", "lr="))]
    code, _, text = command(*words, "data.folds=4", "minutes=2", "dry_run=true")
    assert code == 0 and re.search(r" and (4|8|12) seeds for each of 2 arms", text), text
    assert "multiple" not in text
