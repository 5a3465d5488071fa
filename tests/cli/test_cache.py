"""`headstart cache`: what it lists, and that it removes what is old and nobody uses."""

import os
import time

import numpy as np
import pytest

from headstart.store import FeatureCache, shown_size, size_on_disk

FACTS = dict(model="cnn", image_size=32, precision="fp32", images=100, flip="as they are")
FEATURES = np.random.default_rng(0).normal(size=(100, 20)).astype("float32")


def names(kept: FeatureCache) -> set[str]:
    return {path.name for path in kept.folder.iterdir() if path.is_dir()}


@pytest.fixture
def kept(tmp_path, monkeypatch) -> FeatureCache:
    """Three entries, `old` of 40 days ago."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    kept = FeatureCache(tmp_path / "features", 10**9)
    for name in ("new", "held", "old"):
        kept.make(name, iter([FEATURES]), len(FEATURES), FACTS)
    os.utime(kept.folder / "old" / "facts.json", (time.time() - 40 * 86_400,) * 2)
    return kept


@pytest.fixture
def cache(command, kept):
    """`cache(*words)` is `headstart cache` with these words; returns what it prints."""

    def run(*words: str) -> str:
        code, printed, text = command("cache", *words)
        assert (code, text) == (0, "")
        return printed

    return run


def test_the_list_says_what_how_large_and_when_used(cache, kept, tmp_path):
    decoded = tmp_path / "folder-1234"
    decoded.mkdir()
    (decoded / "images.npy").write_bytes(bytes(2_000_000))
    (kept.folder / "broken").mkdir()
    (kept.folder / "notes.txt").write_text("not ours")
    (kept.folder / ".half.unfinished").mkdir()
    (kept.folder / ".half.unfinished" / "features.npy").write_bytes(bytes(5_000_000))
    entry = kept.open("held")
    lines = cache().splitlines()
    assert len([line for line in lines if line.startswith("cnn at 32 px in fp32, 100 images, as they are")]) == 3
    assert [line.endswith("in use") for line in lines[:3]] == [True, False, False]
    assert "used 40 days ago" in "".join(lines[2:4]) and "used just now" in lines[0]
    assert any(line.startswith("unreadable") for line in lines)
    size = shown_size(sum(size_on_disk(kept.folder / name) for name in ("new", "held", "old")))
    assert f"4 entries, {size} of 20 GB at most, in {tmp_path}/features" in lines
    assert lines[-2].startswith("decoded pictures beside them, 2 MB") and lines[-1].strip() == str(decoded)
    assert "1 entry more being written, 5 MB" in lines
    assert entry is not None


def test_clear_removes_what_is_old_and_not_in_use(cache, kept):
    entry = kept.open("held")
    assert cache("clear", "--older-than", "30").startswith("removed 1 entry, ")
    assert names(kept) == {"new", "held"}
    assert "removed 1 entry" in (said := cache("clear")) and "left 1 in use" in said
    assert names(kept) == {"held"}
    assert np.array_equal(entry.array, FEATURES)
    del entry
    cache("clear")
    assert [path.name for path in kept.folder.iterdir()] == [".room.lock"]
    assert cache("list").startswith("0 entries")


@pytest.mark.parametrize("days", ["-1", "soon", "nan", "inf"])
def test_days_that_are_none_are_refused(days, command, kept):
    code, printed, text = command("cache", "clear", "--older-than", days)
    assert (code, printed) == (2, "") and "headstart cache clear: error" in text and "--older-than" in text
    assert names(kept) == {"new", "held", "old"}


def test_a_place_that_is_none_is_a_sentence(command, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE_GB", "large")
    code, printed, text = command("cache")
    assert (code, printed) == (1, "") and text.startswith("headstart cache: HEADSTART_CACHE_GB=large")
