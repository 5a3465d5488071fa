"""Pictures that processes share: written once, checked, and written again where they are no longer what they were."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from headstart.store import cache_entry
from headstart.store.image_cache import shared_images, write_facts, write_images

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3), np.uint8)
LABELS = np.arange(20)


def write(folder):
    write_images(folder, [IMAGES[:7], IMAGES[7], IMAGES[8:]], IMAGES.shape)
    write_facts(folder, labels=LABELS, names=np.array(["cat", "dog"]))


@pytest.fixture
def read(tmp_path):
    """`read()` returns the entry "a" and says in `read.made` how often it was written."""

    def counted(folder):
        read.made += 1
        write(folder)

    def read():
        return shared_images(tmp_path, "a", counted)

    read.made = 0
    return read


def test_pictures_and_what_belongs_to_them_come_back_mapped_and_are_written_once(read):
    for _ in range(2):
        kept = read()
        assert isinstance(kept.images, np.memmap) and np.array_equal(kept.images, IMAGES)
        assert np.array_equal(kept.facts["labels"], LABELS) and kept.facts["names"].tolist() == ["cat", "dog"]
        with pytest.raises(ValueError, match="read-only"):
            kept.images[0] = 1
    assert read.made == 1


def test_a_second_start_reads_no_picture(read, monkeypatch):
    read()
    monkeypatch.setattr(cache_entry, "_checksum", lambda path: pytest.fail(f"{path} was read whole"))
    assert np.array_equal(read().images, IMAGES)


@pytest.mark.parametrize("name", ["images.npy", "facts.npz", "facts.json"])
@pytest.mark.parametrize("damage", ["truncated", "removed", "flipped"])
def test_a_damaged_entry_is_named_and_made_again(name, damage, tmp_path, read, caplog):
    before = read()
    path = tmp_path / "a" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if name != "facts.json" else 0] ^= 4
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(content if damage == "flipped" else content[:100])
    again = read()
    assert read.made == 2 and np.array_equal(again.images, IMAGES) and np.array_equal(again.facts["labels"], LABELS)
    assert f"{tmp_path}/a is damaged" in caplog.text and "decoding the pictures again" in caplog.text
    if damage == "removed":
        assert np.array_equal(before.images, IMAGES)  # what was mapped stays mapped
    caplog.clear()
    read()
    assert read.made == 2 and not caplog.text


def test_leftovers_of_a_killed_process_are_removed(tmp_path, read):
    (tmp_path / ".a.unfinished").mkdir()
    (tmp_path / ".a.unfinished" / "images.npy").write_bytes(b"half")
    assert np.array_equal(read().images, IMAGES)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.lock", "a"]


def test_what_cannot_be_read_now_is_not_taken_for_damaged(tmp_path, read, monkeypatch):
    read()
    before = (tmp_path / "a" / "images.npy").stat().st_ino
    with monkeypatch.context() as patch:
        patch.setattr(np, "load", lambda *a, **k: (_ for _ in ()).throw(OSError(12, "Cannot allocate memory")))
        with pytest.raises(OSError, match="Cannot allocate memory"):
            read()
    assert (tmp_path / "a" / "images.npy").stat().st_ino == before and read.made == 1


def test_a_copy_that_can_only_be_read_is_used(tmp_path, read, monkeypatch):
    read()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    before = (tmp_path / "b" / "facts.json").read_bytes()

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("headstart.store.files.acquire", refused)
    kept = shared_images(tmp_path, "b", lambda folder: pytest.fail("decoded again"))
    assert np.array_equal(kept.images, IMAGES)
    assert (tmp_path / "b" / "facts.json").read_bytes() == before


def test_an_error_while_pictures_are_decoded_leaves_nothing_behind(tmp_path):
    def broken(folder):
        write_images(folder, [IMAGES], IMAGES.shape)
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        shared_images(tmp_path, "a", broken)
    assert os.listdir(tmp_path) == [".a.lock"]


def test_fewer_pictures_than_were_announced_are_no_entry(tmp_path):
    def short(folder):
        write_images(folder, [IMAGES[:3]], IMAGES.shape)
        write_facts(folder, labels=LABELS)

    with pytest.raises(OSError, match="a does not hold what was written to it"):
        shared_images(tmp_path, "a", short)


def test_processes_that_start_at_once_decode_once(tmp_path):
    script = """
import sys, time
from pathlib import Path
from store.test_image_cache import write
from headstart.store import shared_images
def slowly(folder):
    print("decoding")
    time.sleep(0.5)
    write(folder)
print(int(shared_images(Path(sys.argv[1]), "a", slowly).images.sum()))
"""
    words = [sys.executable, "-c", script, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(3)]
    said = [process.communicate(timeout=60)[0].split() for process in processes]
    assert sorted(len(words) for words in said) == [1, 1, 2]
    assert {words[-1] for words in said} == {str(int(IMAGES.sum()))}
