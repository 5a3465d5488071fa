"""Augmentations against torchvision's result for the same draws, or a loop written by hand."""

import inspect
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from data.helpers_data import CLASSES, HEIGHT, WIDTH, N, chw, generator
from headstart.data import augmentation

CONFIGS = sorted((Path(__file__).parents[2] / "conf" / "augmentation").glob("*.yaml"))


def configured(path):
    keys = yaml.safe_load(path.read_text())
    function = getattr(augmentation, keys.pop("_target_").removeprefix("headstart.data.augmentation."))
    assert keys.pop("_partial_") is True
    return partial(function, **keys)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
class TestEveryAugmentation:
    def test_keeps_the_shape_and_leaves_its_input_alone(self, path, batch):
        images, labels = batch
        before = images.clone()
        out, targets = configured(path)(images, labels, classes=CLASSES, generator=generator())
        assert out.shape == images.shape
        assert out.is_contiguous()
        assert torch.equal(images, before)
        assert out.dtype in (torch.uint8, torch.float32)
        if targets.is_floating_point():
            assert targets.shape == (N, CLASSES)
            assert torch.allclose(targets.sum(1), torch.ones(N))
        else:
            assert torch.equal(targets, labels)
        assert out.min() >= 0 and out.max() <= 255

    def test_same_seed_same_batch_and_another_seed_another(self, path, batch):
        first, again, other = (
            configured(path)(*batch, classes=CLASSES, generator=generator(seed))[0] for seed in (3, 3, 4)
        )
        assert torch.equal(first, again)
        assert torch.equal(first, other) == (path.stem == "none")

    def test_does_not_touch_the_global_random_state(self, path, batch):
        before = torch.get_rng_state()
        configured(path)(*batch, classes=CLASSES, generator=generator())
        assert torch.equal(torch.get_rng_state(), before)

    def test_yaml_gives_every_own_key(self, path):
        keys = set(yaml.safe_load(path.read_text())) - {"_target_", "_partial_"}
        own = set(inspect.signature(configured(path).func).parameters) - {"images", "labels", "classes", "generator"}
        assert keys == own


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_crop_is_torchvisions_crop_of_the_zero_padded_picture_for_every_offset(padding, batch):
    images = batch[0][:1]
    offsets = torch.cartesian_prod(torch.arange(2 * padding + 1), torch.arange(2 * padding + 1)).reshape(-1, 2)
    many = images.expand(len(offsets), -1, -1, -1)
    ours = augmentation.crop(many, offsets[:, 0], offsets[:, 1], padding)
    padded = tv.pad(chw(images[0]), padding)
    for picture, (top, left) in zip(ours, offsets.tolist(), strict=True):
        assert torch.equal(chw(picture), tv.crop(padded, top, left, HEIGHT, WIDTH))


def test_crop_gives_each_picture_its_own_offset(batch):
    images, _ = batch
    top, left = torch.randint(0, 9, (2, N), generator=generator())
    ours = augmentation.crop(images, top, left, 4)
    for i in range(N):
        reference = tv.crop(tv.pad(chw(images[i]), 4), int(top[i]), int(left[i]), HEIGHT, WIDTH)
        assert torch.equal(chw(ours[i]), reference)


@pytest.mark.parametrize(("axis", "reference"), [(2, tv.horizontal_flip), (1, tv.vertical_flip)])
def test_flip_is_torchvisions_flip_of_the_chosen_pictures_only(axis, reference, batch):
    images, _ = batch
    which = torch.rand(N, generator=generator()) < 0.5
    ours = augmentation.flip(images, which, axis)
    for i in range(N):
        assert torch.equal(chw(ours[i]), reference(chw(images[i])) if which[i] else chw(images[i]))


@pytest.mark.parametrize("chosen", [True, False])
def test_flip_of_all_or_no_picture(chosen, batch):
    ours = augmentation.flip(batch[0], torch.full((N,), chosen))
    assert torch.equal(ours, batch[0].flip(2) if chosen else batch[0])


def test_crop_flip_reaches_every_offset_and_both_mirror_images_equally_often():
    n, padding = 20_000, 2
    image = torch.arange(1, 65).to(torch.uint8).reshape(1, 8, 8, 1).expand(n, -1, -1, 3)
    out, _ = augmentation.crop_flip(image, torch.zeros(n), classes=2, generator=generator(), padding=padding)
    seen, counts = out.reshape(n, -1).unique(dim=0, return_counts=True)
    assert len(seen) == 2 * (2 * padding + 1) ** 2
    expected = n / len(seen)
    assert (counts - expected).abs().max() < 5 * expected**0.5


def test_flip_hv_gives_all_four_orientations_equally_often():
    n = 4000
    image = torch.arange(12).to(torch.uint8).reshape(1, 2, 2, 3).expand(n, -1, -1, -1)
    out, _ = augmentation.flip_hv(image, torch.zeros(n), classes=2, generator=generator())
    _, counts = out.reshape(n, -1).unique(dim=0, return_counts=True)
    assert len(counts) == 4
    assert (counts - n / 4).abs().max() < 5 * (n / 4) ** 0.5


@pytest.mark.parametrize("size", [1, 7, 8, 100])
def test_erase_matches_a_loop_over_pixels(size, batch):
    images, _ = batch
    row = torch.randint(HEIGHT, (N,), generator=generator(1))
    column = torch.randint(WIDTH, (N,), generator=generator(2))
    expected = images.clone()
    for i in range(N):
        for y in range(int(row[i]) - size // 2, int(row[i]) - size // 2 + size):
            for x in range(int(column[i]) - size // 2, int(column[i]) - size // 2 + size):
                if 0 <= y < HEIGHT and 0 <= x < WIDTH:
                    expected[i, y, x] = 128
    assert torch.equal(augmentation.erase(images, row, column, size), expected)


def test_cutout_reaches_the_corners_and_erases_somewhere_else_in_each_picture():
    images = torch.zeros(3000, 8, 8, 3, dtype=torch.uint8)
    out, _ = augmentation.cutout(images, torch.zeros(3000), classes=2, generator=generator(), size=4, padding=None)
    erased = (out > 0).float().mean((0, 3))
    assert erased.min() > 0.05
    assert len(out.reshape(3000, -1).unique(dim=0)) == 64


def test_mix_matches_a_loop_over_pictures(batch):
    images, labels = batch
    partner, share = torch.randperm(N, generator=generator()), torch.rand(N, generator=generator(1))
    pictures, targets = augmentation.mix(images, labels, partner, share, CLASSES)
    for i in range(N):
        p, s = int(partner[i]), float(share[i])
        assert torch.allclose(pictures[i], s * images[i].float() + (1 - s) * images[p].float(), atol=1e-3)
        expected = torch.zeros(CLASSES)
        expected[labels[i]] += s
        expected[labels[p]] += 1 - s
        assert torch.allclose(targets[i], expected, atol=1e-6)


def test_mixup_draws_a_share_of_its_own_for_each_picture_from_beta():
    n, alpha = 20_000, 0.4
    labels = torch.arange(n) % 2
    images = (labels * 200).to(torch.uint8).reshape(n, 1, 1, 1).expand(n, 1, 1, 3)
    pictures, targets = augmentation.mixup(images, labels, classes=2, generator=generator(), alpha=alpha, padding=None)
    assert torch.allclose(pictures[:, 0, 0, 0], targets[:, 1] * 200, atol=1e-3)  # pictures and labels share one share
    own = targets[torch.arange(n), labels]
    mixed = own[own < 1].double()  # the partner had the other class
    assert abs(mixed.mean() - 0.5) < 0.02
    assert abs(mixed.var() - 1 / (4 * (2 * alpha + 1))) < 0.005  # of Beta(alpha, alpha)


@pytest.mark.parametrize("padding", [None, 4])
@pytest.mark.parametrize("name", ["cutmix", "cutout", "mixup", "randaugment", "trivialaugment"])
def test_padding_null_leaves_out_crop_and_flip(name, padding):
    gradient = torch.arange(32).to(torch.uint8).reshape(1, 1, 32, 1).expand(64, 32, 32, 3) + 1
    function = getattr(augmentation, name)
    out, _ = function(
        gradient.clone(), torch.zeros(64, dtype=torch.int64), classes=2, generator=generator(), padding=padding
    )
    untouched = (out.float() == gradient.float()).flatten(1).float().mean(1)
    seen = float((untouched > 0.5).float().mean())
    assert seen > 0.3 if padding is None else seen < 0.3


def test_randaugment_chains_as_many_operations_as_asked_for(batch):
    images, labels = batch
    draw, arguments = generator(3), dict(classes=CLASSES, padding=None)
    step = images
    for _ in range(3):
        step, _ = augmentation.randaugment(step, labels, generator=draw, operations=1, **arguments)
    whole, _ = augmentation.randaugment(images, labels, generator=generator(3), operations=3, **arguments)
    assert torch.equal(whole, step)


def test_the_box_of_cutmix_is_torchvisions(batch):
    images, labels = batch
    partner = (torch.arange(N) - 1) % N  # torchvision pairs each picture with the one before it
    for seed in range(20):
        torch.manual_seed(seed)
        theirs = v2.CutMix(num_classes=CLASSES)
        pictures, targets = theirs(images.permute(0, 3, 1, 2), labels)
        torch.manual_seed(seed)
        share = theirs._dist.sample(())
        column, row = torch.randint(WIDTH, size=(1,)), torch.randint(HEIGHT, size=(1,))
        drawn = (share.expand(N), row.expand(N), column.expand(N))
        ours, mixed = augmentation.paste(images, labels, partner, *drawn, CLASSES)
        assert torch.equal(ours.permute(0, 3, 1, 2), pictures)
        assert torch.allclose(mixed, targets, atol=1e-6)


def test_cutmix_draws_a_box_of_its_own_for_each_picture():
    n = 4000
    labels = torch.arange(n) % 2
    images = (labels * 200).to(torch.uint8).reshape(n, 1, 1, 1).expand(n, 16, 16, 3)
    pictures, targets = augmentation.cutmix(images, labels, classes=2, generator=generator(), padding=None)
    assert torch.allclose(pictures.float().mean((1, 2, 3)) / 200, targets[:, 1], atol=1e-5)
    own = targets[torch.arange(n), labels]
    mixed = own[own < 1]  # the partner had the other class
    assert len(mixed.unique()) > 50 and 0.6 < mixed.mean() < 0.85
