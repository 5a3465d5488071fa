"""Features come back from a file as the backbone gave them."""

import math

import pytest
import torch
from torch import nn

from headstart.models import Model
from headstart.store import FeatureEntry
from headstart.training.feature_table import FeatureTable, Layout, agrees
from training.helpers_training import noise, prepared

CPU = torch.device("cpu")


def entry(features: torch.Tensor) -> FeatureEntry:
    layout = Layout.of(features)
    return FeatureEntry(layout.to_numpy(features), vars(layout), None)


def features(*shape: int, **options) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(**options)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_feature_maps_come_back_as_the_backbone_gave_them(precision):
    torch.manual_seed(0)
    layers = nn.Sequential()
    layers.backbone = nn.Sequential(nn.Conv2d(3, 5, 3, stride=4), nn.BatchNorm2d(5))
    layers.backbone.to(memory_format=torch.channels_last)
    layers.classifier = nn.Sequential(nn.Conv2d(5, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    split, source = noise(40), prepared(Model(layers, "classifier", freeze="backbone"), precision=precision)
    rows, direct = source.table(split).rows(torch.arange(40)), source.compute(split.images)
    assert torch.equal(rows, direct) and rows.dtype == direct.dtype and rows.stride() == direct.stride()
    assert rows.dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)


@pytest.mark.parametrize(
    "kept",
    [
        features(3, 5),
        features(3, 5, dtype=torch.bfloat16),
        features(3, 4, 2, 2),
        features(3, 4, 2, 2, memory_format=torch.channels_last),
        features(3, 4, 2, 2, dtype=torch.bfloat16, memory_format=torch.channels_last),
        features(3, 4, 1, 1, memory_format=torch.channels_last),  # contiguous both ways
    ],
    ids=lambda kept: f"{kept.dtype} {tuple(kept.shape)} {kept.stride()}",
)
def test_every_type_and_memory_format_survives_the_way_through_numpy(kept, monkeypatch):
    monkeypatch.setattr(FeatureEntry, "read_ahead", lambda self: None)
    rows = FeatureTable({0: entry(kept)}, CPU).rows(torch.tensor([2, 0]))
    assert torch.equal(rows, kept[[2, 0]]) and rows.dtype == kept.dtype
    assert rows.is_contiguous(memory_format=torch.channels_last) == kept.is_contiguous(
        memory_format=torch.channels_last
    )


def test_each_row_comes_from_the_flip_that_was_drawn_for_it(monkeypatch):
    monkeypatch.setattr(FeatureEntry, "read_ahead", lambda self: None)
    upright, flipped = features(4, 3), -features(4, 3)
    table = FeatureTable({0: entry(upright), 2: entry(flipped)}, CPU)
    picked, flips = torch.tensor([3, 1, 1, 0]), torch.tensor([0, 2, 0, 2])
    expected = torch.stack([upright[3], flipped[1], upright[1], flipped[0]])
    assert torch.equal(table.rows(picked, flips), expected)
    assert torch.equal(table.rows(picked), upright[picked])
    assert table.size == 2 * 4 * 3 * 4  # bytes


def test_features_agree_with_those_computed_again_but_for_rounding():
    kept = features(4, 3)
    again = kept[:2].clone()
    again[0, 0] += 5e-4 * again.max()
    assert agrees(entry(kept), again, tolerance=1e-3)
    assert not agrees(entry(kept), again, tolerance=1e-4)
    assert not agrees(entry(kept), kept[:2].bfloat16(), tolerance=1)
    assert not agrees(entry(kept), kept[:2, :2], tolerance=1)
    feature_map = features(4, 3, 2, 2)
    assert not agrees(entry(feature_map), feature_map[:2].to(memory_format=torch.channels_last), tolerance=1)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_features_that_are_not_finite_agree_with_themselves_alone(value):
    kept = features(4, 3)
    kept[1, 2] = value
    assert agrees(entry(kept), kept[:2], tolerance=1e-3)
    assert not agrees(entry(kept), features(4, 3)[:2], tolerance=1)
    assert not agrees(entry(features(4, 3)), kept[:2], tolerance=1)
    everywhere = torch.full((4, 3), value)
    assert agrees(entry(everywhere), everywhere[:2], tolerance=1)
