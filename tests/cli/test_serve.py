"""`headstart serve`: mistakes are said before anything is loaded, and what is served is said on a terminal."""

import os
import pty
import socket
import subprocess
import sys
import time

import pytest

from cli.helpers_cli import refused


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
    code, _, text = command("serve", *words, "--port", "0") if "--port" not in words else command("serve", *words)
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


def test_on_a_terminal_it_says_what_is_served_and_how_to_try_it(trained, tmp_path):
    ours, theirs = pty.openpty()
    words = [sys.executable, "-c", "from headstart.cli.main import main; main()", "serve", str(trained), "--port", "0"]
    environment = os.environ | {"HEADSTART_API_KEY": "sesame"}
    with open(tmp_path / "log", "wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=theirs, env=environment)
    os.close(theirs)
    text, deadline = b"", time.monotonic() + 120
    while b"Ctrl-C" not in text:
        assert time.monotonic() < deadline
        text += os.read(ours, 4096)
    process.terminate()
    assert process.wait(60) == 0
    os.close(ours)
    said = text.decode().replace("\r\n", "\n")
    assert said.startswith("colours: 3 classes (blue, green, red)\n") and "sesame" not in said
    assert "curl -H 'X-API-Key: ...' -F file=@picture.png http://127.0.0.1:" in said and "/predict\n" in said
