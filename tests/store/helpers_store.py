"""What the tests of several modules that touch a disk share: rows, damage, processes and small disks."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from headstart.store import EPOCH_FIELDS, FeatureCache


def epoch_row(epoch, **changed):
    return dict.fromkeys(EPOCH_FIELDS, 0.1) | dict(epoch=epoch, steps=10 * epoch, images=640 * epoch) | changed


def mutated(data, rng):
    """Flip, cut, insert, repeat or replace: what disks, editors and merge tools do to a file."""
    data, kind, place = bytearray(data), rng.randrange(6), rng.randrange(len(data))
    if kind == 0:
        data[place] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[place:]
    elif kind == 2:
        del data[place : place + rng.randrange(1, 40)]
    elif kind == 3:
        data[place:place] = rng.randbytes(rng.randrange(1, 20))
    elif kind == 4:
        data[place:place] = rng.choice(
            [b"\0", b"\r", b"\n", b'"', b",", b"\xef\xbb\xbf", b"\\ud800", b"9" * 400, b"nan"]
        )
    else:
        data[:] = data[place:] + data[:place]
    return bytes(data)


def python(script, *arguments, before=(), **options):
    command = [*before, sys.executable, "-W", "error", "-c", script, *map(str, arguments)]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options
    )


def finish(process):
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)


def in_tmpfs(script, folder, options):
    """Run the script with `folder` (its argv[1]) covered by a small tmpfs of its own."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("unshare -rm is not permitted here")
    mount = 'mount -t tmpfs -o "$1" tmpfs "$2" || exit 77; shift 2; exec "$@"'
    before = ["unshare", "-rm", "sh", "-c", mount, "sh", options, folder]
    process = python(script, folder, before=before)
    out, err = process.communicate(timeout=60)
    if process.returncode == 77:
        pytest.skip(f"no tmpfs here: {err.strip()}")
    assert process.returncode == 0, err
    return json.loads(out)


FEATURE_FACTS = dict(model="cnn", image_size=32, precision="fp32", images=100, flip="as they are")


def numbers(rows: int = 100, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, 10)).astype(np.float32)


def fill(kept: FeatureCache, name: str, array: np.ndarray, **options) -> bool:
    return kept.make(name, iter(np.array_split(array, 3)), len(array), FEATURE_FACTS, **options)


def left(kept: FeatureCache) -> set[str]:
    return {path.name for path in kept.folder.iterdir() if not path.name.endswith((".lock", ".used"))}
