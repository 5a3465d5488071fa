"""`headstart explain`: a figure of one network or of all arms, and mistakes in a sentence."""

import shutil

import numpy as np
import pytest
import ready
from conftest import TINY
from PIL import Image

from cli.helpers_cli import refused


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """The folder of a study, with its report."""
    folder = tmp_path_factory.mktemp("ended")
    words = ["-m", *TINY, "model=cnn,logistic_regression", "epochs=4", "lr=1e-3,3e-3", "n_trials=2", "confirm_seeds=1"]
    done = ready.run(*words, "name=study", folder=folder, environment={"HEADSTART_CACHE": str(folder / "cache")})
    assert done.returncode == 0, done.stderr
    return folder / "outputs" / "study"


@pytest.fixture
def study(ended, tmp_path):
    shutil.copytree(ended, tmp_path / "outputs" / "study")
    for picture in ("3/a.png", "elsewhere/b.png"):
        (tmp_path / picture).parent.mkdir()
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 32, 3), np.uint8)).save(tmp_path / picture)
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


def test_the_page_shows_where_arms_looked_when_asked_and_is_written_where_they_cannot_say(study, command, tmp_path):
    page = tmp_path / study / "report.html"
    assert f"headstart report {study} --explain</code> adds it here" in page.read_text()
    code, _, text = command("report", study, "--explain")
    assert code == 0 and "logistic_regression is left out: " in text, text
    assert "Where the arms looked. test pictures: " in page.read_text() and "adds it here" not in page.read_text()
    with np.load(tmp_path / study / "explained.npz") as kept:
        rows = dict(zip(kept["headings"].tolist(), kept["words"].tolist(), strict=True))
        assert kept["images"].shape == (2, 8, 128, 128, 3) and not np.array_equal(*kept["images"])
        answers = np.load(next((tmp_path / study / "cnn").rglob("confirm/*/*/predictions.npz")))
        assert list(rows) == ["test pictures", "cnn"] and set(rows["test pictures"]) <= set(answers["classes"])
        told = dict(kept)
    right = [words.startswith("right") for words in rows["cnn"]]
    assert any(right) and not all(right), "some of both"
    np.savez(tmp_path / study / "explained.npz", **told | {"runs": np.array(["another"])})
    assert command("report", study)[0] == 0 and "adds it here" in page.read_text()
    (tmp_path / study / "explained.npz").write_bytes(b"no archive")
    assert command("report", study)[0] == 0 and "adds it here" in page.read_text()
    for path in (tmp_path / study).rglob("best.safetensors"):
        path.unlink()
    code, printed, text = command("report", study, "--explain")
    assert code == 0 and printed.endswith("report.html\n"), printed
    assert "where the arms looked is not shown: " in text and "no network that can be explained" in text
    assert "adds it here" not in (tmp_path / study / "report.html").read_text()
    code, _, text = command("report", study, study, "--explain")
    refused(code, text.replace("headstart report: ", "headstart: "), "--explain is for the page of one study")
