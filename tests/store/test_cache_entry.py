"""An entry is there as a whole or not at all, also when the process that writes it is killed."""

import json
import random
import time

import numpy as np
import pytest

from headstart.store.cache_entry import DamagedEntry, make_entry, read_entry, seal_entry, write_array
from store.helpers_store import kill, mutated, python

ARRAY = np.arange(3000, dtype=np.float64).reshape(100, 30)


def write(folder):
    write_array(folder / "x.npy", np.array_split(ARRAY, 7), ARRAY.dtype, ARRAY.shape)
    seal_entry(folder, ["x.npy"], dict(about="numbers", count=100))


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "|u1", "<u2", "|b1"])
@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 2, 4)])
def test_an_array_is_written_as_numpy_writes_it(dtype, shape, tmp_path):
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    reserved = []

    def reserve(descriptor, size):
        reserved.append(size)

    written = write_array(tmp_path / "x.npy", [array[:2], array[2:4], array[4]], array.dtype, shape, reserve)
    found = np.load(tmp_path / "x.npy")
    assert found.dtype == array.dtype and np.array_equal(found, array)
    assert written == array.nbytes and reserved == [(tmp_path / "x.npy").stat().st_size]


def test_an_entry_holds_the_array_and_what_is_known_about_it(tmp_path):
    assert read_entry(tmp_path / "a", "x.npy") is None
    assert make_entry(tmp_path / "a", "x.npy", write)
    entry = read_entry(tmp_path / "a", "x.npy")
    assert np.array_equal(entry.array, ARRAY) and isinstance(entry.array, np.memmap)
    assert entry.path == tmp_path / "a" / "x.npy"
    assert entry.facts.items() >= dict(about="numbers", count=100).items()
    assert not make_entry(tmp_path / "a", "x.npy", lambda folder: pytest.fail("made twice"))


@pytest.mark.parametrize("name", ["x.npy", "facts.json"])
def test_200_damaged_entries_are_refused_or_say_what_was_written(name, tmp_path):
    rng = random.Random(3)
    make_entry(tmp_path / "a", "x.npy", write)
    file = tmp_path / "a" / name
    whole, refused = file.read_bytes(), 0
    for _ in range(200):
        damaged = mutated(whole, rng)
        file.write_bytes(damaged)
        try:
            found = read_entry(tmp_path / "a", "x.npy")
        except DamagedEntry as error:
            assert str(error)
            refused += 1
        else:
            assert np.array_equal(found.array, ARRAY)
        file.write_bytes(whole)
    assert refused > 100


def test_a_file_that_its_facts_do_not_name_is_not_trusted(tmp_path):
    make_entry(tmp_path / "a", "x.npy", write)
    (tmp_path / "a" / "facts.json").write_text(json.dumps(dict(files={})))
    with pytest.raises(DamagedEntry, match=r"facts\.json says nothing of x\.npy"):
        read_entry(tmp_path / "a", "x.npy")


@pytest.mark.parametrize("name", ["x.npy", "facts.json"])
def test_a_folder_in_place_of_a_file_is_damage(name, tmp_path):
    make_entry(tmp_path / "a", "x.npy", write)
    (tmp_path / "a" / name).unlink()
    (tmp_path / "a" / name).mkdir()
    with pytest.raises(DamagedEntry):
        read_entry(tmp_path / "a", "x.npy")
    assert make_entry(tmp_path / "a", "x.npy", write)
    assert np.array_equal(read_entry(tmp_path / "a", "x.npy").array, ARRAY)


MAKE_FOR_EVER = """
import shutil, sys
from pathlib import Path
import numpy as np
from headstart.store.cache_entry import make_entry, seal_entry, write_array
def write(folder):
    array = np.arange(200_000.0)
    write_array(folder / "x.npy", np.array_split(array, 20), array.dtype, array.shape)
    seal_entry(folder, ["x.npy"], {})
folder = Path(sys.argv[1]) / "a"
print("started", flush=True)
while True:
    make_entry(folder, "x.npy", write)
    folder.rename(folder.with_name("gone"))
    shutil.rmtree(folder.with_name("gone"))
"""


def test_a_process_killed_at_a_random_moment_leaves_nothing_or_all_of_it(tmp_path):
    rng, inside = random.Random(0), 0
    for number in range(8):
        cache = tmp_path / str(number)
        process = python(MAKE_FOR_EVER, cache)
        assert process.stdout.readline() == "started\n"
        time.sleep(0.05 + rng.uniform(0, 0.05))
        kill(process)
        inside += (cache / ".a.unfinished").exists()
        entry = read_entry(cache / "a", "x.npy")
        assert entry is None or np.array_equal(entry.array, np.arange(200_000.0))
        make_entry(cache / "a", "x.npy", write)
        assert {path.name for path in cache.iterdir()} - {"gone"} == {".a.lock", "a"}
    assert inside
