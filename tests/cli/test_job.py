"""A job: refused files leave nothing, runs go on to the same bytes, and the test split is read where it may."""

import json
import os
import pickle
import re
import shutil
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, files_below
from data.helpers_data import make_tree
from PIL import Image

from cli.helpers_cli import isolated, needs_unshare, refused, tiny
from headstart.cli.main import main
from headstart.data import Dataset
from headstart.store import locks
from headstart.training import prepare

# ---- files that are not what they should be


def test_weights_files_that_are_not_what_they_should_be_are_refused(typed, tmp_path):
    class Code:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    (tmp_path / "code.pth").write_bytes(pickle.dumps(Code()))
    torch.save({"weight": Code()}, tmp_path / "more.pth")
    torch.save({"other.weight": torch.zeros(3)}, tmp_path / "other.pth")
    (tmp_path / "half.pth").write_bytes((tmp_path / "other.pth").read_bytes()[:200])
    (tmp_path / "empty.safetensors").touch()
    before = files_below(tmp_path)
    for name in ("code.pth", "more.pth", "other.pth", "half.pth", "empty.safetensors"):
        refused(*typed(*TINY, f"model.weights={name}"), re.escape(name))
    assert files_below(tmp_path) == before
    assert not (tmp_path / "executed").exists()


def picture_tree(root: Path, parts=("train", "test"), classes=("cat", "dog"), each: int = 12) -> Path:
    for number, (part, name) in enumerate((p, c) for p in parts for c in classes):
        (root / part / name).mkdir(parents=True)
        for n in range(each):
            Image.new("RGB", (16, 16), (20 * n, 60 * number, 7)).save(root / part / name / f"{n}.png")
    return root


def test_a_refused_run_takes_its_own_folder_away_and_not_the_one_where_it_was_typed(typed, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    code, text = typed(*tiny("model.weights=missing.safetensors", "hydra.run.dir=run"))
    refused(code, text, "does not exist")
    assert (tmp_path / "empty").is_dir() and not list((tmp_path / "empty").iterdir())


def test_image_folders_that_are_not_what_they_should_be_are_refused(typed, tmp_path):
    words = ["data=folder", "data.size=16", "data.cache=cache", "epochs=1", "threads=1", "batch_size=4"]
    one = picture_tree(tmp_path / "one", classes=("cat",))
    refused(*typed(*words, f"data.root={one}"), "class")
    lacking = picture_tree(tmp_path / "lacking")
    shutil.rmtree(lacking / "test" / "dog")
    refused(*typed(*words, f"data.root={lacking}"), "dog")
    text = picture_tree(tmp_path / "text")
    (text / "train/cat/notes.png").write_text("not a picture")
    refused(*typed(*words, f"data.root={text}"), r"notes\.png")
    cut = picture_tree(tmp_path / "cut")
    (cut / "train/dog/3.png").write_bytes((cut / "train/dog/3.png").read_bytes()[:40])
    refused(*typed(*words, f"data.root={cut}"), r"3\.png")
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("content", [b"", b"truncated", b"x" * 1000])
def test_cifar_files_that_are_damaged_are_refused_and_left_alone(content, typed, tmp_path):
    folder = tmp_path / "data/cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in ("batches.meta", "test_batch", *(f"data_batch_{n}" for n in range(1, 6))):
        (folder / name).write_bytes(content)
    before = files_below(folder)
    code, text = typed("data.root=data", "data.download=false", "threads=1", "epochs=1")
    refused(code, text, "data_batch_1|batches.meta")
    assert files_below(folder) == before
    assert not (tmp_path / "outputs").exists()


@needs_unshare
def test_cifar_without_network_says_what_to_put_where(tmp_path):
    done = isolated("h data=cifar10 data.root=data", tmp_path)
    refused(done.returncode, done.stderr, r"(?s)cifar-10-batches-py.*HEADSTART_DATA")
    assert not (tmp_path / "outputs").exists()


# ---- runs that end, stop and go on


def once(typed, tmp_path, *words: str) -> Path:
    """Run to the end in tmp_path/run and return that folder."""
    code, text = typed(*TINY, "hydra.run.dir=run", *words)
    assert code == 0, text
    return tmp_path / "run"


def test_resume_refuses_what_has_ended_and_what_would_change_the_run(typed, tmp_path):
    run = once(typed, tmp_path)
    refused(*typed(f"resume={run}"), r"ended already \(COMPLETE\)")
    (run / "result.json").unlink()  # as if it had been killed before its last write
    before = files_below(run)
    refused(*typed(f"resume={run}", "lr=0.5"), r"lr=0\.5 would change it")
    refused(*typed(f"resume={run}", "model=resnet18"), r"would change it")
    assert files_below(run) == before
    assert typed(f"resume={run}", "keep=all")[0] == 0
    assert (run / "result.json").exists()
    assert not (tmp_path / "outputs").exists()


def test_resume_refuses_changed_pictures_and_counts_them(typed, tmp_path):
    root = make_tree(tmp_path / "pictures", {"cat": 40, "dog": 40})
    words = ["data=folder", "data.size=16", "data.cache=cache", f"data.root={root}", "data.train_size=null"]
    run = once(typed, tmp_path, *words, "batch_size=4")
    assert len(list(run.glob("files-*.json.gz"))) == 1
    (run / "result.json").unlink()
    (root / "cat/003.png").unlink()
    Image.new("RGB", (16, 16), (9, 9, 9)).save(root / "dog/004.png")
    prepare._dataset.cache_clear()  # as in a new process
    said = r"run began with other pictures \(data_sha256 .*\): 0 added, 1 gone, 1 changed of 80 files "
    refused(*typed(f"resume={run}"), said + r"\(gone: cat/003\.png; changed: dog/004\.png\); put them back")


def test_resume_refuses_a_changed_test_picture(typed, tmp_path):
    root = make_tree(tmp_path / "pictures", {"train/cat": 40, "train/dog": 40, "test/cat": 8, "test/dog": 8})
    words = ["data=folder", "data.size=16", "data.cache=cache", f"data.root={root}", "data.train_size=null"]
    run = once(typed, tmp_path, *words, "batch_size=4")
    (run / "result.json").unlink()
    Image.new("RGB", (16, 16), (9, 9, 9)).save(root / "test/dog/004.png")
    prepare._dataset.cache_clear()  # as in a new process
    said = r"run began with other test pictures \(data_test_sha256 .*\): 0 added, 0 gone, 1 changed of 96 files "
    refused(*typed(f"resume={run}"), said + r"\(changed: test/dog/004\.png\); put them back")


def test_two_processes_never_do_the_same_run(typed, tmp_path):
    run = once(typed, tmp_path)
    (run / "result.json").unlink()
    before = {name: (run / name).read_bytes() for name in SAME}
    with locks.holding_lock(run / ".running"):  # as by one that got there first, while this one was starting
        refused(*typed(f"resume={run}"), r"going on in another process")
    assert all((run / name).read_bytes() == content for name, content in before.items())
    assert not (run / "result.json").exists()
    assert typed(f"resume={run}")[0] == 0


def test_resume_refuses_what_is_no_run_of_headstart(typed, tmp_path):
    def folder(name: str, **files: str) -> str:
        (tmp_path / name / ".hydra").mkdir(parents=True)
        for kind in ("config", "overrides", "hydra"):
            (tmp_path / name / ".hydra" / f"{kind}.yaml").write_text(files.get(kind, "{}"))
        return f"resume={name}"

    refused(*typed(folder("broken", config="a: [")), r"config\.yaml")
    refused(*typed(folder("foreign", config="db: {driver: mysql}", overrides="[db=mysql]")), r"no run of headstart")
    (tmp_path / "study").mkdir()
    (tmp_path / "study/study.json").write_text('{"command": "headstart -m experiments=quickstart"}')
    refused(*typed("resume=study"), r"study.* again: headstart -m experiments=quickstart$")


def test_weights_with_a_flipped_bit_are_refused(typed, tmp_path):
    weights = once(typed, tmp_path) / "best.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1000] ^= 1
    weights.write_bytes(content)
    refused(*typed(*TINY, f"model.weights={weights}"), r"(?i)damaged|sha-?256")


def forked(folder: Path, *words: str) -> tuple[int, Path]:
    """Start the command in a process of its own that has torch already; returns its id and where stderr goes."""
    said = folder / "stderr.txt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads: the child's torch uses one
        child = os.fork()
    if child:
        return child, said
    code = 70
    try:
        sys.stderr = open(said, "w", buffering=1)  # noqa: SIM115 (the process ends with it)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = ["headstart", *words]
        main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    finally:
        os._exit(code)


def wait_for(said: Path, pattern: str) -> None:
    """Wait until the file holds the pattern."""
    for _ in range(6000):
        if said.exists() and re.search(pattern, said.read_text()):
            return
        time.sleep(0.01)
    pytest.fail(f"no {pattern} in {said.read_text()}")


SAME = ("best.safetensors", "predictions.npz")


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_process_goes_on_to_the_same_bytes(sent, code, typed, tmp_path):
    words = [*TINY, "epochs=9", "augmentation=crop_flip", "hydra.run.dir=stopped"]
    child, said = forked(tmp_path, *words)
    wait_for(said, r"epoch [2-5]/9")
    os.kill(child, sent)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code
    if sent != signal.SIGKILL:
        assert re.search(r"headstart resume=\S*stopped to go on", said.read_text()), said.read_text()
        assert "Traceback" not in said.read_text()
    assert not (tmp_path / "stopped/result.json").exists()
    code, text = typed("resume=stopped")
    assert code == 0, text
    once(typed, tmp_path, "epochs=9", "augmentation=crop_flip")
    for name in SAME:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()


@needs_unshare
def test_a_full_disk_costs_nothing_that_was_finished(typed, tmp_path):
    # A checkpoint has 18 MB: one fits, writing the second fails, some epochs later.
    done = isolated(
        "mkdir disk; mount -t tmpfs -o size=28M none disk; h epochs=50 hydra.run.dir=disk/run 1>&2; echo code $?\n"
        "ls disk/run; mount -o remount,size=200M disk; H resume=disk/run 1>&2; echo code $?; cp -r disk/run full",
        tmp_path,
    )
    assert [line for line in done.stdout.splitlines() if line.startswith("code")] == ["code 1", "code 0"], done.stderr
    assert "last.ckpt.tmp" not in done.stdout
    assert "disk full" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(re.findall("going on after epoch 1 ", done.stderr)) == 1
    once(typed, tmp_path, "epochs=50")
    for name in SAME:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "full" / name).read_bytes()


# ---- the test split


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["phase=search"], 0),
        (["-m", "hydra/sweeper=optuna", "n_trials=2", "search=random", "lr=tag(log,interval(1e-4,1e-2))"], 0),
        (["-m", "n_trials=2", "confirm_seeds=0", "search=random"], 0),
        (["-m", "n_trials=2", "confirm_seeds=2", "search=random"], 2),
    ],
    ids=str,
)
def test_only_single_runs_and_confirmations_read_the_test_split(words, expected, typed, tmp_path, monkeypatch):
    counted, read = [], Dataset.test
    monkeypatch.setattr(Dataset, "test", lambda self: counted.append(1) or read(self))
    name = [f"name=seeds-{expected}"] if words[0] == "-m" else []
    code, text = typed(*tiny("epochs=1", *words, *name))
    assert code == 0, text
    assert len(counted) == expected
    results = [json.loads(p.read_text()) for p in (tmp_path / "outputs").rglob("result.json")]
    assert len(results) == (1 if words[0] != "-m" else 2 + expected)
    assert [r["phase"] for r in results if r["test_reads"]] == ["confirm"] * expected
    stored = [set(np.load(p)) for p in (tmp_path / "outputs").rglob("predictions.npz")]
    assert sum("test_labels" in keys for keys in stored) == expected
