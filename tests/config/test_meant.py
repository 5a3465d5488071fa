"""What other programs take, on our command line: understood, or answered with the command that was meant."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from headstart.config import check_words
from headstart.config.meant import split_outside, understood
from headstart.errors import UserError

MEANT = {
    "--lr 1e-3": "lr=1e-3",
    "--lr=1e-3 epochs=3": "lr=1e-3 epochs=3",
    "--batch-size 32 -m": "batch_size=32 -m",
    "bs=32": "batch_size=32",
    "--bs 32": "batch_size=32",
    "learning_rate=1": "lr=1",
    "weights=imagenet model=resnet18": "model.weights=imagenet model=resnet18",
    "model=resnet34": "model=timm model.name=resnet34",
    "--model ResNet-50": "model=timm model.name=resnet50",
    "arch=vit_b_16": "model=torchvision model.name=vit_b_16",
    "data=./pics": "data=folder data.root=./pics",
    "data=../pics": "data=folder data.root=../pics",
    "data=/a/pics lr=1": "data=folder data.root=/a/pics lr=1",
    "data=.": "data=folder data.root=.",
    "--data ./pics": "data=folder data.root=./pics",
    "dataset=./pics": "data=folder data.root=./pics",
    "data_dir=pics": "data.root=pics",
    "data=folder data.allow_duplicates=true": "data=folder data.duplicates=keep",
    "data=folder --data.allow_duplicates=False": "data=folder data.duplicates=refuse",
    "train --epochs 3": "epochs=3",
    "-cd here --lr 3": "-cd here lr=3",
}


@pytest.mark.parametrize("typed", MEANT)
def test_the_answer_is_the_command_that_was_meant(typed):
    with pytest.raises(UserError) as caught:
        understood(typed.split())
    assert str(caught.value).endswith(f". Did you mean headstart {MEANT[typed]}?")
    assert understood(MEANT[typed].split()) == MEANT[typed].split()
    check_words(MEANT[typed].split())


def test_what_is_typed_with_a_tilde_and_brackets_comes_back_in_the_shells_quotes(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    with pytest.raises(UserError) as caught:
        understood(["data=~/my pics (1)"])
    command = str(caught.value).partition("Did you mean ")[2].rstrip("?")
    assert understood(shlex.split(command)[1:]) == ["data=folder", 'data.root="/home/me/my pics (1)"']


@pytest.mark.parametrize("folder", [".", "./pics", "pics.d"])
def test_a_folder_alone_is_one_of_pictures(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("pics", "pics.d"):
        (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=f"Did you mean headstart data=folder data.root={folder}\\?$"):
        understood([folder])


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("classify x.png", "'classify' is no verb: pictures are classified by headstart predict MODEL PICTURES..."),
        ("eval outputs/x", "'eval' is no verb: a run reads its test split itself"),
        ("sweep", "'sweep' is no verb: a study is started by headstart -m experiments=NAME"),
        ("-v", "-v is no flag; hydra.verbose=true says more"),
        ("--verbose", "--verbose is no flag; hydra.verbose=true"),
        ("--frobnicate 3", "--frobnicate is no flag; settings are written key=value, without dashes"),
        ("--lr", "--lr is no flag; settings are written key=value"),
        ("model=./best.pth", "model=./best.pth: model= takes the name of a network; give it and model.weights="),
    ],
)
def test_what_nobody_can_write_otherwise_is_answered_with_what_there_is(typed, said):
    with pytest.raises(UserError) as caught:
        understood(typed.split())
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "typed",
    [
        "model=cnn lr=1e-3",
        "-m model=cnn,fan --cfg job --resolve",
        "--info searchpath -cn config",
        "data=folder data.root=./a/b model.weights=a,b",
        "model=glob(cnn*) ~data.root +optimizer.x=1",
        "-sc install=bash",
        "pretraining",
        "- --",
    ],
)
def test_what_hydra_takes_stays_as_it_is(typed):
    assert understood(typed.split()) == typed.split()


def test_train_in_front_is_left_out():
    assert understood(["train", "model=cnn"]) == ["model=cnn"]
    assert understood(["model=cnn", "train"]) == ["model=cnn", "train"]


@pytest.mark.parametrize("key", ["data.root", "model.weights", "hydra.run.dir", "+data.cache"])
@pytest.mark.parametrize("value", ["~/pics", "/tmp/a(b)", "/x/\u00e4 'b'", "a;b#c", "C:/\\dir\\{x}", 'say "x"/y'])
def test_a_path_gets_the_quotes_that_it_needs(key, value, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    (word,) = understood([f"{key}={value}"])
    assert OverridesParser.create().parse_override(word).value() == value.replace("~", "/home/me")


@pytest.mark.parametrize(
    "typed", ["data.root=/a/b c", 'data.root="~/x"', "model.weights=null,/a", "name=a#b", "resume="]
)
def test_other_values_are_left_to_hydra(typed):
    assert understood([typed]) == [typed]


# ---- inline arms


@pytest.mark.parametrize(
    ("typed", "arms"),
    [
        ("{cnn: model=cnn, big: model=resnet18}", {"cnn": ["model=cnn"], "big": ["model=resnet18"]}),
        ("{cnn: model=cnn lr=1e-3}", {"cnn": ["model=cnn", "lr=1e-3"]}),
        ("{cnn: model=cnn, lr=1e-3, b: seed=1}", {"cnn": ["model=cnn", "lr=1e-3"], "b": ["seed=1"]}),
        ("{a: [model=cnn, data.classes=[0,1]]}", {"a": ["model=cnn", "data.classes=[0,1]"]}),
        ("{a: 'model=cnn', b: [\"lr=1\"]}", {"a": ["model=cnn"], "b": ["lr=1"]}),
        ('{a: ["model=cnn"]}', {"a": ["model=cnn"]}),
        ("{a: model.weights=/x/b.pth}", {"a": ["model.weights=/x/b.pth"]}),
    ],
)
@pytest.mark.parametrize("key", ["arms", "+arms", "hydra.sweeper.arms"])
def test_arms_need_no_quotes_inside_those_of_the_shell(typed, arms, key):
    (word,) = understood([f"{key}={typed}"])
    parsed = OverridesParser.create().parse_override(word)
    assert parsed.key_or_group == "hydra.sweeper.arms" and parsed.value() == arms
    assert word.startswith("+") == key.startswith("+")


@pytest.mark.parametrize(
    "typed", ["{model=cnn}", "{a: cnn}", "{a: }", "{: lr=1}", "{a: model=cnn", "model=cnn", "null"]
)
def test_what_are_no_arms_is_left_to_hydra(typed):
    assert understood([f"arms={typed}"]) == [f"hydra.sweeper.arms={typed}"]


@pytest.mark.parametrize(
    ("typed", "word"),
    [
        ("~arms.cnn", "~hydra.sweeper.arms.cnn"),
        ("~hydra.sweeper.arms.cnn", "~hydra.sweeper.arms.cnn"),
        ("~arms", "~hydra.sweeper.arms"),
        ("arms.cnn=model=cnn3", 'hydra.sweeper.arms.cnn=["model=cnn3"]'),
        (
            "+arms.big=[model=resnet18, data.classes=[0,1]]",
            '+hydra.sweeper.arms.big=["model=resnet18","data.classes=[0,1]"]',
        ),
        ('arms.cnn=["model=cnn3"]', 'hydra.sweeper.arms.cnn=["model=cnn3"]'),
        ("arms.cnn=cnn", "hydra.sweeper.arms.cnn=cnn"),
        ("armsrace=1", "armsrace=1"),
    ],
)
def test_one_arm_of_a_study_is_changed_added_or_taken_out(typed, word):
    assert understood([typed]) == [word]


def test_parts_are_split_outside_of_brackets_and_quotes():
    assert split_outside("a, b[1,2], 'c,d', {e: (f,g)},", ",") == ["a", "b[1,2]", "'c,d'", "{e: (f,g)}"]


def test_a_setting_that_was_renamed_is_said_to_be():
    with pytest.raises(UserError, match=r"^data\.allow_duplicates=true: is now data\.duplicates=keep\. Did you mean"):
        understood(["data=folder", "data.allow_duplicates=true"])
