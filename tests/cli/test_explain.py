"""`headstart explain`: a figure of one network or of all arms, and mistakes in a sentence."""

import numpy as np
import pytest
from conftest import TINY
from PIL import Image

from cli.helpers_cli import refused


@pytest.fixture
def study(command, tmp_path):
    words = [
        "-m",
        *TINY,
        "model=cnn,logistic_regression",
        "epochs=4",
        "lr=1e-3,3e-3",
        "n_trials=2",
        "confirm_seeds=1",
        "name=study",
    ]
    assert command(*words)[0] == 0
    for name in ("3/a.png", "elsewhere/b.png"):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 32, 3), np.uint8)).save(tmp_path / name)
    return "outputs/study"


def test_all_arms_of_a_study_side_by_side_and_one_alone(study, command, tmp_path):
    code, printed, text = command("explain", study, "3/a.png", "elsewhere")
    assert code == 0 and "logistic_regression is left out: " in text, text
    assert printed.splitlines() == ["cnn: maps of activation3, 4 x 4 cells", "explained/explained.png"]
    words = (tmp_path / "explained" / "explained.svg").read_text()
    assert "pictures: 3 a.png, b.png; cnn: for what it said: " in words
    assert command("explain", study, "3/a.png", "--arm", "cnn", "--to", "one")[0] == 0
    assert (tmp_path / "one" / "explained.png").stat().st_size
    (tmp_path / "bad.png").write_text("no picture")
    code, _, text = command("explain", study, "3/a.png", "bad.png", "--arm", "cnn")
    assert code == 1 and text == "headstart explain: bad.png cannot be read: no image that Pillow knows\n"
    for words, said in [
        (("nowhere", "3/a.png"), "nowhere does not exist"),
        ((study, "nowhere.png"), "nowhere.png does not exist"),
        ((study, "3/a.png", "--arm", "logistic_regression"), "is an estimator of scikit-learn"),
    ]:
        code, _, text = command("explain", *words)
        refused(code, text.replace("headstart explain: ", "headstart: "), said)
