"""The command: what a user can get wrong ends in one to three lines, with nothing written or overwritten."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
from conftest import TINY
from helpers_runs import make_study

import headstart as hs
from cli.helpers_cli import refused, tiny
from headstart.cli.verbs import VERBS
from headstart.sweep import ArmsSweeper

NAMES = [verb.name for verb in VERBS]

NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is present")
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
    (["--lr", "1e-3"], r"--lr 1e-3: .*Did you mean headstart .*lr=1e-3\?"),
    (["--model.weights=imagenet"], r"--model\.weights=imagenet: .*Did you mean .*model\.weights=imagenet\?"),
    (["quickstart"], r"headstart -m experiments=quickstart"),
    (["experiment=quickstart"], r"experiment is called experiments here\. Did you mean .* experiments=quickstart\?"),
    (["train_size=500"], r"Did you mean .* data\.train_size=500\?"),
    (["-m", "model=cnn,fan", "train_size=500"], r"Did you mean .* data\.train_size=500\?"),
    (["train_size=500", "learning_rate=1"], r"Did you mean .* data\.train_size=500 lr=1\?"),
    (["freeze=backbone"], r"Did you mean .* model\.freeze=backbone\?"),
    (["learning_rate=1e-3"], r"Did you mean .* lr=1e-3\?"),
    (["pretrained=true"], r"Did you mean model\.weights=imagenet\?"),
    (["momentum=0.5"], r"Did you mean optimizer=sgd optimizer\.momentum\?"),
    (["optimizer=sgd", "momentum=0.5"], r"Did you mean optimizer\.momentum\?"),
    (["+epoch=3"], r"epoch=.*Did you mean epochs\?"),
    (["++epoch=3"], r"epoch=.*Did you mean epochs\?"),
    (["model=resnet50"], r"a network of timm.*model=timm model\.name=resnet50\?"),
    (["model=zzz"], r"any network of timm.*model=timm model\.name="),
    (["schedule.warmup=0.1"], r"no such setting; choose another by schedule=constant, cosine, onecycle"),
    (["model=logistic_regression", "model.estimator.C=-1"], r"\+model\.estimator\.C=[^?]*LogisticRegression"),
    (["optimizer.betas=0.9"], r"fused, optimizer\.weight_decay.*\+optimizer\.betas=.*torch\.optim\.Adam"),
    (["seed=99999999999999999999"], r"seed=9+: expected a whole number from 0 to 4294967295"),
    (["-m", "split_seed=4294967296"], r"split_seed=4294967296: expected a whole number from 0 to"),
    (["threads=100000"], r"threads=100000: expected a whole number from 1 to 1024"),
    (["~lr"], r"~lr: a run has every key; for none write lr=null"),
    (["lr=${epochss}"], r"epochss.*headstart --cfg job"),
    (["+data.root=${oc.env:NOPE}"], r"'NOPE' not found"),
    (["-m", "+data.root=${oc.env:NOPE}"], r"'NOPE' not found"),
    (["image_size=100000"], r"image_size=100000: expected a whole number from 8 to 4096"),
    (["augmentation=crop_flip", "augmentation.padding=big"], r"augmentation\.padding=big"),
    (["optimizer.weight_decay=abc"], r"optimizer\.weight_decay=abc"),
    (["lr=abc"], r"lr=abc: expected a number above 0"),
    (["lr=-1"], r"lr=-1.*above 0"),
    (["lr=0"], r"lr=0.*above 0"),
    (["lr="], r"lr=.*"),
    (["lr"], r"'lr'.*key=value"),
    (["lr=1e-3,1e-2"], r"add -m"),
    (["epochs=0"], r"epochs=0.*from 1"),
    (["epochs=1.5"], r"epochs=1\.5: expected a whole number from 1"),
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
    (["data=folder", "data.root=pictures"], r"pictures.*is empty"),
    pytest.param(["device=cuda"], r"device=cuda.*device=cpu", marks=NO_CUDA),
    pytest.param(["device=cuda:99"], r"device=cuda:99", marks=NO_CUDA),
]


@pytest.mark.parametrize(("words", "expected"), MISTAKES, ids=str)
def test_a_mistake_is_explained_and_leaves_nothing(words, expected, typed, tmp_path):
    (tmp_path / "pictures").mkdir()
    given = [t for t in tiny(*words) if not (t == "data.train_size=100" and "data=folder" in words)]
    refused(*typed(*given), expected)
    assert [p.name for p in tmp_path.rglob("*")] == ["pictures"]


def test_values_may_name_what_hydra_knows_of_the_job(typed):
    refused(*typed(*TINY, "data=folder", "+data.root=${hydra:runtime.cwd}/none", "data.train_size=null"), r"/none")


def test_a_process_with_a_mistake_ends_with_code_1_and_three_lines(fresh_headstart, tmp_path):
    done = fresh_headstart(*TINY, "data.train_size=101")
    refused(done.returncode, done.stderr, "no multiple of 10")
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())


OWN_STUDY = """# @package _global_
# Is mine better?
hydra: {sweeper: {arms: {a: ["model=mine"], b: ["model=mine", "lr=1e-3"]}}}
"""


def test_a_study_and_a_model_of_ones_own_are_found_by_all_of_a_sweeps_processes(headstart, typed, tmp_path):
    for name, content in {"model/mine": "defaults: [logistic_regression]", "experiments/mine": OWN_STUDY}.items():
        (tmp_path / "own" / name).parent.mkdir(parents=True)
        (tmp_path / "own" / f"{name}.yaml").write_text(content)
    refused(*typed(*TINY, "--config-dir=own", "experiments=mine"), r"add -m: headstart -m .*--config-dir \S+/own")
    refused(*typed("--config-dir=own", "mine"), r"start it by headstart -m --config-dir \S+/own experiments=mine")
    refused(*typed("--config-dir=nowhere"), "--config-dir nowhere: there is no such folder")
    words = ["-m", "-cd", "own", "experiments=mine", "data=digits", "n_trials=2", "confirm_seeds=1", "threads=1"]
    done = headstart(*words, "name=s", "jobs=2")
    assert done.returncode == 0 and "Is mine better?" in done.stderr, done.stderr
    assert "Traceback" not in (tmp_path / "outputs/s/worker-1.log").read_text()
    study = hs.load(tmp_path / "outputs/s")
    assert study.study["question"] == "Is mine better?" and "--config-dir" in study.study["command"]
    assert all(f"--config-dir {tmp_path}/own " in command for command in study.trials["command"])
    words = shlex.split(study.trials["command"].iloc[0])[1:]
    assert headstart(*words).returncode == 0


def test_a_study_by_its_path_is_found_by_all_of_a_sweeps_processes_and_no_library_logs(
    fresh_headstart, headstart, typed, tmp_path
):
    path = tmp_path / "my studies" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(OWN_STUDY.replace("model=mine", "model=logistic_regression"))
    refused(*typed(*TINY, f"experiments={path}"), r"add -m: headstart -m .*experiments=\S+/my studies/mine\.yaml")
    words = ["-m", "experiments=my studies/mine", "data=digits", "n_trials=2", "confirm_seeds=1", "threads=1", "jobs=2"]
    fresh = {"MPLCONFIGDIR": str(tmp_path / "matplotlib")}  # where matplotlib has to list the fonts
    done = fresh_headstart(*words, "name=s", environment=fresh)
    assert done.returncode == 0 and "Is mine better?" in done.stderr, done.stderr
    assert "Traceback" not in (tmp_path / "outputs/s/worker-1.log").read_text()
    assert (tmp_path / "matplotlib").is_dir() and "font" not in done.stderr
    study = hs.load(tmp_path / "outputs/s")
    assert f"experiments={path}" in shlex.split(study.study["command"])
    again = headstart(*shlex.split(study.study["command"])[1:], "dry_run=true")
    assert again.returncode == 0 and "6 of 6 runs exist" in again.stderr + again.stdout, again.stderr


def test_train_in_front_is_a_run(fresh_headstart, tmp_path):
    done = fresh_headstart("train", *TINY, "epochs=1", "hydra.run.dir=run")
    assert done.returncode == 0 and (tmp_path / "run" / "result.json").is_file(), done.stderr


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--lr", "1e-3"], r"Did you mean headstart lr=1e-3\?"),
        (["train", "model=resnet34"], r"Did you mean headstart model=timm model\.name=resnet34\?"),
        (["-m", "data=digits", "model=cnn,resnet34"], r"timm has it: write model=timm model\.name=resnet34, or as one"),
        (["name=a#b"], "with quotes where the value holds .*: 'name=\"a#b\"'"),
        (["classify", "x.png"], "no verb: pictures are classified by headstart predict MODEL PICTURES"),
    ],
)
def test_the_way_of_other_programs_is_answered_with_ours(words, meant, typed, tmp_path):
    refused(*typed(*words), meant)
    assert not list(tmp_path.glob("outputs/runs")) and not list(tmp_path.glob("*/*/study.db"))


def test_inline_arms_need_no_inner_quotes(typed):
    code, text = typed("-m", *TINY, "arms={small: model=cnn, other: model=linear lr=1e-2}", "dry_run=true")
    assert code == 0 and "2 arms (small, other)" in text


def test_a_faulty_file_that_an_arm_chooses_is_a_sentence(typed, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "odd.yaml").write_text("a: [b")
    refused(*typed("-m", "-cd", ".", *TINY, "arms={a: model=odd}"), r"a configuration file cannot be read: .*odd\.yaml")


# ---- verbs, help, version


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["reprot"], "headstart report"),
        (["reports", "outputs/x", "--tables"], "headstart report outputs/x --tables"),
        (["wieghts", "show", "x.pth"], "headstart weights show x.pth"),
    ],
)
def test_a_misspelt_verb_is_answered_with_the_command_that_was_meant(words, meant, typed, tmp_path):
    code, text = typed(*words)
    said = f"{words[0]!r} is neither key=value nor a verb ({', '.join(NAMES)}). Did you mean {meant}?"
    assert (code, text) == (1, f"headstart: {said}\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("pretraining", "'pretraining' is a study; start it by headstart -m experiments=pretraining"),
        ("lr", "'lr' is not understood; write key=value"),
        ("", "'' is not understood; write key=value"),
    ],
)
def test_a_word_that_is_no_misspelt_verb_is_refused_as_before(word, expected, typed):
    refused(*typed(word), expected)


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["model=fan", "--help"]])
def test_help_shows_the_verbs_and_then_what_hydra_is_told(words, command):
    code, printed, _ = command(*words)
    assert code == 0
    verbs, _, configured = printed.partition("\n\n")
    assert [line.split()[0] for line in verbs.splitlines()[1:]] == NAMES
    assert "headstart -m experiments=quickstart" in configured and "logistic_regression" in configured


@pytest.mark.parametrize("verb", NAMES)
def test_a_verbs_help_is_its_own(verb, command):
    code, printed, _ = command(verb, "--help")
    assert code == 0 and printed.startswith(f"usage: headstart {verb} ") and "experiments" not in printed


def test_version_is_ours(command):
    assert command("--version") == (0, f"headstart {hs.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cfg", "job", "model=fan"], "batch_size: null"),
        (["--hydra-help"], "--multirun"),
        (["--config-dir", ".", "--info"], "schema"),
        (["-sc", "install=bash"], "hydra_bash_completion"),
    ],
    ids=str,
)
def test_hydras_own_flags_work_as_ever(words, said, command, tmp_path):
    code, printed, _ = command(*words)
    assert code == 0 and said in printed
    assert not list(tmp_path.iterdir())


# ---- the end of a sweep


@pytest.mark.parametrize(
    ("problems", "error", "code"),
    [
        ((), "", 0),
        (("a worker ended", "arm cnn: 1 trial failed"), "", 0),
        (("arm cnn: 2 trials failed",), "none ran", 1),
    ],
)
def test_a_sweep_that_has_ended_is_reported_then_its_problems_are_said(problems, error, code, command, monkeypatch):
    ended = SimpleNamespace(folder=Path("outputs/mine"), problems=problems, error=error)
    monkeypatch.setattr("headstart.cli.main._call_hydra", lambda words: setattr(ArmsSweeper, "ended", ended))
    monkeypatch.setattr("headstart.cli.report.report", lambda folders: print("report of", *folders))
    refusal = [f"headstart: {error}"] if error else []
    assert command("-m") == (code, "report of outputs/mine\n", "".join(f"{x}\n" for x in [*problems, *refusal]))
    monkeypatch.setattr("headstart.cli.main._call_hydra", lambda words: None)  # a single run, later in this process
    assert command() == (0, "", "")


def test_a_sweep_whose_report_cannot_be_written_is_refused(command, monkeypatch):
    ended = SimpleNamespace(folder=Path("outputs/mine"), problems=(), error="")
    monkeypatch.setattr("headstart.cli.main._call_hydra", lambda words: setattr(ArmsSweeper, "ended", ended))
    code, _, text = command("-m")
    assert code == 1 and text.startswith("headstart: outputs/mine is not a folder; give one that holds runs")


PIPED = [["--help"], ["--hydra-help"], ["report", "--help"], ["report", "study"], ["report", "study", "--tables"]]
PIPED += [["weights", "list"], ["weights", "show", "x.safetensors"], ["cache"], ["--cfg", "job"], ["--info"], TINY]


@pytest.mark.parametrize("words", PIPED, ids=" ".join)
def test_a_reader_who_leaves_early_is_no_traceback(words, tmp_path):
    """As with `| head`: the pipe's other end is closed before anything was printed."""
    make_study(tmp_path / "study")
    safetensors.torch.save_file({"a": torch.zeros(3)}, tmp_path / "x.safetensors")
    code = "from headstart.cli.main import main; main()"
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False)
    os.close(writes)
    said = [
        line
        for line in done.stderr.splitlines()
        if not re.match("epoch |weights: |digits, .* pictures: |batches of |.* is left out: ", line)
    ]
    if words == ["weights", "list"]:
        assert said[0].startswith("usage: headstart weights") and done.returncode == 2
    else:
        assert said == [] and done.returncode in (141, 0)
