"""A small trained network, and servers that the tests of a session share."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from serving.helpers_serving import COLOURS, Server, coloured

KEY = "a-key-of-the-tests-only"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Three classes of pictures that are not square, of which no size is that of the network."""
    root = tmp_path_factory.mktemp("data") / "pictures"
    for colour in COLOURS:
        (root / colour).mkdir(parents=True)
        for number in range(20):
            Image.fromarray(coloured(number, colour, (40 + number % 7, 50))).save(root / colour / f"{number:02}.png")
    return root


@pytest.fixture(scope="session")
def trained(pictures, tmp_path_factory) -> Path:
    """The folder of a run on them, decoded to 24 px and seen at 32, that computed in fp32."""
    folder = tmp_path_factory.mktemp("runs")
    words = ["data=folder", f"data.root={pictures}", "data.size=24", "image_size=32", "model=cnn", "model.width=8"]
    words += ["epochs=1", "batch_size=16", "precision=fp32", "threads=1", "hydra.run.dir=colours"]
    command = [sys.executable, "-c", "from headstart.cli.main import main; main()", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HEADSTART_CACHE": str(folder / "cache")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "colours"


EXPORTED = """
import shutil, sys
from pathlib import Path
import headstart, torch
from headstart.serving.backends import onnx_program
torch.set_num_threads(1)
run, folder = map(Path, sys.argv[1:])
(folder / "model.onnx").write_bytes(onnx_program(headstart.load_model(run)))
shutil.copy(run / "best.safetensors", folder / "model.safetensors")
"""


@pytest.fixture(scope="session")
def exported(trained, tmp_path_factory) -> Path:
    """The network as weights and ONNX program, made as a server makes the program of a run."""
    folder = tmp_path_factory.mktemp("exported")
    words = [sys.executable, "-c", EXPORTED, str(trained), str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def server(trained, tmp_path_factory) -> Iterator[Server]:
    """Two workers, everything else as it is without a word, no key."""
    started = Server(trained, tmp_path_factory.mktemp("server") / "log", "--workers", "2")
    yield started
    assert started.stop() == 0


@pytest.fixture(scope="session")
def small_server(trained, tmp_path_factory) -> Iterator[Server]:
    """One worker, low limits and a key, which its client sends."""
    words = ["--workers", "1", "--queue", "3", "--max-pictures", "2", "--timeout", "3", "--max-bytes", "20KB"]
    words += ["--max-pixels", "5000", "--batch-wait-ms", "0"]
    started = Server(trained, tmp_path_factory.mktemp("small_server") / "log", *words, key=KEY)
    yield started
    assert started.stop() == 0


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Server]]:
    """`start(model, *words)` starts a server of the test's own, with one worker; it is gone when the test is."""
    servers: list[Server] = []

    def started(model: Path, *words: str) -> Server:
        servers.append(Server(model, tmp_path / f"log-{len(servers)}", "--workers", "1", *words))
        return servers[-1]

    yield started
    for server in servers:
        server.stop()
