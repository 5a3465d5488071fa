"""`headstart weights`: pretraining and transfer as two commands, and a mistake in one line."""

import safetensors.torch
import torch
from conftest import TINY

from headstart.store import read_json, sha256_of


def test_pretraining_on_one_data_set_and_transfer_to_another_are_two_commands(headstart, command, tmp_path):
    zero_to_four = [*TINY, "data.classes=[0,1,2,3,4]", "hydra.run.dir=first"]
    assert headstart(*zero_to_four, "model=cnn", "epochs=3").returncode == 0
    code, printed, text = command("weights", "export", "first", "--to", "digits.safetensors")
    assert (code, text) == (0, "")
    assert printed.splitlines()[-1].strip() == "headstart: model.weights=digits.safetensors"

    five_to_nine = [*TINY, "data.classes=[5,6,7,8,9]", "hydra.run.dir=second"]
    done = headstart(*five_to_nine, "model=cnn", "model.weights=digits.safetensors", "model.freeze=backbone")
    assert done.returncode == 0, done.stderr
    assert "start anew: classifier.weight, classifier.bias" in done.stderr
    first, second = (read_json(tmp_path / run / "result.json") for run in ("first", "second"))
    assert second["weights_sha256"] == first["best_sha256"] == sha256_of(tmp_path / "digits.safetensors")
    assert (second["weights"], second["normalisation"]) == ("digits.safetensors", "file")
    there = safetensors.torch.load_file(tmp_path / "digits.safetensors")
    here = safetensors.torch.load_file(tmp_path / "second" / "best.safetensors")
    differ = {name for name in here if not torch.equal(here[name], there[name])}
    assert differ == {"classifier.weight", "classifier.bias"}


def test_show_prints_what_is_in_a_file(command, tmp_path):
    safetensors.torch.save_file({"a": torch.zeros(3)}, tmp_path / "x.safetensors", {"classes": '["cat", "dog"]'})
    code, printed, _ = command("weights", "show", "x.safetensors")
    assert code == 0
    assert printed.splitlines()[-2:] == ["tensors  1 with 3 numbers (float32)", "classes  cat, dog"]


def test_describe_says_what_the_chosen_network_would_take(command, tmp_path):
    torch.save({"net": {"hidden.bias": torch.zeros(512)}, "epoch": 3}, tmp_path / "x.ckpt")
    code, printed, _ = command("weights", "describe", "x.ckpt", "model=cnn")
    assert code == 0 and "found    1 in net\ninto model=cnn\n  x.ckpt does not fit cnn: 7 missing" in printed


def test_a_mistake_is_said_in_one_line(command):
    said = "headstart weights: nowhere does not exist; give the folder of a run, the one with best.safetensors\n"
    assert command("weights", "export", "nowhere") == (1, "", said)
    code, _, text = command("weights")
    assert code == 2 and "export | describe | show" in text


def test_the_examples_of_the_help_are_commands_that_there_are(command):
    for words in ([], ["export"], ["describe"], ["show"]):
        code, printed, _ = command("weights", *words, "--help")
        assert code == 0 and "\n  headstart weights describe digits.safetensors\n" in printed
        assert printed.startswith("usage: " + " ".join(["headstart weights", *words]))
