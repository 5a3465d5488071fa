"""The sources that configurations name: what they read, where they look, and the keys of their YAML files."""

import inspect
import subprocess
import sys
from pathlib import Path

import headstart.conf
import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from PIL import Image
from sklearn.utils.class_weight import compute_class_weight

from data.helpers_data import ROOT, counts, make_tree, needs_cifar10, positions
from headstart.config import make
from headstart.data import sources
from headstart.errors import UserError


class TestDigits:
    def test_parts_do_not_overlap_and_cover_every_picture(self):
        digits = sources.digits()
        parts = [positions(part) for part in (digits.train, digits.val, digits.test())]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 1797

    def test_pictures_are_scikit_learns_enlarged_four_times(self):
        from sklearn.datasets import load_digits

        bunch = load_digits()
        for part in (sources.digits().train, sources.digits().test()):
            assert part.images.dtype == torch.uint8 and part.images.shape[1:] == (32, 32, 3)
            assert part.images.is_contiguous() and part.labels.dtype == torch.int64
            assert torch.equal(part.labels, torch.from_numpy(bunch.target[part.indices]))
            source = Image.fromarray(bunch.images[part.indices[0]].astype(np.float32)).resize((32, 32), Image.BILINEAR)
            expected = np.asarray(source) * 255 / 16
            assert np.abs(part.images[0, :, :, 0].numpy() - expected).max() <= 0.51
            assert torch.equal(part.images[..., 0], part.images[..., 2])

    def test_test_part_is_balanced_and_the_same_whatever_the_seed_and_subset(self):
        first, other = sources.digits().test(), sources.digits(split_seed=7, train_size=100, validation_size=0.3).test()
        assert len(first.labels) == 360 and set(counts(first)) == {35, 36, 37}
        assert torch.equal(first.indices, other.indices) and torch.equal(first.images, other.images)

    def test_split_is_the_one_published(self):
        # Changing these lists would change every number measured on digits.
        digits = sources.digits()
        assert digits.test().indices[:5].tolist() == [9, 16, 17, 20, 26]
        assert digits.val.indices[:5].tolist() == [6, 12, 24, 31, 51]

    def test_needs_no_network_and_no_other_source(self):
        code = (
            "import sys; from headstart.data import augmentation, sources; "
            "print([m for m in HEAVY if m in sys.modules])"
        )
        code = code.replace("HEAVY", "('torchvision', 'sklearn', 'PIL', 'timm', 'hydra')")
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@needs_cifar10
def test_cifar_is_read_once_per_process():
    assert sources.cifar10(ROOT, train_size=500) is sources.cifar10(str(ROOT), train_size=500)


def test_the_cache_that_the_environment_names_is_the_one_for_features_too(tmp_path, monkeypatch):
    """Empty means not set, `off` is refused, as everywhere; never a folder `off` where the command was typed."""
    node = OmegaConf.load(Path(headstart.conf.__path__[0]) / "data/folder.yaml")
    node.update(root=str(make_tree(tmp_path / "tree", {"cat": 20, "dog": 20})), split_seed=0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    for value, where in (("", tmp_path / "xdg/headstart"), (str(tmp_path / "mine"), tmp_path / "mine")):
        monkeypatch.setenv("HEADSTART_CACHE", value)
        make(node)
        assert list(where.glob("folder-*")), value
    monkeypatch.setenv("HEADSTART_CACHE", "off")
    with pytest.raises(UserError, match="HEADSTART_CACHE=off names no folder"):
        make(node)
    assert {path.name for path in tmp_path.iterdir()} <= {"xdg", "mine", "tree"}


def test_a_tilde_is_the_home_folder_in_every_source(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(make_tree(tmp_path / "tree", {"cat": 20, "dog": 20}))
    rows = [f"{path.relative_to(tmp_path)},{path.parent.name}" for path in (tmp_path / "tree").rglob("*.png")]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]))
    shown = dict(size=8, cache="~/cache")
    assert len(sources.folder("~/tree", **shown).train.labels) == len(
        sources.table("~/labels.csv", **shown).train.labels
    )
    assert list((tmp_path / "cache").glob("folder-*")) and not list(Path().glob("~*"))
    with pytest.raises(UserError, match=rf"CIFAR10 is not in {tmp_path}/cifar "):
        sources.cifar10("~/cifar", download=False)
    with pytest.raises(UserError, match=r"~nobody-of-this-name/x: .*give the folder itself"):
        sources.folder("~nobody-of-this-name/x")


def test_a_cache_among_the_pictures_is_refused(tmp_path):
    root = make_tree(tmp_path / "tree", {"cat": 20, "dog": 20})
    with pytest.raises(UserError, match=r"data\.cache=.*outside"):
        sources.folder(root, size=8, cache=root / "cache")
    assert not (root / "cache").exists()


@pytest.mark.parametrize("source", [sources.digits, lambda **more: sources.digits(classes=[3, 1], **more)])
def test_how_many_test_pictures_there_are_is_known_without_reading_them(source):
    data = source()
    assert data.test_images == len(data.test().labels)


@needs_cifar10
def test_how_many_test_pictures_cifar_has_is_known_without_reading_them():
    for classes in (None, ["cat", "dog"]):
        data = sources.cifar10(ROOT, train_size=500, classes=classes)
        assert data.test_images == len(data.test().labels) and data.copies is None


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "conf/data").glob("*.yaml")), ids=lambda p: p.stem)
def test_yaml_gives_every_key_of_its_source_with_its_default(path):
    keys = yaml.safe_load(path.read_text())
    signature = inspect.signature(getattr(sources, keys.pop("_target_").removeprefix("headstart.data.sources.")))
    assert set(keys) == set(signature.parameters)
    for key, value in keys.items():
        if not str(value).startswith("${") and value != "auto":  # a choice by the data: who calls a source says it
            assert value == signature.parameters[key].default, key


def test_class_weights_are_scikit_learns_balanced_ones_of_the_training_part():
    plain, found = sources.digits(), sources.digits(class_weights="balanced")
    labels = found.train.labels.numpy()
    expected = compute_class_weight("balanced", classes=np.arange(10), y=labels)
    assert found.class_weights == pytest.approx(expected) and plain.class_weights is None
    assert plain.sha256 == found.sha256
    assert found.counts == tuple(np.bincount(labels)) and found.class_ratio == 117 / 111
