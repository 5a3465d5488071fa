"""`headstart evaluate`: the run's own figures on its own test part, and mistakes in a sentence."""

import json

import pytest
from conftest import TINY

from cli.helpers_cli import refused
from headstart.store import read_json


@pytest.fixture
def run(command, tmp_path):
    assert command(*TINY, "model=cnn", "epochs=2", "precision=fp32", "hydra.run.dir=run")[0] == 0
    return tmp_path / "run"


def test_on_its_own_test_part_a_run_has_its_own_figures(run, command, tmp_path):
    result = read_json(run / "result.json")
    code, printed, text = command("evaluate", "run", "digits", "--json")
    assert (code, text) == (0, "")
    found = json.loads(printed)
    assert found["accuracy"] == pytest.approx(result["test_accuracy"])
    assert found["confusion"] == result["confusion"] and found["f1_macro"] == pytest.approx(result["test_f1_macro"])
    code, printed, _ = command("evaluate", "run", "digits", "--to", "out")
    assert code == 0 and f"{result['test_accuracy']:.2f} %" in printed.splitlines()[0]
    assert "most confident mistakes:" in printed and "temperature" in printed
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"metrics.json", "predictions.csv", "confusion.png"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "digits"], "nowhere does not exist"),
        (["run", "nowhere"], "nowhere does not exist; give a folder of class folders"),
        (["run", "digits", "--part", "val"], "of digits the test part is evaluated alone"),
        (["run", "digits", "--arm", "x"], "holds one network"),
    ],
)
def test_mistakes_are_said_in_a_sentence(run, command, words, said):
    code, _, text = command("evaluate", *words)
    refused(code, text.replace("headstart evaluate: ", "headstart: "), said)
