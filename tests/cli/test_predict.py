"""`headstart predict`: the probabilities of the run's own evaluation, for every way to name pictures."""

import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart
from cli.helpers_cli import refused

RANDOM = np.random.default_rng(0)
COLOURS = ("blue", "green", "red")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Three classes of pictures that are not square, of which no size is that of the network."""
    root = tmp_path_factory.mktemp("data") / "pictures"
    for channel, name in enumerate(reversed(COLOURS)):
        (root / name).mkdir(parents=True)
        for number in range(30):
            pixels = RANDOM.integers(0, 150, (40 + number % 7, 50, 3), np.uint8)
            pixels[..., channel] += 40
            Image.fromarray(pixels).save(root / name / f"{number:02}.png")
    return root


@pytest.fixture
def run(pictures, command, tmp_path):
    """The folder of a run on them, decoded to 24 px and seen at 32."""
    words = ["data=folder", f"data.root={pictures}", "data.size=24", "image_size=32", "model=cnn", "epochs=1"]
    words += ["batch_size=16", "precision=fp32", "threads=1", f"data.cache={tmp_path / 'cache'}"]
    assert command(*words, "hydra.run.dir=run")[0] == 0
    return tmp_path / "run"


def test_probabilities_are_those_of_the_runs_own_evaluation(run, pictures, command):
    code, printed, text = command("predict", "run", str(pictures), "--csv")
    assert (code, text) == (0, "")
    found = pd.read_csv(io.StringIO(printed), index_col="image")
    assert list(found) == ["class", "probability", "error", *COLOURS] and len(found) == 90
    with np.load(run / "predictions.npz") as kept:
        indices, expected = kept["test_indices"], kept["test_probabilities"]
    names = sorted(f"{pictures}/{name}/{number:02}.png" for name in COLOURS for number in range(30))
    assert len(indices) == 18
    np.testing.assert_allclose(found.loc[[names[i] for i in indices], list(COLOURS)], expected, atol=1e-6)


def test_runs_whose_weights_do_not_say_the_pictures_size_give_the_same(run, pictures, tmp_path, monkeypatch):
    classifier = headstart.load_model(run)
    expected = classifier.predict(pictures / "red")
    weights = classifier.path / "best.safetensors"
    content = weights.read_bytes().replace(b'"picture_size":"24"', b'"pictures_were":"2"')
    weights.write_bytes(content)
    (run / "result.json").unlink()  # which knows the file's sha256
    old = headstart.load_model(run)
    assert (old.picture_size, old.image_size) == (24, 32)
    pd.testing.assert_frame_equal(old.predict(pictures / "red"), expected)


def test_a_table_json_and_what_cannot_be_read(run, pictures, command, tmp_path):
    shutil.copy(pictures / "red" / "00.png", tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("no picture")
    code, printed, text = command("predict", "run", "good.png", "bad.png", "--top", "2")
    lines = printed.splitlines()
    assert code == 1 and text == "headstart predict: 1 of 2 pictures could not be read\n"
    assert lines[0].startswith("good.png  ") and lines[0].count(" % ") == 2
    assert lines[1] == "bad.png   cannot be read: no image that Pillow knows"
    code, printed, _ = command("predict", "run", "good.png", "bad.png", "--json")
    first, second = map(json.loads, printed.splitlines())
    assert code == 1 and second == {"image": "bad.png", "error": "no image that Pillow knows"}
    assert set(first["probabilities"]) == set(COLOURS) and first["class"] in COLOURS
    assert first["probability"] == max(first["probabilities"].values())


def test_what_is_exported_says_the_same_as_the_run(run, pictures, command):
    assert command("weights", "export", "run", "--to", "given.safetensors")[0] == 0
    of_run = command("predict", "run", f"{pictures}/red/0?.png", "--csv")
    assert (
        of_run[1].count("\n") == 11
        and command("predict", "given.safetensors", f"{pictures}/red/0?.png", "--csv") == of_run
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "x.png"], "nowhere does not exist"),
        ([".", "x.png"], "x.png does not exist"),
        (["empty", "picture.png"], "empty holds no trained network"),
        (["study", "picture.png"], "study holds 2 arms: a, b; say which one"),
        (["study", "picture.png", "--arm", "c"], "c"),
        (["picture.png", "picture.png"], "picture.png"),
        (["empty", "picture.png", "--top", "0"], "--top 0: give 1 or more"),
        (["empty", "picture.png", "--top", "2", "--csv"], "--top is for the table"),
        (["~nobody-of-that-name/x", "picture.png"], "Could not determine home directory"),
        (["running", "picture.png"], "running was interrupted"),
    ],
)
def test_mistakes_are_said_in_a_sentence(command, tmp_path, words, said):
    Image.new("RGB", (9, 9)).save(tmp_path / "picture.png")
    (tmp_path / "empty").mkdir()
    for arm in "ab":
        run = tmp_path / "study" / arm / "search" / "000"
        run.mkdir(parents=True)
        facts = dict(study="study", arm=arm, phase="search", state="COMPLETE", val_accuracy=50.0)
        (run / "run.json").write_text(json.dumps(facts))
        (run / "result.json").write_text(json.dumps(facts))
    (tmp_path / "running" / ".hydra").mkdir(parents=True)
    (tmp_path / "running" / "run.json").write_text("{}")
    code, _, text = command("predict", *words)
    refused(code, text.replace("headstart predict: ", "headstart: "), said)


def test_python_takes_the_same_as_the_command(run, pictures):
    classifier = headstart.load_model(run)
    path = pictures / "red" / "00.png"
    expected = classifier.predict(path).iloc[0, 1:].tolist()
    with Image.open(path) as image:
        image.load()
    for given in ([str(path)], image, np.asarray(image), pictures / "red"):
        assert classifier.predict(given).iloc[0, 1:].tolist() == pytest.approx(expected, abs=1e-6)
