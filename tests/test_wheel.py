"""The wheel, for real: built, installed into an empty environment without the sources, run from another folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
UV = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")


def run(*words: str, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")} | {
        "OMP_NUM_THREADS": "1"
    }
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(UV is None, reason="uv builds and installs the wheel; the Makefile's environment has it")
def test_wheel_works_without_the_sources(tmp_path):
    sources = tmp_path / "sources"
    shutil.copytree(
        ROOT, sources, ignore=shutil.ignore_patterns(".git", ".venv", "outputs", "build", "*.egg-info", ".*_cache")
    )
    run(UV, "build", "--quiet", "--wheel", "--out-dir", str(tmp_path / "dist"), cwd=sources)
    shutil.rmtree(sources)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with ZipFile(wheel) as content:
        assert not [name for name in content.namelist() if "benchmarks" in name]  # of experiments/ only the studies
    run(UV, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv"), cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    run(
        UV,
        "pip",
        "install",
        "--quiet",
        "--python",
        str(python),
        "-c",
        str(ROOT / "constraints.txt"),
        str(wheel),
        cwd=tmp_path,
    )

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = str(python.with_name("headstart"))
    tiny = ["data=digits", "data.train_size=100", "batch_size=50", "epochs=1", "threads=1", "augmentation=none"]
    run(command, "-m", "experiments=quickstart", "budget=smoke", "n_trials=1", *tiny[3:], cwd=elsewhere)
    run(command, *tiny, cwd=elsewhere)
    assert (elsewhere / "outputs/quickstart/tables/trials.csv").exists()
    assert len(list((elsewhere / "outputs/runs").glob("*/result.json"))) == 1
    assert "quickstart" in run(command, "--help", cwd=elsewhere)
