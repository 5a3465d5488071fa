"""`headstart export`: a study's arm in a folder with a model card that has the study's table."""

import pytest
from inference.helpers_inference import finished

from cli.helpers_cli import refused, tiny


@pytest.fixture
def study(command, without_plots):
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


def test_a_container_holds_the_exported_network_and_is_made_of_an_exported_one_too(command, tmp_path):
    finished(tmp_path / "run")
    code, printed, text = command("export", "run", "--to-container", "service", "--formats", "weights")
    assert (code, text) == (0, "")
    assert "pip wheel --no-deps --wheel-dir service/wheels" in printed.splitlines()[-1]
    assert (tmp_path / "service" / "README.md").read_text().startswith("# run as a service\n")
    assert "\n# model\n" in (tmp_path / "service" / "model" / "README.md").read_text()
    code, _, text = command("export", "service/model", "--to-container", "again", "--formats", "weights")
    assert (code, text) == (0, "")
    first, second = (tmp_path / name / "model" / "model.safetensors" for name in ("service", "again"))
    assert first.read_bytes() == second.read_bytes()
    for words, said in [
        (("--to-container", "service"), "service holds .dockerignore already; give an empty or new folder"),
        (("--to-container", "other", "--formats", "onnx"), "a container needs the weights, too"),
    ]:
        code, _, text = command("export", "run", *words)
        refused(code, text.replace("headstart export: ", "headstart: "), said)
    assert not (tmp_path / "other").exists()
