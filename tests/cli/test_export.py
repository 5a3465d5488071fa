"""`headstart export`: a study's arm in a folder with a model card that has the study's table."""

import pytest

from cli.helpers_cli import refused, tiny


@pytest.fixture
def study(command):
    words = ["model=cnn", "augmentation=none,flip", "lr=1e-3,3e-3", "epochs=4", "n_trials=2", "confirm_seeds=1"]
    assert command("-m", *tiny(*words, "name=study"))[0] == 0
    return "outputs/study"


def test_an_arm_is_exported_with_its_card_and_classifies(study, command, tmp_path):
    code, printed, text = command("export", study, "--arm", "none", "--to", "out", "--formats", "weights,torch")
    assert (code, text) == (0, "")
    assert printed.splitlines()[-1] == "out/README.md"
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| flip | " in card and "\n# none\n" in card and "data set | digits" in card
    assert "It comes from a study of headstart that asked: " in card
    code, printed, _ = command("evaluate", "out", "digits")
    assert code == 0 and printed.startswith("accuracy ")
    for words, said in [
        ((study, "--to", "other"), "holds 2 arms: none, flip; say which one"),
        ((study, "--arm", "none", "--to", "out.safetensors"), "here it is a folder"),
        (("out", "--to", "other"), "out holds exported weights already"),
        ((study, "--arm", "none", "--to", "out"), "exists; --force replaces it"),
        ((study, "--arm", "none", "--to", "other", "--formats", "onnx,x"), "x is no format"),
        (("nowhere", "--to", "other"), "nowhere does not exist"),
        (("out/model.safetensors", "--to", "other"), "holds exported weights already"),
    ]:
        code, _, text = command("export", *words)
        refused(code, text.replace("headstart export: ", "headstart: "), said)
