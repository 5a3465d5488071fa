"""A trained network as files: for `model.weights=` of the next run, for timm, and as programs that need neither."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import OmegaConf

from headstart.errors import UserError
from headstart.inference.calibration import calibration
from headstart.inference.classifier import Classifier
from headstart.inference.finished import check_finished
from headstart.inference.onnx_export import onnx_bytes, torch_bytes
from headstart.inference.quantisation import quantised
from headstart.store import WEIGHT_SUFFIXES, expanded, write_atomically

# Keys of timm's config.json that would otherwise say where timm's own weights of this network come from.
FOREIGN = ("test_input_size", "pool_size", "test_crop_pct", "license", "origin_url", "paper_ids", "paper_name", "notes")


def export_run(run_dir: Path, to: Path | None = None, *, force: bool = False) -> list[str]:
    """Write the best network of the run in `run_dir` and return lines that say what was written and how to use it.

    to: a path that ends in .safetensors for the file alone; else a folder (None: RUN_DIR/export), which gets
    model.safetensors and, for a network that timm can build, config.json. force: replace what is there.
    The file is the run's best.safetensors to the last byte, so that its sha256 is the one in the tables; the network
    was built from it, and for timm built and compared again, before it is written.

    Raises:
        UserError: the folder is no run or has no weights, the weights are damaged, or a file is in the way.
    """
    to = run_dir / "export" if to is None else expanded(to)
    alone = to.suffix == ".safetensors"
    if to.suffix in (".pth", ".pt", ".bin"):
        raise UserError(f"--to {to}: weights are written as safetensors; give {to.with_suffix('.safetensors')}")
    file, config = (to, None) if alone else (to / "model.safetensors", to / "config.json")
    check_finished(run_dir)
    _check_free([file] if alone else [file, config], force)
    trained = Classifier.of_run(run_dir)
    content = (run_dir / "best.safetensors").read_bytes()
    known = None if alone else _timm_config(run_dir, trained, content)
    _make_folder(file.parent)
    try:
        write_atomically(file, content)
    except OSError as error:
        raise UserError(f"{file} cannot be written ({error.strerror}); give another path behind --to") from error
    lines = [f"{file}\n  headstart: model.weights={file}"]
    if known:
        write_atomically(config, known)
        lines.append(f'{config}\n  timm: timm.create_model("local-dir:{to}", pretrained=True)')
    elif not alone:
        config.unlink(missing_ok=True)  # of what was here before, which --force replaces
        lines.append(f"timm cannot build this network, so there is no {config.name} for it")
    return lines


def export_model(
    classifier: Classifier,
    to: Path,
    formats: Sequence[str],
    *,
    force: bool = False,
    copies: bool = False,
    calibrate: str | None = None,
) -> list[str]:
    """Write the network into the folder `to` in each of the formats; return lines that say how to use what was written.

    formats: of FORMATS. `weights` is what `export_run` writes, and needs the folder of a run; with `copies` exported
    weights do, too. force: replace what is there. calibrate: labelled pictures that `onnx-int8` is fitted to and judged
    by; None: those of the network's run. Each program is tried out before anything is written.

    Raises:
        UserError: a format is unknown or needs a library, pictures or a run that is not there, a file is in the way, or
            what was exported answers otherwise than the network.
    """
    to = expanded(to)
    if unknown := [name for name in formats if name not in FORMATS]:
        raise UserError(f"{unknown[0]} is no format; choose of {', '.join(FORMATS)}")
    if to.suffix in WEIGHT_SUFFIXES:
        raise UserError(f"--to {to}: here it is a folder; headstart weights export writes a file alone")
    is_run = (classifier.path / "best.safetensors").is_file()
    if "weights" in formats and not (is_run or copies):
        raise UserError(f"{classifier.path} holds exported weights already; leave the format weights out")
    if calibrate is not None and INT8 not in formats:
        raise UserError(f"--calibrate {calibrate} is for {INT8} alone; add it to --formats, or leave --calibrate out")
    programs = [name for name in PROGRAMS if name in formats]
    weights = [to / "model.safetensors", to / "config.json"] if "weights" in formats else []
    _check_free([to / "README.md", *weights, *(to / PROGRAMS[name].file for name in programs)], force)
    contents, told = _contents(classifier, programs, calibrate)
    lines = [] if not weights else (export_run if is_run else _copy_weights)(classifier.path, to, force=force)
    _make_folder(to)
    for name, content in contents.items():
        path = to / PROGRAMS[name].file
        write_atomically(path, content)
        said = [str(path), PROGRAMS[name].use.format(path=path), *told.get(name, [])]
        lines.append("\n  ".join(said))
    return lines


def _contents(
    classifier: Classifier, programs: Sequence[str], calibrate: str | None
) -> tuple[dict[str, bytes], dict[str, list[str]]]:
    """Each program's file, and what else is to be said of it, by its name in PROGRAMS."""
    pictures = calibration(classifier, calibrate) if INT8 in programs else None
    contents = {name: make(classifier) for name in programs if (make := PROGRAMS[name].content)}
    if pictures is None:
        return contents, {}
    found = quantised(classifier, contents.get("onnx") or onnx_bytes(classifier), pictures)
    told = [f"{name.replace('_', ' ')}: {words}" for name, words in found.facts.items()]
    return contents | {INT8: found.content}, {INT8: told}


def _copy_weights(path: Path, to: Path, *, force: bool) -> list[str]:
    """As `export_run`, of what it has written: a file, or a folder with model.safetensors."""
    file = path / "model.safetensors" if path.is_dir() else path
    if file.suffix != ".safetensors" or not file.is_file():
        raise UserError(
            f"{path} holds weights in another format than safetensors; headstart weights export writes that"
        )
    config = file.with_name("config.json")
    _make_folder(to)
    write_atomically(to / "model.safetensors", file.read_bytes())
    lines = [f"{to / 'model.safetensors'}\n  headstart: model.weights={to / 'model.safetensors'}"]
    if path.is_dir() and config.is_file():
        write_atomically(to / config.name, config.read_bytes())
        lines.append(f'{to / config.name}\n  timm: timm.create_model("local-dir:{to}", pretrained=True)')
    elif force:
        (to / config.name).unlink(missing_ok=True)
    return lines


class _Program(NamedTuple):
    """A format that is a program of its own."""

    file: str
    content: Callable[[Classifier], bytes] | None  # None: made of another program's
    use: str  # with {path}


INT8 = "onnx-int8"
PROGRAMS = {
    "onnx": _Program("model.onnx", onnx_bytes, 'onnxruntime: onnxruntime.InferenceSession("{path}")'),
    INT8: _Program("model.int8.onnx", None, 'onnxruntime: onnxruntime.InferenceSession("{path}")'),
    "torch": _Program("model.pt2", torch_bytes, 'torch alone: torch.export.load("{path}").module()'),
}
FORMATS = ("weights", *PROGRAMS)


def _check_free(files: list[Path], force: bool) -> None:
    there = [file for file in files if os.path.lexists(file)]
    folders = [file for file in there if file.is_dir()]
    if folders:
        raise UserError(f"{folders[0]} is a folder; give another path behind --to")
    if there and not force:
        raise UserError(f"{there[0]} exists; --force replaces it, or give another path behind --to")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error.strerror}); give another path behind --to") from error


def _timm_config(run_dir: Path, trained: Classifier, content: bytes) -> bytes | None:
    """Return config.json for a network that timm builds by its name, tried out; None for any other network."""
    import timm

    if not _is_timms(run_dir):
        return None
    with tempfile.TemporaryDirectory() as folder:
        timm.models.save_for_hf(trained.network, folder, _described(trained), safe_serialization=True)
        Path(folder, "model.safetensors").write_bytes(content)  # with our metadata
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            again = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
            images = torch.randn(2, 3, trained.image_size, trained.image_size)
            # Not to the bit: of ours the convolutions lack the taps that meet padding alone, which sums up otherwise.
            same = torch.allclose(again(images), trained.network(images), rtol=1e-4, atol=1e-5)
        if not same:
            raise UserError(f"timm builds another network from {run_dir} than was trained; give --to NAME.safetensors")
        return Path(folder, "config.json").read_bytes()


def _is_timms(run_dir: Path) -> bool:
    """Whether the run's network is timm's as it is: not one of our own, of torchvision, or with another stem."""
    node = OmegaConf.load(run_dir / ".hydra" / "config.yaml").model
    return node.get("_target_") == "headstart.models.builders.timm_model" and node.get("stem") == "imagenet"


def _described(trained: Classifier) -> dict[str, Any]:
    """What timm's config.json says besides the architecture: the classes, and how pictures were made into inputs."""
    inputs = {
        "mean": trained.mean,
        "std": trained.std,
        "input_size": (3, trained.image_size, trained.image_size),
        "interpolation": "bilinear",
        "crop_pct": 1.0,
        "tag": "headstart",
    }
    return dict(label_names=list(trained.classes), pretrained_cfg=dict.fromkeys(FOREIGN) | inputs)
