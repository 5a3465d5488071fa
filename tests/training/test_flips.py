"""Which augmentations only flip is found by trying them; what the probe foretells is what real pictures get."""

from functools import partial
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from headstart.data import augmentation
from headstart.training.flips import drawn_flips, flipped, needed_flips, probe_images

CONF = Path(__file__).parents[2] / "conf" / "augmentation"
ONLY_FLIPS = {"none": (0,), "flip": (0, 1), "flip_hv": (0, 1, 2, 3)}


def pictures(count: int = 300, size: int = 32) -> torch.Tensor:
    return torch.randint(256, (count, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(7))


def labels(count: int = 300) -> torch.Tensor:
    return torch.arange(count) % 10


def configured(name: str):
    options = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    function = getattr(augmentation, options.pop("_target_").rpartition(".")[2])
    options.pop("_partial_")
    return partial(function, **options)


@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_every_configured_augmentation_is_told_apart(name):
    assert needed_flips(configured(name), pictures(), labels(), 10) == ONLY_FLIPS.get(name)


def test_crop_without_padding_is_found_to_flip_only():
    assert needed_flips(partial(augmentation.crop_flip, padding=0), pictures(), labels(), 10) == (0, 1)


@pytest.mark.parametrize("name", ONLY_FLIPS)
@pytest.mark.parametrize("count", [1, 5, 128, 300])
def test_the_probe_foretells_what_pictures_of_any_size_get_and_draws_as_much(name, count):
    for size in (8, 33):
        ours, theirs = (torch.Generator().manual_seed(count) for _ in range(2))
        foretold = drawn_flips(configured(name), labels(count), 10, ours)
        real, _ = configured(name)(pictures(count, size), labels(count), classes=10, generator=theirs)
        expected = torch.stack(
            [flipped(p[None], int(m))[0] for p, m in zip(pictures(count, size), foretold, strict=True)]
        )
        assert torch.equal(real, expected)
        assert torch.equal(ours.get_state(), theirs.get_state())


def test_probe_pictures_differ_in_every_pixel():
    flat = probe_images(70_000).flatten(0, 2)
    assert len(flat.unique(dim=0)) == len(flat)


def shift_by_a_tenth(images, labels, *, classes, generator):
    return images.roll(images.shape[2] // 10, 2), labels


def brighten_rarely(images, labels, *, classes, generator):
    rare = torch.rand(len(images), generator=generator) < 0.01
    return torch.where(rare[:, None, None, None], images | 1, images), labels


def shuffle(images, labels, *, classes, generator):
    return images[torch.randperm(len(images), generator=generator)], labels


def relabel(images, labels, *, classes, generator):
    return images, (labels + 1) % classes


def smooth_labels(images, labels, *, classes, generator):
    return images, torch.nn.functional.one_hot(labels, classes).float()


def draw_by_size(images, labels, *, classes, generator):
    return augmentation.flip(images, torch.rand(images.shape[:2], generator=generator)[:, 0] < 0.5), labels


def draw_more_for_large_ones(images, labels, *, classes, generator):
    images = augmentation.horizontal_flip(images, labels, classes=classes, generator=generator)[0]
    torch.rand(images.shape[:2], generator=generator)
    return images, labels


def draw_globally(images, labels, *, classes, generator):
    return augmentation.flip(images, torch.rand(len(images)) < 0.5), labels


def flip_bright_ones(images, labels, *, classes, generator):
    return augmentation.flip(images, images.float().mean((1, 2, 3)) > 127), labels


def rotate(images, labels, *, classes, generator):
    return images.rot90(1, (1, 2)), labels


def refuse_small_ones(images, labels, *, classes, generator):
    if images.shape[1] < 8:
        raise ValueError("too small")
    return images, labels


def drop_the_last(images, labels, *, classes, generator):
    return images[:-1], labels


@pytest.mark.parametrize(
    "augment",
    [
        shift_by_a_tenth,
        brighten_rarely,
        shuffle,
        relabel,
        smooth_labels,
        draw_by_size,
        draw_more_for_large_ones,
        draw_globally,
        flip_bright_ones,
        rotate,
        refuse_small_ones,
        drop_the_last,
    ],
)
def test_what_does_anything_else_is_refused_and_nothing_is_drawn_from_the_global_stream(augment):
    before = torch.get_rng_state()
    assert needed_flips(augment, pictures(), labels(), 10) is None
    assert torch.equal(torch.get_rng_state(), before)


def flip_in_place(images, labels, *, classes, generator):
    which = torch.rand(len(images), generator=generator) < 0.5
    images[which] = images[which].flip(2)
    return images, labels


def flip_only_the_ones(images, labels, *, classes, generator):
    return augmentation.flip(images, labels == 1, axis=1), labels


@pytest.mark.parametrize(("augment", "expected"), [(flip_in_place, (0, 1)), (flip_only_the_ones, (0, 2))])
def test_what_writes_into_its_pictures_or_looks_at_labels_is_understood(augment, expected):
    before = pictures()
    given = before.clone()
    assert needed_flips(augment, given, labels(), 10) == expected
    assert torch.equal(given, before)
    found = drawn_flips(augment, labels(), 10, torch.Generator().manual_seed(0))
    assert set(found.tolist()) == set(expected)


def test_flips_are_those_of_torchvision():
    from torchvision.transforms.v2 import functional as tv

    images = pictures(3, 9)
    planes = images.permute(0, 3, 1, 2)
    expected = [planes, tv.horizontal_flip(planes), tv.vertical_flip(planes), tv.rotate(planes, 180)]
    for flip, picture in enumerate(expected):
        assert torch.equal(flipped(images, flip).permute(0, 3, 1, 2), picture)
