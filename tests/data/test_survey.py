"""What is said of a data set is what its splits hold, and the sheet shows its training pictures."""

import io

import numpy as np
import pytest
from PIL import Image

from data.helpers_data import counts, draw_image, make_tree
from headstart.data import sources
from headstart.data.survey import MOST_CLASSES, SAMPLED, describe_data, sample_sheet
from headstart.store import DataRecord


def cells(png, record):
    """The pictures on a sheet, [rows, columns, height, width, 3]."""
    pixels = np.asarray(Image.open(io.BytesIO(png)))
    height, width = record.samples.height, record.samples.width
    rows, columns = pixels.shape[0] // height, pixels.shape[1] // width
    return pixels.reshape(rows, height, columns, width, 3).transpose(0, 2, 1, 3, 4)


def test_counts_statistics_and_sizes_are_those_of_the_splits(tmp_path, read):
    root = make_tree(tmp_path / "pictures", {"cat": 40, "dog": 20})
    draw_image(901, (8, 30)).save(root / "dog/tall.png")
    data = read()
    record = describe_data(data)
    assert record.classes == ("cat", "dog") and record.name == "pictures" and record.root == str(root)
    parts = (("train", data.train), ("val", data.val), ("test", data.test()))
    assert record.counts == {part: tuple(counts(split)) for part, split in parts}
    pixels = data.train.images.numpy() / 255
    assert record.mean == pytest.approx(pixels.mean((0, 1, 2))) and record.std == pytest.approx(pixels.std((0, 1, 2)))
    assert record.sizes == {"width": (8, 12, 12), "height": (12, 12, 30)}
    assert record.pixels == (12, 12) and record.smaller == 1
    assert set(record.copies.values()) == {0} and record.said == ()
    assert DataRecord.of(record.as_dict()) == record


def test_pictures_that_look_alike_in_two_classes_are_counted_on_demand(tmp_path, read):
    root = make_tree(tmp_path / "pictures", {"cat": 30, "dog": 30})
    for i in range(3):
        smooth = draw_image(700 + i, (4, 4)).resize((48, 48), Image.Resampling.BICUBIC)
        smooth.save(root / f"cat/smooth{i}.png")
        smooth.putpixel((0, 0), (9, 9, 9))
        smooth.save(root / f"dog/smooth{i}.png")
    data = read(size=32, validation_size=0.3, test_size=2)
    assert "look_alikes_of_another_class" not in describe_data(data).copies
    held = {data.files.names[place] for place in data.seen.places["test"]}
    pairs = [i for i in range(3) if not {f"cat/smooth{i}.png", f"dog/smooth{i}.png"} & held]
    found = describe_data(data, across_classes=True).copies["look_alikes_of_another_class"]
    assert found == 2 * len(pairs) > 0


def test_copies_within_a_part_are_said_and_counted(tmp_path, read):
    root = make_tree(tmp_path / "pictures", {"cat": 40, "dog": 20})
    content = (root / "cat/000.png").read_bytes()
    for i in range(6):
        (root / f"cat/again{i}.png").write_bytes(content)
    record = describe_data(read(duplicates="keep"))
    assert sum(count for key, count in record.copies.items() if key.startswith("within_")) > 0
    assert any("which stay" in sentence for sentence in record.said)


def test_the_sheet_shows_ten_training_pictures_of_each_class_and_the_same_ones_again(tmp_path, read):
    make_tree(tmp_path / "pictures", {"cat": 40, "dog": 8})
    data = read()
    record, png = describe_data(data), sample_sheet(data)
    assert png == sample_sheet(read())
    assert record.samples.counts == (SAMPLED, counts(data.train)[1]) and record.samples.classes == (0, 1)
    shown = cells(png, record)
    assert shown.shape == (2, SAMPLED, 12, 12, 3)
    for label, own in enumerate(shown):
        mine = {picture.numpy().tobytes() for picture in data.train.images[data.train.labels == label]}
        pictures = [picture.tobytes() for picture in own[: record.samples.counts[label]]]
        assert len(set(pictures)) == len(pictures) and set(pictures) <= mine
        assert (own[record.samples.counts[label] :] == 255).all()


def test_of_many_classes_those_with_the_most_pictures_are_shown(tmp_path, read):
    make_tree(tmp_path / "pictures", {f"c{i:02}": 5 + (i % 3) for i in range(MOST_CLASSES + 4)})
    data = read(size=4)
    record = describe_data(data)
    trained = record.counts["train"]
    assert len(record.samples.classes) == MOST_CLASSES
    least = min(trained[position] for position in record.samples.classes)
    assert all(trained[position] <= least for position in set(range(24)) - set(record.samples.classes))
    assert len(cells(sample_sheet(data), record)) == MOST_CLASSES


def test_of_data_without_files_no_copies_or_sizes_are_known():
    record = describe_data(sources.digits(), across_classes=True)
    assert sum(map(sum, record.counts.values())) == 1797
    assert record.copies is record.sizes is record.root is None and record.pixels == (32, 32)
