"""Tables of studies that never ran, what a plot shows, and what a browser sees of a page."""

import dataclasses
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd

from headstart.analysis import Predictions, Results, columns
from headstart.analysis.arms_table import arms_table
from headstart.analysis.pairs_table import pairs_table
from headstart.analysis.runs_of_arm import runs_by_arm
from headstart.data.thumbnails import choose_thumbnails
from headstart.report import Material, plots
from headstart.report.figures import PLOTS
from headstart.store import StudyFile, write_json

SPACE = {"lr": {"low": 1e-5, "high": 1e-1, "log": True}}
LRS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 3e-3)
VALS = (None, 70.0, 90.0, 60.0, 10.0, 85.0)
STATES = ("DIVERGED", "COMPLETE", "COMPLETE", "PRUNED", "CHANCE", "COMPLETE")
CLASSES = ("cat", "dog", "deer")


def arms_of(trials, epochs, about=None):
    """arms.csv of such runs, with what study.json says."""
    study = StudyFile.of(about)
    return arms_table(runs_by_arm(trials, study), epochs, study)


def pairs_of(arms, trials, about=None):
    """pairs.csv of such arms."""
    study = StudyFile.of(about)
    return pairs_table(arms, runs_by_arm(trials, study), study)


def frame(rows, columns):
    found = pd.DataFrame(rows)
    extra = [c for c in found if c not in columns]
    typed = {c: pd.array([row.get(c) for row in rows], dtype=about.dtype) for c, about in columns.items()}
    return pd.DataFrame(typed | {c: found[c] for c in extra})


def study(*arms, seeds=5, curve=(50.0, 75.0, 95.0), vals=VALS, states=STATES, size=50, **changed):
    """Frames of a study: per arm six search trials and `seeds` confirmations, shifted by the arm's place."""
    trials, epochs = [], []
    for place, arm in enumerate(arms):
        rows = [
            dict(phase="search", number=n, lr=lr, val_accuracy=val, state=state, seed=0, params_lr=lr)
            for n, (lr, val, state) in enumerate(zip(LRS, vals, states, strict=True))
        ]
        rows += [
            dict(phase="confirm", number=2, lr=1e-3, val_accuracy=90.0, state="COMPLETE", seed=s, params_lr=1e-3)
            | dict(test_accuracy=80.0 + s + place, test_reads=1)
            for s in range(1, seeds + 1)
        ]
        for row in rows:
            end = f"seed-{row['seed']}" if row["phase"] == "confirm" else f"{row['number']:03d}"
            row |= dict(study="s", arm=arm, model="cnn", data="digits", data_sha256="d", train_size=size, epochs=3)
            row |= dict(run_dir=f"{arm}/{row['phase']}/{end}", classes=3, test_images=10**14, device="cpu", threads=1)
            points = [value + row["seed"] - place for value in curve]
            row |= {
                f"epochs_to_{t}": sum(p < t for p in points) + 1 if max(points) >= t else None for t in (70, 80, 90)
            }
            keys = {k: row[k] for k in ("study", "arm", "phase", "number", "seed", "run_dir")}
            epochs += [
                keys | dict(epoch=e, steps=e, images=e, val_accuracy=p, seconds_total=2.0 * e)
                for e, p in enumerate(points, 1)
            ]
        trials += rows
    trials, epochs = frame(trials, columns.TRIALS), frame(epochs, columns.EPOCHS)
    about = dict(arm_order=list(arms), spaces={a: SPACE for a in arms}, sampler="tpe", unpruned=False) | changed
    found = arms_of(trials, epochs, about)
    return results(trials, epochs, found, pairs_of(found, trials, about), about)


def ranked(*names, scores, seeds=5, **about):
    """Frames of a study whose arms have these test accuracies, `scores[arm][seed - 1]`."""
    frames = study(*names, seeds=seeds)
    trials, confirmed = frames.trials.copy(), frames.trials["phase"] == "confirm"
    rows = trials[confirmed]
    trials.loc[confirmed, "test_accuracy"] = [
        scores[arm][seed - 1] for arm, seed in zip(rows["arm"], rows["seed"], strict=True)
    ]
    about = frames.study | about
    arms = arms_of(trials, frames.epochs, about)
    return results(trials, frames.epochs, arms, pairs_of(arms, trials, about), about)


def nothing():
    trials, epochs = frame([], columns.TRIALS), frame([], columns.EPOCHS)
    found = arms_of(trials, epochs)
    return results(trials, epochs, found, pairs_of(found, trials), {})


def results(trials, epochs, arms, pairs, study, root="nowhere"):
    """What `load_results` would return of a folder of such runs."""
    said = dict(ledger=frame([], columns.LEDGER), study=study, study_file=StudyFile.of(study))
    return Results(Path(root), trials=trials, epochs=epochs, arms=arms, pairs=pairs, **said)


def with_predictions(root, frames, thumbnails=True, count=30):
    """Write result.json and predictions.npz for the confirmations: arm number p is wrong on the first p + 1 images."""
    labels = np.arange(count) % 3
    for place, arm in enumerate(frames.arms["arm"]):
        rows = frames.trials[(frames.trials["arm"] == arm) & (frames.trials["phase"] == "confirm")]
        for run_dir in rows["run_dir"]:
            answers = labels.copy()
            answers[: place + 1] = (labels[: place + 1] + 1) % 3
            probabilities = np.full((count, 3), 0.05, dtype=np.float32)
            probabilities[np.arange(count), answers] = 0.9 - 0.01 * np.arange(count)
            confusion = np.zeros((3, 3), dtype=int)
            np.add.at(confusion, (labels, answers), 1)
            (root / run_dir).mkdir(parents=True)
            write_json(root / run_dir / "result.json", dict(classes=list(CLASSES), confusion=confusion.tolist()))
            chosen = choose_thumbnails(labels, probabilities, 4)
            stored = dict(classes=np.array(CLASSES), test_indices=np.arange(count), test_labels=labels)
            stored |= dict(test_probabilities=probabilities)
            if thumbnails:
                images = np.full((len(chosen), 8, 8, 3), 7, np.uint8)
                stored |= dict(thumbnails=images, thumbnail_indices=chosen)
            np.savez(root / run_dir / "predictions.npz", **stored)
    return dataclasses.replace(frames, root=root)


def sweeping_two(arms=("a", "b"), seed=0):
    """Trials of a search over three values, of which the momentum alone matters."""
    rng, frames = np.random.default_rng(seed), study(*arms, seeds=0)
    rows = pd.concat([frames.trials] * 5, ignore_index=True)
    rows = rows.assign(state=pd.array(["COMPLETE"] * len(rows), dtype="string"))
    rows["params_optimizer"] = pd.array(rng.choice(["adam", "sgd"], len(rows)), dtype="string")
    rows["params_momentum"] = pd.array(rng.uniform(0, 0.9, len(rows)), dtype="Float64")
    rows["val_accuracy"] = pd.array(
        50 + 40 * (rows["params_momentum"] > 0.5) + rng.normal(0, 1, len(rows)), dtype="Float64"
    )
    return rows


def predictions(confidence, correct):
    """A run's answers on images that are all of the first class."""
    labels = np.zeros(len(confidence), dtype=int)
    answers = np.where(correct, 0, 1)
    return Predictions(labels, answers, np.array(confidence), np.arange(len(labels)), CLASSES, {})


def lines(ax, label):
    return [line for line in ax.lines if line.get_label() == f"_{label}"]


def legend_words(ax):
    return [text.get_text().replace("\n", " ") for text in ax.get_legend().get_texts()]


def sentences(ax):
    return " ".join(text.get_text() for text in ax.texts).replace("\n", " ")


def drawn(frames, name):
    """The plot of this name as the page has it, drawn alone; None where there is nothing for it."""
    (plot,) = (plot for plot in PLOTS if plot.name == name)
    with plots.style():
        return plot.figure(Material(frames))


def names(found):
    return [picture.name for picture in found]


VOID = {"meta", "br", "wbr", "link", "img", "input", "hr", "base"}


class Page(HTMLParser):
    """What a browser sees: elements with attributes, and the text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.text, self.open, self.wrong = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.text.append(" " if tag in ("td", "th", "li", "p") else "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    def handle_comment(self, data):
        self.elements.append(("comment", {}))

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]

    def structure(self):
        return [(tag, sorted(attributes)) for tag, attributes in self.elements if tag != "wbr" or attributes]

    def words(self):
        return " ".join("".join(self.text).split())


def read(root):
    return Page((root / "report.html").read_text(encoding="utf-8"))
