"""A network on other labelled pictures: labels by name, figures by hand, temperature and corruptions."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from headstart.data import CORRUPTIONS
from headstart.errors import UserError
from headstart.inference import Classifier, Picture, evaluate, find_pictures, labelled_pictures
from headstart.inference.evaluation import LabelledPictures, fitted_temperature, temperature_for, tempered
from inference.helpers_inference import CLASSES, finished

RANDOM = np.random.default_rng(0)


@pytest.fixture
def classifier(tmp_path):
    finished(tmp_path / "run")
    return Classifier.of_run(tmp_path / "run")


def tree(root, *parts: str, classes=CLASSES, each: int = 4):
    for part in parts or ("",):
        for name in classes:
            for number in range(each):
                path = root / part / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(RANDOM.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
    return str(root)


def test_labels_go_by_the_names_of_the_classes_whatever_their_order(tmp_path, classifier):
    given = labelled_pictures(tree(tmp_path / "data"))
    assert given.classes == tuple(sorted(CLASSES)) != classifier.classes
    found = evaluate(classifier, given)
    expected = classifier.predict(tmp_path / "data")
    assert [classifier.classes[label] for label in found.labels] == [name.split("/")[-2] for name in expected.index]
    right = sum(name.split("/")[-2] == said for name, said in expected["class"].items())
    figures = found.metrics()
    assert figures["accuracy"] == pytest.approx(100 * right / 12) and figures["images"] == 12
    assert figures["accuracy_low"] < figures["accuracy"] < figures["accuracy_high"]
    assert sum(map(sum, figures["confusion"])) == 12 and "temperature" not in figures
    mistakes = found.mistakes(100)
    assert len(mistakes) == 12 - right and mistakes["probability"].is_monotonic_decreasing


@pytest.mark.parametrize(
    ("parts", "part", "count"),
    [((), None, 12), (("train", "test"), None, 12), (("train", "val"), "val", 12), (("train", "test"), "all", 24)],
)
def test_the_part_that_is_meant(tmp_path, parts, part, count):
    assert len(labelled_pictures(tree(tmp_path / "data", *parts), part).pictures) == count


def test_a_list_of_labels_and_a_data_set_by_name(tmp_path):
    tree(tmp_path / "data")
    rows = [f"data/{name}/{number}.png,{name}" for name in CLASSES for number in range(3)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]))
    assert len(labelled_pictures(str(tmp_path / "labels.csv")).pictures) == 9
    digits = labelled_pictures("digits")
    assert len(digits.pictures) == len(digits.labels) == 360 and digits.classes == tuple("0123456789")


def test_a_picture_that_cannot_be_read_is_named_and_the_rest_counts(tmp_path, classifier):
    tree(tmp_path / "data")
    (tmp_path / "data" / "cat" / "0.png").write_text("no picture")
    found = evaluate(classifier, labelled_pictures(str(tmp_path / "data")))
    assert list(found.unread) == ["cat/0.png"] and len(found.labels) == 11


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (("cat", "dog", "bird", "cow"), "the network has no cow. The network's: cat, dog, bird"),
        (("cat", "dog"), "the pictures have no bird"),
        (("cat", "cow"), "the network has no cow; the pictures have no bird, dog"),
    ],
)
def test_other_classes_are_refused_by_name(tmp_path, classifier, classes, said):
    with pytest.raises(UserError, match=said):
        evaluate(classifier, labelled_pictures(tree(tmp_path / "data", classes=classes)))


@pytest.mark.parametrize(
    ("data", "part", "said"),
    [
        ("nowhere", None, "nowhere does not exist"),
        ("divided", None, "has the parts train, val; say which one: --part train, or --part all"),
        ("divided", "test", "has no part test; there is train, val"),
        ("digits", "train", "of digits the test part is evaluated alone"),
    ],
)
def test_data_that_cannot_be_evaluated_are_refused(tmp_path, monkeypatch, data, part, said):
    monkeypatch.chdir(tmp_path)
    tree(tmp_path / "divided", "train", "val")
    with pytest.raises(UserError, match=said):
        labelled_pictures(data, part)


def test_classes_may_be_called_as_columns_are(tmp_path):
    names = ("error", "image", "label")
    finished(tmp_path / "run")
    odd = dataclasses.replace(Classifier.of_run(tmp_path / "run"), classes=names)
    frame = odd.predict(tree(tmp_path / "data", classes=names), errors="row")
    assert list(frame) == ["class", "probability", "error", "class error", "class image", "label"]
    assert frame["error"].isna().all() and frame.iloc[:, -3:].sum(axis=1).to_numpy() == pytest.approx(1)
    found = evaluate(odd, labelled_pictures(str(tmp_path / "data")))
    assert list(found.predictions()) == [
        "image",
        "label",
        "predicted",
        "probability",
        "error",
        "class image",
        "class label",
    ]
    assert set(found.mistakes(100)["label"]) <= set(names)


@pytest.mark.parametrize("harmed", ["all of it", "what is packed"])
def test_damaged_predictions_cost_the_temperature_alone(harmed, classifier, caplog):
    content = b"damaged"
    if harmed == "what is packed":  # zlib's own error, not the archive's
        file = io.BytesIO()
        np.savez_compressed(file, val_labels=np.arange(1000), val_probabilities=np.ones((1000, 2)))
        content = bytearray(file.getvalue())
        start = content.index(b"val_labels.npy") + 40
        content[start : start + 400] = bytes(400)
    (classifier.path / "predictions.npz").write_bytes(content)
    assert fitted_temperature(classifier) is None and "is damaged, so no temperature is fitted" in caplog.text


def test_the_temperature_undoes_what_made_the_answers_too_sure(classifier):
    logits = RANDOM.normal(size=(4000, 3)) * 2
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([RANDOM.choice(3, p=row) for row in shares])
    assert temperature_for(labels, shares) == pytest.approx(1, abs=0.1)
    sure = tempered(shares, 1 / 3)
    assert temperature_for(labels, sure) == pytest.approx(3, rel=0.1)
    np.testing.assert_allclose(tempered(sure, 3), shares, atol=1e-9)
    assert fitted_temperature(classifier) is None
    kept = dict(val_labels=labels, val_probabilities=sure.astype(np.float32))
    np.savez(classifier.path / "predictions.npz", **kept)
    assert fitted_temperature(classifier) == pytest.approx(3, rel=0.1)


def test_robustness_counts_right_answers_on_pictures_made_worse(classifier):
    arrays = RANDOM.integers(0, 256, (10, 32, 32, 3), np.uint8)
    pictures = find_pictures(arrays)
    said = classifier.predict(arrays)["class"].tolist()
    labels = np.array([classifier.classes.index(name) for name in said])
    given = LabelledPictures(pictures, labels, classifier.classes)
    assert evaluate(classifier, given).robustness is None
    found = evaluate(classifier, given, corruptions=True).robustness
    assert list(found.index) == list(CORRUPTIONS) and list(found.columns) == [1, 2, 3, 4, 5]
    wrong = LabelledPictures(pictures, (labels + 1) % 3, classifier.classes)
    other = evaluate(classifier, wrong, corruptions=True).robustness
    assert ((found + other) <= 100).all(axis=None) and found.loc["jpeg", 1] > 0


class Counted(io.BytesIO):
    """A file that knows how often it was read from."""

    reads = 0

    def read(self, size=-1):
        self.reads += 1
        return super().read(size)


def test_pictures_that_are_made_worse_are_read_no_second_time(classifier):
    arrays, reads, found = RANDOM.integers(0, 256, (3, 32, 32, 3), np.uint8), [], []
    for corruptions in (False, True):
        files = [Counted() for _ in arrays]
        for array, file in zip(arrays, files, strict=True):
            Image.fromarray(array).save(file, "PNG")
            file.reads = file.seek(0)
        pictures = [Picture(str(place), file) for place, file in enumerate(files)]
        given = LabelledPictures(pictures, np.zeros(3, int), classifier.classes)
        found.append(evaluate(classifier, given, corruptions=corruptions))
        reads.append([file.reads for file in files])
    assert reads[0] == reads[1] and min(reads[0]) > 0
    np.testing.assert_array_equal(found[0].probabilities, found[1].probabilities)
    assert found[0].robustness is None and found[1].robustness.shape == (len(CORRUPTIONS), 5)
