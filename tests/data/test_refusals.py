"""What a study would refuse can be looked at all the same."""

import shutil

import pytest

from data.helpers_data import counts, make_tree
from headstart.data.refusals import TooManyCopies, Unreadable, read_anyway
from headstart.errors import UserError


@pytest.fixture
def pictures(tmp_path):
    return make_tree(tmp_path / "pictures", {"cat": 20, "dog": 20})


def test_what_can_be_read_has_nothing_refused(pictures, read):
    data, refused = read_anyway(read)
    assert refused == [] and data.sha256 == read().sha256


def test_broken_files_are_all_counted_and_the_others_read(pictures, read):
    for i in range(12):
        (pictures / f"cat/{i:03}.png").write_bytes(b"junk")
    data, (error,) = read_anyway(read)
    assert isinstance(error, Unreadable) and len(error.paths) == 12
    assert str(error).startswith("12 of 40 images in ") and str(error).endswith("... and 2 more")
    assert "cat/000.png: no image that Pillow knows" in str(error)
    assert sum(counts(data.train) + counts(data.val)) + data.test_images == 28
    with pytest.raises(Unreadable):
        read()


def test_copies_in_two_classes_stay_where_they_are_looked_at(pictures, read):
    for i in range(8):
        shutil.copy(pictures / f"cat/{i:03}.png", pictures / f"dog/copy{i}.png")
    data, (error,) = read_anyway(read)
    assert isinstance(error, TooManyCopies) and error.words == ("data.duplicates=drop",)
    assert data.seen.two_classes == 16 and data.copies.copies_dropped == 0
    assert len(data.train.labels) + len(data.val.labels) + data.test_images == 48
    assert not any("data.duplicates" in sentence for sentence in data.seen.said)  # which nobody chose
    kept = read(duplicates="keep")
    assert kept.sha256 == data.sha256 and "kept, as data.duplicates=keep says" in kept.seen.said[0]


def test_both_at_once_are_both_said(pictures, read):
    for i in range(8):
        shutil.copy(pictures / f"cat/{i:03}.png", pictures / f"dog/copy{i}.png")
    (pictures / "cat/019.png").write_bytes(b"junk")
    _, refused = read_anyway(read)
    assert [type(error) for error in refused] == [Unreadable, TooManyCopies]


def test_where_nothing_is_left_of_a_class_the_broken_files_are_the_error(pictures, read):
    for path in (pictures / "cat").iterdir():
        path.write_bytes(b"junk")
    with pytest.raises(Unreadable, match="20 of 40 images"):
        read_anyway(read)


def test_other_mistakes_are_raised_as_they_are(pictures, read):
    with pytest.raises(UserError, match="no multiple"):
        read_anyway(lambda: read(train_size=7))
