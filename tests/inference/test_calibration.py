"""Which pictures integers are fitted to and judged by: a run's own, or others, and never a part called test."""

import numpy as np
import pytest
from conftest import configured
from omegaconf import OmegaConf

from headstart.config import make
from headstart.errors import UserError
from headstart.inference import Classifier
from headstart.inference.calibration import FITTED, calibration
from headstart.store import write_json
from inference.helpers_inference import CLASSES, finished

DIGITS = {"data": configured().values.data | dict(classes=[0, 1, 2], train_size=None)}


@pytest.fixture
def run_dir(tmp_path):
    """A finished run on three of the digits."""
    finished(folder := tmp_path / "run")
    saved = OmegaConf.load(folder / ".hydra" / "config.yaml")
    OmegaConf.save(OmegaConf.merge(saved, DIGITS), folder / ".hydra" / "config.yaml")
    return folder


def named(run_dir, names=("0", "1", "2")) -> Classifier:
    """Its classifier, whose classes are called so."""
    from dataclasses import replace

    return replace(Classifier.of_run(run_dir), classes=names)


def draw(folder, names=CLASSES, count=4, size=40):
    """A folder of class folders, each picture of one shade, by its number."""
    from PIL import Image

    for place, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            shade = np.full((size, size, 3), 10 * number + place, np.uint8)
            Image.fromarray(shade).save(folder / name / f"{number}.png")
    return folder


def test_a_runs_own_training_pictures_are_fitted_to_and_its_validation_pictures_judge(run_dir):
    found, data = calibration(named(run_dir)), make(DIGITS["data"])
    assert np.array_equal(found.judged, data.val.images.numpy())
    assert np.array_equal(found.labels, data.val.labels.numpy())
    assert len(found.fitted) == FITTED and str(found) == f"{len(data.val.labels)} validation pictures of its run"
    known = {picture.tobytes() for picture in data.train.images.numpy()}
    assert all(picture.tobytes() in known for picture in found.fitted)


def test_labels_go_by_the_names_of_the_classes(run_dir):
    found = calibration(named(run_dir, ("2", "0", "1")))
    assert np.array_equal(found.labels, (make(DIGITS["data"]).val.labels.numpy() + 1) % 3)


def test_other_pictures_are_dealt_out_between_both(run_dir, tmp_path):
    found = calibration(Classifier.of_run(run_dir), str(draw(tmp_path / "scans")))
    assert found.fitted.shape == found.judged.shape == (6, 32, 32, 3)
    fitted, judged = ({int(picture[0, 0, 0]) for picture in some} for some in (found.fitted, found.judged))
    assert not fitted & judged and "every other one" in str(found)
    assert [CLASSES[label] for label in found.labels] == [CLASSES[int(p[0, 0, 0]) % 10] for p in found.judged]


def test_parts_are_kept_apart_and_test_is_not_touched(run_dir, tmp_path):
    for shade, part in enumerate(("train", "val", "test")):
        draw(tmp_path / "scans" / part, count=1 + shade)
    found = calibration(Classifier.of_run(run_dir), str(tmp_path / "scans"))
    assert (len(found.fitted), len(found.judged)) == (3, 6) and "validation pictures of" in str(found)


def test_what_is_missing_is_said_with_what_to_give(run_dir, tmp_path):
    draw(tmp_path / "others", ("cat", "dog", "cow"))
    for data, said in [
        (None, "the classes differ"),
        ("nowhere", "nowhere does not exist; give labelled pictures by --calibrate DATA"),
        (str(tmp_path / "others"), "the network has no cow"),
    ]:
        with pytest.raises(UserError, match=said):
            calibration(Classifier.of_run(run_dir), data)
    for name in ("run.json", "result.json"):
        write_json(run_dir / name, dict(state="COMPLETE", data_sha256="0" * 64))
    with pytest.raises(UserError, match=r"was trained on have changed; give labelled pictures by --calibrate DATA"):
        calibration(named(run_dir))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "does not say what it was trained on"),
        ({"_target_": "headstart.data.sources.cifar10", "root": "gone", "download": True}, "are not at hand"),
        ({"_target_": "headstart.data.sources.folder", "root": "${gone}"}, "are not at hand"),
    ],
)
def test_a_run_whose_pictures_are_gone_says_so_and_downloads_nothing(tmp_path, data, said):
    finished(folder := tmp_path / "run")
    saved = OmegaConf.load(folder / ".hydra" / "config.yaml")
    OmegaConf.save(OmegaConf.merge(saved, {"data": data}), folder / ".hydra" / "config.yaml")
    with pytest.raises(UserError, match=f"{said}.*--calibrate DATA"):
        calibration(Classifier.of_run(folder))
