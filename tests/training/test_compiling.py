"""A compiled network learns the same, and is compiled before the clock starts."""

import os
import subprocess
import sys

import pytest
import torch

from headstart.store import read_epochs
from training.helpers_training import plain_network, trainer


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_compiled_network_learns_the_same(pictures, tmp_path, monkeypatch, backend):
    calls, compiling = [], torch.compile

    def counted(network, mode, dynamic):
        made = compiling(network, backend=backend, dynamic=dynamic)
        return lambda images: calls.append(len(images)) or made(images)

    monkeypatch.setattr(torch, "compile", counted)
    found = {}
    for compiled in (False, True):
        run = trainer(pictures, tmp_path / str(compiled), "sgd", model=plain_network(), compile=compiled)
        run.run()
        found[compiled] = read_epochs(run.run_dir).rows
    assert set(calls[:2]) == {32, 16}  # ahead of the clock, in either order
    assert calls[2:] == 4 * [32, 32, 16]  # and never to evaluate
    for plain, row in zip(found[False], found[True], strict=True):
        assert (row.train_loss, row.val_loss) == pytest.approx((plain.train_loss, plain.val_loss), rel=1e-4)


@pytest.mark.slow
def test_without_a_compiler_compiling_is_refused_with_the_way_out(tmp_path):
    program = "from headstart.cli.main import main; main()"
    words = [sys.executable, "-c", program, "data=digits", "compile=on", "epochs=1"]
    environment = os.environ | dict(CXX=str(tmp_path / "no-such-compiler"), TORCHINDUCTOR_CACHE_DIR=str(tmp_path))
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "compile=on: torch cannot compile" in done.stderr and "Use compile=off." in done.stderr
