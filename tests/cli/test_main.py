"""The command line: what a user can get wrong ends in one to three lines, with nothing written or overwritten."""

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, files_below
from PIL import Image

from headstart.cli import main as cli
from headstart.config import key_of
from headstart.data import sources as data
from headstart.store import locks


@pytest.fixture
def typed(tmp_path, monkeypatch, capfd):
    """`typed(*words)` gives the words to the command in this process, in tmp_path; returns (exit code, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setenv("HEADSTART_SWEEP", "adhoc")
    handler, threads = signal.getsignal(signal.SIGTERM), torch.get_num_threads()

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["headstart", *words])
        capfd.readouterr()
        try:
            code = cli.main() or 0
        except SystemExit as end:
            code = end.code or 0
        return code, capfd.readouterr().err

    yield run
    signal.signal(signal.SIGTERM, handler)
    torch.set_num_threads(threads)


def tiny(*words: str) -> list[str]:
    """Those of TINY that the words leave open, then the words."""
    keys = {key_of(w) for w in words}
    return [*(t for t in TINY if key_of(t) not in keys), *words]


def refused(code: int, text: str, words: str) -> None:
    """Assert a refusal in one to three lines that holds `words` (a regular expression)."""
    assert code == 1, text
    assert "Traceback" not in text
    assert "Error executing job" not in text
    message = text[text.index("headstart: ") :]  # a log line about decoding may stand before it
    assert 1 <= len(message.strip().splitlines()) <= 3, text
    assert re.search(words, text), text


MISTAKES = [
    (["model=resnet81"], r"model=resnet81.*resnet18\?.*cnn, .*resnet18"),
    (["augmentation=crop"], r"augmentation=crop.*crop_flip.*flip_hv.*mixup"),
    (["data=cifar11"], r"data=cifar11.*cifar10"),
    (["experiments=quickstrat"], r"quickstrat.*quickstart\?"),
    (["lr_rate=1"], r"lr_rate=.*batch_size.*lr, "),
    (["epoch=3"], r"epoch=.*Did you mean epochs\?"),
    (["model.weigths=null"], r"model\.weigths.*model\.weights\?.*model\.freeze"),
    (["model.freeze.deeper=1"], r"model\.freeze"),
    (["modle.freeze=none"], r"modle.*Did you mean model\?"),
    (["augmentation=null"], r"augmentation=null is unknown\. Choose from crop_flip"),
    (["-m", "model=cnn,null"], r"model=null is unknown\..*cnn, "),
    (["-m", "search=null"], r"search=null is unknown\. Choose from decades"),
    (["-m", "experiments=null"], r"experiments=null is unknown\."),
    (["-m", "experiments=quickstart.yaml"], r"quickstart\.yaml is unknown\. Did you mean quickstart\?"),
    (["model=cnn.yaml"], r"cnn\.yaml is unknown\. Did you mean cnn\?"),
    (["model={name:cnn}"], r"model=\{name:cnn\} is unknown\.[^?]*cnn, "),
    (["model=[cnn,fan]"], r"model=\[cnn,fan\] is unknown\."),
    (["-m", "model=cnn", "model=resnet18"], r"model is given twice.*model=cnn,resnet18"),
    (["-m", "lr=1e-3", "lr=1e-2"], r"lr is given twice"),
    (["--lr", "1e-3"], r"--lr .*lr=\.\.\."),
    (["--model.weights=imagenet"], r"--model\.weights=imagenet .*model\.weights=\.\.\."),
    (["quickstart"], r"headstart -m experiments=quickstart"),
    (["experiment=quickstart"], r"Did you mean experiments\?.*data, .*experiments, "),
    (["train_size=500"], r"Did you mean data\.train_size\?"),
    (["-m", "model=cnn,fan", "train_size=500"], r"Did you mean data\.train_size\?"),
    (["train_size=500", "learning_rate=1"], r"Did you mean data\.train_size\?"),
    (["freeze=backbone"], r"Did you mean model\.freeze\?"),
    (["learning_rate=1e-3"], r"Did you mean lr\?"),
    (["pretrained=true"], r"Did you mean model\.weights=imagenet\?"),
    (["momentum=0.5"], r"Did you mean optimizer=sgd optimizer\.momentum\?"),
    (["optimizer=sgd", "momentum=0.5"], r"Did you mean optimizer\.momentum\?"),
    (["+epoch=3"], r"epoch=.*Did you mean epochs\?"),
    (["++epoch=3"], r"epoch=.*Did you mean epochs\?"),
    (["model=resnet50"], r"any network of timm.*model=timm model\.name="),
    (["schedule.warmup=0.1"], r"no such setting; choose another by schedule=constant, cosine, onecycle"),
    (["model=logistic_regression", "model.estimator.C=-1"], r"\+model\.estimator\.C=[^?]*LogisticRegression"),
    (["optimizer.betas=0.9"], r"fused, optimizer\.weight_decay.*\+optimizer\.betas=.*torch\.optim\.Adam"),
    (["seed=99999999999999999999"], r"seed=9+ is too large; give .*4294967290"),
    (["-m", "split_seed=4294967296"], r"split_seed=4294967296 is too large"),
    (["threads=100000"], r"threads=100000 is too large; .*1024"),
    (["~lr"], r"lr.*headstart --cfg job"),
    (["lr=${epochss}"], r"epochss.*headstart --cfg job"),
    (["+data.root=${oc.env:NOPE}"], r"'NOPE' not found"),
    (["-m", "+data.root=${oc.env:NOPE}"], r"'NOPE' not found"),
    (["image_size=100000"], r"out of memory \(can't allocate"),
    (["augmentation=crop_flip", "augmentation.padding=big"], r"augmentation\.padding=big"),
    (["optimizer.weight_decay=abc"], r"optimizer\.weight_decay=abc"),
    (["lr=abc"], r"lr=abc.*Float"),
    (["lr=-1"], r"lr=-1.*above 0"),
    (["lr=0"], r"lr=0.*above 0"),
    (["lr="], r"lr=.*"),
    (["lr"], r"'lr'.*key=value"),
    (["lr=1e-3,1e-2"], r"add -m"),
    (["epochs=0"], r"epochs=0.*from 1"),
    (["epochs=1.5"], r"epochs=1.5.*Integer"),
    (["batch_size=0"], r"batch_size=0.*from 1"),
    (["batch_size=101"], r"batch_size=101.*100 training images"),
    (["optimizer.lr=0.1"], r"optimizer\.lr=0\.1.*lr="),
    (["optimizer.weight_decay=-1"], r"weight_decay"),
    (["+optimizer.nonsense=1"], r"nonsense"),
    (["+augmentation.nonsense=1"], r"nonsense"),
    (["+model.nonsense=1"], r"nonsense"),
    (["schedule=cosine", "schedule.warmup=long"], r"schedule"),
    (["data.train_size=100000"], r"data\.train_size=100000.*more than 1110"),
    (["data.train_size=101"], r"data\.train_size=101.*no multiple of 10"),
    (["data.classes=[0,eleven]"], r"no class 'eleven'"),
    (["model=timm"], r"model\.name"),
    (["model=timm", "model.name=resnt18"], r"resnt18.*resnet18"),
    (["model.weights=nofile.pth"], r"nofile\.pth.*does not exist"),
    (["model._target_=os.system"], r"_target_"),
    (["name=../../x"], r"name"),
    (["name='two words'"], r"name"),
    (["arm='<b>'"], r"name"),
    (["phase=confirm"], r"phase=confirm"),
    (["search=tpe"], r"search=tpe belongs to a sweep; add -m"),
    (["budget=quick"], r"budget=quick.*-m"),
    (["n_trials=3"], r"n_trials=3.*-m"),
    (["confirm_seeds=3"], r"confirm_seeds=3.*-m"),
    (["jobs=2"], r"jobs=2.*-m"),
    (["dry_run=true"], r"dry_run=true.*-m"),
    (["lr_low=1e-6"], r"lr_low=1e-6.*-m"),
    (["hydra.sweeper.n_jobs=2"], r"hydra\.sweeper\.n_jobs=2.*-m"),
    (["hydra/sweeper=optuna"], r"hydra/sweeper=optuna.*-m"),
    (["experiments=quickstart"], r"experiments=quickstart.*-m"),
    (["resume=nowhere"], r"resume=nowhere.*no run"),
    (["-m", "resume=nowhere"], r"resume=nowhere.*single run"),
    (["-m", "seed=1,2"], r"seed=1,2.*confirm_seeds"),
    (["-m", "name=../x"], r"name"),
    (["-m", "model=resnet81"], r"model=resnet81"),
    (["-m", "epochs=0"], r"epochs=0"),
    (["data=folder", "data.root=nothere"], r"nothere"),
    (["data=folder", "data.root=pictures"], r"pictures.*holds no folders"),
]
NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is present")


@pytest.mark.parametrize(("words", "expected"), [
    *MISTAKES,
    pytest.param(["device=cuda"], r"device=cuda.*device=cpu", marks=NO_CUDA),
    pytest.param(["device=cuda:99"], r"device=cuda:99", marks=NO_CUDA),
], ids=str)  # fmt: skip
def test_a_mistake_is_explained_and_leaves_nothing(words, expected, typed, tmp_path):
    (tmp_path / "pictures").mkdir()
    given = [t for t in tiny(*words) if not (t == "data.train_size=100" and "data=folder" in words)]
    refused(*typed(*given), expected)
    assert [p.name for p in tmp_path.rglob("*")] == ["pictures"]


def test_values_may_name_what_hydra_knows_of_the_job(typed):
    refused(*typed(*TINY, "data=folder", "+data.root=${hydra:runtime.cwd}/none", "data.train_size=null"), r"/none")


def test_a_process_with_a_mistake_ends_with_code_1_and_three_lines(headstart, tmp_path):
    done = headstart(*TINY, "data.train_size=101")
    refused(done.returncode, done.stderr, "no multiple of 10")
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())


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


CAN_UNSHARE = subprocess.run(["unshare", "-rmn", "true"], capture_output=True, check=False).returncode == 0
needs_unshare = pytest.mark.skipif(not CAN_UNSHARE, reason="unshare is not permitted here")


def isolated(script: str, folder: Path) -> subprocess.CompletedProcess:
    """Run shell lines without network and with their own mounts; H is the command, h that with TINY."""
    command = f'"{sys.executable}" -c "from headstart.cli.main import main; main()"'
    script = f'H() {{ {command} "$@"; }}; h() {{ H {" ".join(TINY)} "$@"; }}\n{script}'
    return subprocess.run(
        ["unshare", "-rmn", "bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300,
    )  # fmt: skip


@needs_unshare
def test_cifar_without_network_says_what_to_put_where(tmp_path):
    done = isolated("h data=cifar10 data.root=data", tmp_path)
    refused(done.returncode, done.stderr, r"(?s)cifar-10-batches-py.*HEADSTART_DATA")
    assert not (tmp_path / "outputs").exists()


def test_a_folder_that_cannot_be_made_is_named(typed, tmp_path):
    (tmp_path / "outputs").write_text("a file in the way")
    refused(*typed(*TINY), r"outputs/runs can't be written")
    assert (tmp_path / "outputs").read_text() == "a file in the way"


@pytest.mark.parametrize("words", [["hydra.run.dir=outputs/mine"], ["-m", "name=mine"]], ids=str)
def test_a_file_where_the_folder_should_be_is_named(words, typed, tmp_path):
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs/mine").write_text("years of work")
    refused(*typed(*TINY, *words), r"outputs/mine is a file")
    assert files_below(tmp_path) == {"outputs/mine": b"years of work"}


@needs_unshare
def test_a_disk_that_cannot_be_written_is_named(tmp_path):
    done = isolated("mkdir disk; mount -t tmpfs -o ro none disk; cd disk; h", tmp_path)
    refused(done.returncode, done.stderr, r"outputs/runs can't be written \(Read-only file system\)")


def test_a_folder_that_holds_something_is_left_as_it_was(typed, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    refused(*typed(*TINY, f"hydra.run.dir={folder}", "data.train_size=101"), "no multiple")
    assert files_below(folder) == {"thesis.txt": b"years of work"}
    (folder / "run.json").write_text("{}")
    refused(*typed(*TINY, f"hydra.run.dir={folder}"), "holds a run already")
    assert set(files_below(folder)) == {"thesis.txt", "run.json"}


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
        cli.main()
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
    counted, read = [], data.Dataset.test
    monkeypatch.setattr(data.Dataset, "test", lambda self: counted.append(1) or read(self))
    name = [f"name=seeds-{expected}"] if words[0] == "-m" else []
    code, text = typed(*tiny("epochs=1", *words, *name))
    assert code == 0, text
    assert len(counted) == expected
    results = [json.loads(p.read_text()) for p in (tmp_path / "outputs").rglob("result.json")]
    assert len(results) == (1 if words[0] != "-m" else 2 + expected)
    assert [r["phase"] for r in results if r["test_reads"]] == ["confirm"] * expected
    stored = [set(np.load(p)) for p in (tmp_path / "outputs").rglob("predictions.npz")]
    assert sum("test_labels" in keys for keys in stored) == expected
