"""A listing of files tells what became of them since, and is not believed where it is damaged."""

import gzip
import hashlib
import json

import pytest

from headstart.store.file_listing import DIGEST, FileListing, changes_since, keep_listing


def listed(**contents):
    digests = b"".join(hashlib.sha256(text.encode()).digest()[:DIGEST] for text in contents.values())
    return FileListing(list(contents), digests)


BEFORE = listed(a="1", b="2", c="3", d="4", e="5")


@pytest.fixture
def kept(tmp_path):
    keep_listing(tmp_path, BEFORE)
    return tmp_path


def test_files_that_were_added_lost_and_changed_are_counted_and_named(kept):
    now = listed(b="2", c="another", d="4", e="other", f="6", g="7", h="8", i="9")
    assert changes_since(kept, BEFORE.key, now) == (
        "4 added, 1 gone, 2 changed of 5 files (added: f, g, h, ...; gone: a; changed: c, e)"
    )
    assert changes_since(kept, BEFORE.key, listed(a="1", b="2", c="3", d="4")) == (
        "0 added, 1 gone, 0 changed of 5 files (gone: e)"
    )


def test_the_same_files_are_said_to_be_the_same(kept):
    assert changes_since(kept, BEFORE.key, listed(a="1", b="2", c="3", d="4", e="5")) == (
        "all 5 files are as they were, but are read or split in another way"
    )


def test_a_key_stands_for_names_and_contents():
    assert BEFORE.key == listed(a="1", b="2", c="3", d="4", e="5").key
    others = [listed(a="1"), listed(b="1"), listed(a="2"), listed(ab="1"), BEFORE]
    assert len({listing.key for listing in others}) == len(others)


def test_a_listing_is_written_once(kept):
    (path,) = kept.iterdir()
    assert path.name == f"files-{BEFORE.key}.json.gz"
    before = path.stat()
    keep_listing(kept, BEFORE)
    assert path.stat().st_mtime_ns == before.st_mtime_ns and path.stat().st_ino == before.st_ino
    assert json.loads(gzip.decompress(path.read_bytes())) == BEFORE.by_name()


def test_names_that_cannot_be_printed_are_kept_and_shown_as_text(tmp_path):
    odd = FileListing(["new\udcff.png", "two\nlines.png"], b"\0" * 2 * DIGEST)
    keep_listing(tmp_path, odd)
    assert "as they were" in changes_since(tmp_path, odd.key, odd)
    said = changes_since(tmp_path, odd.key, FileListing(["two\nlines.png"], b"\1" * DIGEST))
    assert said.endswith(r"(gone: 'new\udcff.png'; changed: 'two\nlines.png')") and said.isprintable()


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", *(gzip.compress(inside, mtime=0) for inside in (b"[1]", b'{"a": 1}', b"{", b"\xff"))],
)
def test_a_damaged_listing_counts_nothing(content, kept):
    (path,) = kept.iterdir()
    path.write_bytes(content)
    assert changes_since(kept, BEFORE.key, BEFORE) is None


def test_a_listing_that_is_cut_or_missing_counts_nothing(kept):
    (path,) = kept.iterdir()
    path.write_bytes(path.read_bytes()[:-12])
    assert changes_since(kept, BEFORE.key, BEFORE) is None
    assert changes_since(kept, "another", BEFORE) is None and changes_since(kept, None, BEFORE) is None


def test_a_listing_that_would_fill_the_memory_is_not_read(kept, monkeypatch):
    monkeypatch.setattr("headstart.store.file_listing.LARGEST_RECORD", 20)
    assert changes_since(kept, BEFORE.key, BEFORE) is None
