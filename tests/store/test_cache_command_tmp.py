"""headstart-cache lists and clears what is kept."""

import os
import sys
import time

import numpy as np
import pytest

from headstart.cli import cache as cache_command
from headstart.store import FeatureCache, shown_size, size_on_disk
from store.helpers_store import fill, left, numbers


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """`command(*words)` runs headstart-cache on three entries, `old` of 40 days ago, and returns what it says."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    kept = FeatureCache(tmp_path / "features", 10**9)
    for name in ("new", "held", "old"):
        fill(kept, name, numbers())
    os.utime(kept.folder / "old" / "facts.json", (time.time() - 40 * 86_400,) * 2)

    def run(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["headstart-cache", *words])
        cache_command.main()
        return capsys.readouterr().out

    run.kept = kept
    return run


def test_the_list_says_what_how_large_and_when_used(command, tmp_path):
    decoded = tmp_path / "folder-1234"
    decoded.mkdir()
    (decoded / "images.npy").write_bytes(bytes(2_000_000))
    (command.kept.folder / "broken").mkdir()
    (command.kept.folder / "notes.txt").write_text("not ours")
    (command.kept.folder / ".half.unfinished").mkdir()
    (command.kept.folder / ".half.unfinished" / "features.npy").write_bytes(bytes(5_000_000))
    entry = command.kept.open("held")
    lines = command().splitlines()
    assert len([line for line in lines if line.startswith("cnn at 32 px in fp32, 100 images, as they are")]) == 3
    assert [line.endswith("in use") for line in lines[:3]] == [True, False, False]
    assert "used 40 days ago" in "".join(lines[2:4]) and "used just now" in lines[0]
    assert any(line.startswith("unreadable") for line in lines)
    size = shown_size(sum(size_on_disk(command.kept.folder / name) for name in ("new", "held", "old")))
    assert f"4 entries, {size} of 20 GB at most, in {tmp_path}/features" in lines
    assert lines[-2].startswith("decoded pictures beside them, 2 MB") and lines[-1].strip() == str(decoded)
    assert "1 entry more being written, 5 MB" in lines
    assert entry is not None


def test_clear_removes_what_is_old_and_not_in_use(command):
    entry = command.kept.open("held")
    assert command("clear", "--older-than", "30").startswith("removed 1 entry, ")
    assert left(command.kept) == {"new", "held"}
    assert "removed 1 entry" in (said := command("clear")) and "left 1 in use" in said
    assert left(command.kept) == {"held"}
    assert np.array_equal(entry.array, numbers())
    del entry
    command("clear")
    assert [path.name for path in command.kept.folder.iterdir()] == [".room.lock"]
    assert command("list").startswith("0 entries")


@pytest.mark.parametrize("days", ["-1", "soon", "nan", "inf"])
def test_days_that_are_none_are_refused(days, command, capsys):
    with pytest.raises(SystemExit):
        command("clear", "--older-than", days)
    assert "--older-than" in capsys.readouterr().err
    assert left(command.kept) == {"new", "held", "old"}
