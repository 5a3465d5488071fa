"""`headstart serve`: mistakes are said before anything is loaded, and what is served is said on a terminal."""

import os
import pty
import socket
import sys

import pytest

from cli.helpers_cli import refused
from headstart.cli.serve import say
from headstart.serving import Model, Settings


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere does not exist; give the folder of a run or a study, or a file of weights"),
        ([".", "--workers", "0"], "--workers: give 1 or more"),
        ([".", "--max-bytes", "many"], "--max-bytes: many is no size; give one such as 10MB"),
        ([".", "--host", "0.0.0.0"], "--host 0.0.0.0 can be reached by others, so a key is needed"),
        ([".", "--host", "no such host"], "is no address of this machine"),
        (["empty"], "empty holds no trained network: no run, no study and no model.safetensors"),
        (["unfinished"], "unfinished was interrupted"),
        (["study"], r"study holds 2 arms: a, b; say which one \(--arm"),
    ],
)
def test_mistakes_are_said_in_a_sentence(command, tmp_path, monkeypatch, words, said):
    monkeypatch.delenv("HEADSTART_API_KEY", raising=False)
    (tmp_path / "empty").mkdir()
    (tmp_path / "unfinished" / ".hydra").mkdir(parents=True)
    (tmp_path / "unfinished" / "run.json").write_text("{}")
    for arm in "ab":
        run = tmp_path / "study" / arm / "search" / "000"
        run.mkdir(parents=True)
        facts = f'{{"study": "study", "arm": "{arm}", "phase": "search", "state": "COMPLETE", "val_accuracy": 50}}'
        (run / "run.json").write_text(facts)
        (run / "result.json").write_text(facts)
    code, _, text = command("serve", *words, "--port", "0")
    refused(code, text.replace("headstart serve: ", "headstart: "), said)


def test_a_port_in_use_is_said_before_the_network_is_loaded(command, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, text = command("serve", ".", "--port", str(port))
    refused(code, text.replace("headstart serve: ", "headstart: "), f"port {port} of 127.0.0.1 is in use")


def test_a_missing_extra_names_its_command(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    code, _, text = command("serve", ".")
    refused(code, text.replace("headstart serve: ", "headstart: "), r"needs fastapi: pip install 'headstart\[serve\]'")


@pytest.mark.parametrize("key", [None, "sesame"])
def test_on_a_terminal_it_says_what_is_served_and_how_to_try_it(monkeypatch, key):
    ours, theirs = pty.openpty()
    model = Model("colours", tuple("abcdefghi"), 32, "it has no maps")
    with open(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        say(model, "http://127.0.0.1:8000", Settings(workers=2, key=key))
        said = ""
        while "Ctrl-C ends it" not in said:  # a terminal hands over line by line
            said += os.read(ours, 10_000).decode().replace("\r\n", "\n")
    os.close(ours)
    assert said.startswith("colours: 9 classes (a, b, c, d, e, f, g, h, ...)\n2 workers of ") and "sesame" not in said
    shown = " -H 'X-API-Key: ...'" if key else ""
    assert f"curl{shown} -F file=@picture.png http://127.0.0.1:8000/predict\n" in said
    assert "Grad-CAM:          no, it has no maps" in said


def test_elsewhere_it_says_nothing_to_people(monkeypatch, capsys):
    say(Model("colours", ("a",), 32, None), "http://127.0.0.1:8000", Settings())
    assert capsys.readouterr() == ("", "")
