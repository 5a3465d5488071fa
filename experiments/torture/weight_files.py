"""12,000 hostile files of weights: whole ones damaged in seeded ways, headers that lie, and pickles meant to run.

Wanted of each: plain tensors, or a `UserError` that names the file; nothing executed, no crash, no hang.
"""

import io
import json
import pickle
import pickletools
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import batches
import safetensors.torch
import torch
from batches import KEYS, REFUSED, TAKEN, is_wanted  # noqa: F401

from headstart.errors import UserError
from headstart.models.weight_files import from_file

TOTAL = 12_000
CANARY = "executed"  # file in the working folder that an attack makes
RUNS = (  # what a pickle would call, and with what: {} is the canary's path
    ("os", "system", "touch {}"),
    ("posix", "system", "touch {}"),
    ("subprocess", "getoutput", "touch {}"),
    ("builtins", "eval", "open({!r}, 'w')"),
    ("builtins", "exec", "open({!r}, 'w')"),
    ("__builtin__", "eval", "open({!r}, 'w')"),
    ("os", "mkdir", "{}"),
    ("pathlib", "Path.touch", "{}"),
    ("builtins", "getattr", "{}"),
    ("code", "InteractiveInterpreter.runsource", "open({!r}, 'w')"),
    ("numpy.f2py.crackfortran", "getlincoef", "open({!r}, 'w')"),
    ("numpy.testing._private.utils", "runstring", "open({!r}, 'w')"),
    ("torch._dynamo.guards.GuardBuilder", "get", "open({!r}, 'w')"),
    ("torch.utils.bottleneck.__main__", "run_autograd_prof", "open({!r}, 'w')"),
    ("timeit", "timeit", "open({!r}, 'w')"),
    ("cProfile", "run", "open({!r}, 'w')"),
    ("pathlib", "PosixPath", "{}"),
    ("argparse", "FileType", "w"),
    ("logging", "FileHandler", "{}"),
    ("omegaconf", "OmegaConf.save", "{}"),
    ("torchvision.datasets.utils", "download_url", "file://{}"),
    ("timm.models", "load_state_dict", "{}"),
    ("lightning.pytorch.cli", "LightningCLI", "{}"),
)


def attempts(work: Path, seed: int) -> Iterator[tuple[tuple[str, int], Callable[[], dict[str, object]]]]:
    """Every batch and what tries it."""
    for kind in ("safetensors", "zip", "old"):
        whole(kind)  # made once, before processes are forked
    return batches.attempts(work, seed, TOTAL, tuple(KINDS), try_file)


def try_file(work: Path, kind: str, seed: int) -> str:
    """Read one."""
    rng = random.Random(f"{seed} {kind}")
    canary = work / CANARY
    content, suffix = KINDS[kind](rng, str(canary))
    path = work / f"x{suffix}"
    path.write_bytes(content)
    try:
        found = from_file(path)
    except UserError as error:
        said = REFUSED if str(path) in str(error) else f"refused without the file's name: {error}"
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    else:
        said = (
            TAKEN if all(type(t) in (torch.Tensor, torch.nn.Parameter) for t in found.tensors.values()) else "no tensor"
        )
    if canary.exists():
        canary.unlink() if canary.is_file() else canary.rmdir()
        return f"executed ({said})"
    return said


@cache
def whole(kind: str) -> bytes:
    """Three tensors in a file of that kind."""
    torch.manual_seed(0)
    tensors = {"a.weight": torch.rand(4, 3), "a.bias": torch.rand(4), "norm.num_batches_tracked": torch.tensor(7)}
    if kind == "safetensors":
        return safetensors.torch.save(tensors, {"mean": "0.5,0.5,0.5"})
    file = io.BytesIO()
    torch.save({"state_dict": tensors, "epoch": 3}, file, _use_new_zipfile_serialization=kind == "zip")
    return file.getvalue()


# ------------------------------------------------------------------------------------------------------------- damaged


def damaged(kind: str, suffix: str) -> Callable[[random.Random, str], tuple[bytes, str]]:
    """Bits flipped, a part missing, doubled or of zeros."""

    def change(rng: random.Random, _: str) -> tuple[bytes, str]:
        content, place = bytearray(whole(kind)), rng.randrange(len(whole(kind)))
        how, length = rng.randrange(5), rng.randrange(1, 200)
        if how == 0:
            for _ in range(rng.choice((1, 4, 64))):
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        elif how == 1:
            del content[place:]
        elif how == 2:
            del content[place : place + length]
        elif how == 3:
            content[place:place] = content[place : place + length]
        else:
            content[place : place + length] = bytes(length)
        return bytes(content), suffix

    return change


def lying_header(rng: random.Random, _: str) -> tuple[bytes, str]:
    """A safetensors header that says what cannot be: shapes, offsets, types, depths and lengths."""
    content = whole("safetensors")
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    values = [
        -1,
        0,
        2**31,
        2**63,
        10**30,
        1.5,
        "x",
        None,
        [],
        {},
        [[1]],
        [0, 2**40],
        "F64",
        "BOOL",
        True,
        "\udc00",
        "a" * 9_999,
    ]
    for _ in range(rng.randint(1, 3)):
        name = rng.choice(list(header))
        if not isinstance(header[name], dict):
            continue
        key = rng.choice(
            ["dtype", "shape", "data_offsets", "mean", "std", "classes", "image_size", "architecture", "more"]
        )
        header[name if rng.random() < 0.2 else rng.choice(["__metadata__", "a.weight", "../../x"])] = (
            rng.choice(values) if rng.random() < 0.2 else header[name] | {key: rng.choice(values)}
        )
    text = json.dumps(header).encode() if rng.random() < 0.95 else b"[" * 100_000
    length = len(text) if rng.random() < 0.8 else rng.choice((0, 1, 2**32, 2**63, 2**64 - 1))
    return struct.pack("<Q", length) + text + content[8 + size :], ".safetensors"


# ------------------------------------------------------------------------------------------------------------- pickles


def attack(rng: random.Random, canary: str) -> bytes:
    """A pickle that calls something, by one of the ways that pickles have."""
    module, name, argument = rng.choice(RUNS)
    said = argument.format(canary).encode()
    text = b"X" + struct.pack("<I", len(said)) + said
    reference = f"c{module}\n{name}\n".encode()
    way = rng.randrange(6)
    if way == 0:
        return b"\x80\x02" + reference + text + b"\x85R."
    if way == 1:  # by names on the stack
        words = b"".join(b"X" + struct.pack("<I", len(word)) + word for word in (module.encode(), name.encode()))
        return b"\x80\x04" + words + b"\x93" + text + b"\x85R."
    if way == 2:
        return b"(" + text + f"i{module}\n{name}\n.".encode()
    if way == 3:
        return b"\x80\x02(" + reference + text + b"o."
    if way == 4:  # as a class, made without its __init__, and then given a state
        return b"\x80\x02" + reference + b")\x81}" + text + text + b"sb."
    return b"\x80\x02}" + b"X\x01\x00\x00\x00a" + reference + text + b"\x85Rs."


def hostile_zip(rng: random.Random, canary: str) -> tuple[bytes, str]:
    """Torch's format with such a pickle in the place of its own, or before or behind it."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole("zip"))) as before, zipfile.ZipFile(file, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name.endswith("data.pkl"):
                harm = attack(rng, canary)
                content = rng.choice((harm, content[:-1] + b"0" + harm[2:], harm[:-1] + b"0" + content[2:]))
            after.writestr(name, content)
        if rng.random() < 0.3:
            after.writestr(
                rng.choice(("archive/code/x.py", "../../x", "archive/constants.pkl", "archive/data.pkl")),
                attack(rng, canary),
            )
    return file.getvalue(), rng.choice((".pth", ".pt", ".ckpt", ".bin"))


def hostile_old(rng: random.Random, canary: str) -> tuple[bytes, str]:
    """The format before, which is pickles one after the other: one of them replaced; or a pickle alone."""
    content = whole("old")
    ends, place = [], 0
    for _ in range(4):
        stream = io.BytesIO(content[place:])
        for _ in pickletools.genops(stream):
            pass
        ends.append((place, place + stream.tell()))
        place += stream.tell()
    begin, end = rng.choice(ends)
    harm = attack(rng, canary)
    return rng.choice((content[:begin] + harm + content[end:], harm)), rng.choice((".pth", ".pt", ".bin"))


def random_opcodes(rng: random.Random, canary: str) -> tuple[bytes, str]:
    """A pickle's operations in a random order."""
    codes = [code.code.encode("latin1") for code in pickletools.opcodes]
    parts = [
        rng.choice((rng.choice(codes), attack(rng, canary)[2:-1], pickle.dumps(rng.randrange(99))[2:-1]))
        for _ in range(30)
    ]
    return b"\x80\x02" + b"".join(parts) + b".", rng.choice((".pth", ".ckpt"))


KINDS: dict[str, Callable[[random.Random, str], tuple[bytes, str]]] = {
    "damaged safetensors": damaged("safetensors", ".safetensors"),
    "lying header": lying_header,
    "damaged zip": damaged("zip", ".pth"),
    "damaged old": damaged("old", ".pt"),
    "hostile zip": hostile_zip,
    "hostile old": hostile_old,
    "random opcodes": random_opcodes,
}
