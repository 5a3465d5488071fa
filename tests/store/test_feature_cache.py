"""Features on disk: what is written is read back or refused, waits for nobody in vain, and never fills the disk."""

import ctypes
import errno
import itertools
import json
import logging
import mmap
import os
import resource
import shutil
import sys
import time

import numpy as np
import pytest

from headstart.store import cache_entry, feature_cache
from headstart.store.feature_cache import FeatureCache, NotKept
from headstart.store.locks import acquire, close_locked
from store.helpers_store import FEATURE_FACTS, fill, left, numbers


@pytest.fixture
def kept(tmp_path) -> FeatureCache:
    return FeatureCache(tmp_path / "features", 10**9)


def test_what_is_written_is_read_back_and_cannot_be_written_to(kept):
    assert kept.open("a") is None
    assert fill(kept, "a", numbers())
    entry = kept.open("a")
    assert np.array_equal(entry.array, numbers()) and entry.array.dtype == np.float32
    assert entry.facts.items() >= FEATURE_FACTS.items()
    with pytest.raises(ValueError, match="read-only"):
        entry.array[0] = 1
    assert np.array_equal(np.load(kept.folder / "a" / "features.npy"), numbers())
    assert left(kept) == {"a"}


def test_what_is_there_is_not_written_again(kept):
    fill(kept, "a", numbers())

    def untouched():
        raise AssertionError("computed twice")
        yield

    assert not kept.make("a", untouched(), 100, FEATURE_FACTS)
    assert np.array_equal(kept.open("a").array, numbers())


def flip_a_bit(path, position=-5):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    with open(path, "r+b") as file:  # in place: the inode stays
        file.write(content)


def flip_a_bit_in_secret(path):
    facts = path.stat()
    flip_a_bit(path)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


DAMAGES = {
    "bit flipped": flip_a_bit,
    "bit flipped, time put back": flip_a_bit_in_secret,
    "header": lambda path: flip_a_bit(path, 12),
    "truncated": lambda path: os.truncate(path, path.stat().st_size - 1),
    "longer": lambda path: os.truncate(path, path.stat().st_size + 1),
    "empty": lambda path: os.truncate(path, 0),
    "gone": lambda path: path.unlink(),
    "facts gone": lambda path: (path.parent / "facts.json").unlink(),
    "facts cut": lambda path: os.truncate(path.parent / "facts.json", 20),
    "facts of another kind": lambda path: (path.parent / "facts.json").write_text("[1]"),
    "facts without files": lambda path: (path.parent / "facts.json").write_text('{"files": {}}'),
    "facts without a size": lambda path: (path.parent / "facts.json").write_text(
        '{"files": {"features.npy": {"identity": [], "crc32": 0}}}'
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_refused_with_a_log_line_and_written_again(damage, kept, caplog):
    fill(kept, "a", numbers())
    DAMAGES[damage](kept.folder / "a" / "features.npy")
    assert kept.open("a") is None
    assert "damaged" in caplog.text and "computed again" in caplog.text and "/a is" in caplog.text
    assert ("bytes instead of 4,128" in caplog.text) == (damage in ("truncated", "longer", "empty"))
    assert fill(kept, "a", numbers(seed=1))
    assert np.array_equal(kept.open("a").array, numbers(seed=1))
    assert left(kept) == {"a"}


def test_a_copied_cache_is_used_once_its_checksum_is_found_right(kept, tmp_path, monkeypatch):
    fill(kept, "a", numbers())
    shutil.copytree(kept.folder, tmp_path / "copy")
    copy, sums = FeatureCache(tmp_path / "copy", 10**9), []
    checksum = cache_entry._checksum
    monkeypatch.setattr(cache_entry, "_checksum", lambda path: sums.append(path) or checksum(path))
    for _ in range(2):
        assert np.array_equal(copy.open("a").array, numbers())
    assert len(sums) == 1


def test_a_damaged_entry_is_replaced_while_this_process_still_reads_it(kept):
    fill(kept, "a", numbers())
    before = kept.open("a")
    shutil.rmtree(kept.folder / "a")
    assert fill(kept, "a", numbers(seed=1))  # would wait for ever if readers kept writers out
    assert np.array_equal(before.array, numbers())
    assert np.array_equal(kept.open("a").array, numbers(seed=1))


def test_an_error_while_features_are_computed_leaves_nothing_behind(kept):
    def broken():
        yield numbers(10)
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        kept.make("a", broken(), 100, FEATURE_FACTS)
    assert left(kept) == set()
    with pytest.raises(ValueError, match="10 rows"):
        kept.make("a", iter([numbers(10)]), 100, FEATURE_FACTS)
    assert kept.open("a") is None


def test_a_disk_that_is_full_at_the_very_end_is_an_error_of_the_disk_and_leaves_nothing_behind(kept, monkeypatch):
    """An `OSError`, after which the run goes on without kept features; not a `UserError`, which would end it."""
    synced = []

    def full(descriptor):
        synced.append(descriptor)
        if len(synced) == 2:  # facts.json, after the features
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        fill(kept, "a", numbers())
    assert len(synced) == 2 and left(kept) == set()


def resident(path) -> float:
    """Share of a file's pages that are in memory."""
    library = ctypes.CDLL(None, use_errno=True)
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        pages = -(-len(mapped) // mmap.PAGESIZE)
        marks = (ctypes.c_ubyte * pages)()
        start = ctypes.c_char.from_buffer(mapped)
        assert library.mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(len(mapped)), marks) == 0
        del start
    return sum(mark & 1 for mark in marks) / pages


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reads ahead on demand")
@pytest.mark.parametrize("fits", [True, False])
def test_a_file_that_is_not_in_memory_is_read_in_one_go_if_it_fits(fits, kept, monkeypatch):
    fill(kept, "a", large())
    path = kept.folder / "a" / "features.npy"
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if resident(path) > 0.5:
        pytest.skip("this file system keeps everything in memory")
    entry = kept.open("a")
    if not fits:
        monkeypatch.setattr(feature_cache, "_free_memory", lambda: SIZE)
    entry.read_ahead()
    assert (resident(path) == 1) == fits
    assert (entry.array == 0).all()


# ---- room

SIZE = 4 * 10**6  # bytes of `large`; blocks and facts come on top


def large(seed: int = 0) -> np.ndarray:
    return np.full((10, SIZE // 40), seed, np.float32)


def test_the_entry_not_used_for_longest_makes_room(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    kept = FeatureCache(tmp_path / "features", int(3.5 * SIZE))
    for moment, name in enumerate("abc"):
        fill(kept, name, large())
        os.utime(kept.folder / name / "facts.json", (moment, moment))
    kept.open("a")  # the oldest, but used now
    assert fill(kept, "d", large())
    assert left(kept) == {"a", "c", "d"}
    assert "not used for the longest time" in caplog.text


def test_what_somebody_uses_stays_and_nothing_is_removed_in_vain(tmp_path):
    kept = FeatureCache(tmp_path / "features", int(3.5 * SIZE))
    for name in "abc":
        fill(kept, name, large())
    held = [kept.open("a"), kept.open("b")]
    with pytest.raises(NotKept, match=r"need 8 MB, and .* can be had .*HEADSTART_CACHE_GB=0.014"):
        fill(kept, "d", large(), copies=2)
    assert left(kept) == {"a", "b", "c"}
    assert fill(kept, "d", large())
    assert left(kept) == {"a", "b", "d"}
    del held
    assert fill(kept, "e", np.concatenate([large(), large()], 1))
    assert left(kept) <= {"a", "b", "d", "e"} and {"e"} < left(kept)


def test_an_entry_larger_than_the_limit_is_refused_before_it_is_computed(tmp_path):
    kept, asked = FeatureCache(tmp_path / "features", SIZE // 2), []

    def blocks():
        for number in range(10):
            asked.append(number)
            yield large()[:1]

    with pytest.raises(NotKept):
        kept.make("a", blocks(), 10, FEATURE_FACTS)
    assert asked == [0]
    assert left(kept) == set()


def test_at_most_half_of_the_free_disk_is_taken(tmp_path, monkeypatch):
    kept = FeatureCache(tmp_path / "features", 10**9)
    for free, fits in ((SIZE * 2 - 10, False), (SIZE * 2 + 10_000, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: shutil._ntuple_diskusage(10**10, 0, free))
        if fits:
            assert fill(kept, "a", large())
        else:
            with pytest.raises(NotKept, match="half of the disk's free space"):
                fill(kept, "a", large())


def test_a_disk_that_has_less_than_it_says_is_found_out_before_anything_is_computed(tmp_path):
    kept = FeatureCache(tmp_path / "features", 10**9)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 2, before[1]))
    try:
        with pytest.raises(NotKept, match="disk has no 4 MB left"):
            fill(kept, "a", large())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert left(kept) == set()


def test_features_being_written_count_and_leftovers_of_the_dead_do_not(tmp_path):
    kept = FeatureCache(tmp_path / "features", int(2.5 * SIZE))
    for name in ("alive", "dead"):
        scratch = kept.folder / f".{name}.unfinished"
        scratch.mkdir(parents=True)
        (scratch / "features.npy").write_bytes(bytes(SIZE))
    lock = acquire(kept.folder / ".alive.lock")
    try:
        assert fill(kept, "a", large())
        assert left(kept) == {"a", ".alive.unfinished"}
        held = kept.open("a")
        with pytest.raises(NotKept):
            fill(kept, "b", large())
        assert np.array_equal(held.array, large())
    finally:
        close_locked(lock)
    assert fill(kept, "b", large())
    assert left(kept) == {"a", "b"}


# ---- many at once


def test_processes_that_make_remove_and_read_at_random_never_see_half_an_entry(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    kept = FeatureCache(tmp_path / "features", int(2.5 * SIZE))
    kept.folder.mkdir()

    def work(seed: int) -> int:
        random, found = np.random.default_rng(seed), 0
        for _ in range(15):
            name = "abcd"[random.integers(4)]
            if random.random() < 0.3:
                kept.remove(name)
                continue
            try:
                fill(kept, name, large(ord(name)))
            except NotKept:
                continue
            entry = kept.open(name)
            if entry is not None:
                assert (entry.array == ord(name)).all()
                found += 1
        return found

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) > 0
    assert left(kept) <= set("abcd")


def test_every_waiting_maker_says_so_once(kept):
    from threading import Event, Thread

    begun, go, said = Event(), Event(), []

    def blocks():
        begun.set()
        go.wait(10)
        yield numbers()

    first = Thread(target=lambda: kept.make("a", blocks(), 100, FEATURE_FACTS))
    first.start()
    begun.wait(10)
    second = Thread(target=lambda: said.append(fill(kept, "a", numbers(), waiting=lambda: said.append("waiting"))))
    second.start()
    for _ in itertools.repeat(None, 500):
        if said:
            break
        time.sleep(0.01)
    go.set()
    first.join()
    second.join()
    assert said == ["waiting", False]


@pytest.mark.parametrize("content", ["{", "[1]", '{"images": "x"}', "[" * 5000 + "]" * 5000], ids=lambda text: text[:5])
def test_an_entry_whose_facts_are_damaged_is_listed_as_unreadable(content, kept):
    fill(kept, "a", numbers())
    facts = json.dumps(FEATURE_FACTS | json.loads(content)) if "images" in content else content
    (kept.folder / "a" / "facts.json").write_text(facts)
    (entry,) = kept.entries()
    assert feature_cache.describe_features(entry.facts) == "unreadable features"
