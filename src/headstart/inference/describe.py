"""What is in a weights file, for which networks it is, and what one of them would take of it."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from headstart.config import override_value
from headstart.errors import UserError, printable
from headstart.inference.networks import COMMON, chosen, fitting, made, size_that_fits, sizes_of
from headstart.models import Weights, from_file, read_metadata
from headstart.store import WEIGHT_SUFFIXES, expanded, json_of


def show_weights(path: Path) -> list[str]:
    """Return lines on a weights file: sha256, tensors, and what the file, or a hub's folder around it, says.

    Raises:
        UserError: the file is missing, damaged, or no weights.
    """
    return _lined(_rows(_read(path)))


def describe_weights(path: Path, words: Sequence[str] = ()) -> list[str]:
    """Return the lines of `show_weights`, for which networks the file is, and what a network would take of it.

    words: overrides such as model=resnet18 that choose this network; without any the first that fits is tried.

    Raises:
        UserError: the file is missing, damaged, or no weights; or words are no overrides of a network.
    """
    given = chosen(tuple(words)) if words else None  # a mistake is said before the file is read
    loaded = _read(path)
    rows = _rows(loaded)
    networks = [] if words else fitting(loaded)
    if not words:
        rows["fits"] = ", or ".join(map(shlex.join, networks)) or (
            f"none of conf/model and {len(COMMON)} common networks of timm; headstart weights describe {path} "
            "model=timm model.name=NAME tries another"
        )
        rows |= {"compare": _comparison(networks[0], loaded.origin)} if networks else {}
    if words or networks:
        network = list(words) or networks[0]
        rows[f"into {shlex.join(network)}"] = "\n".join(_taken(loaded, given or chosen(tuple(network))))
    return _lined(rows)


def _comparison(network: Sequence[str], file: str) -> str:
    """The study that says what the weights buy on somebody's pictures."""
    own = override_value(file)
    arms = f"arms={{random: {' '.join(network)}, pretrained: {' '.join(network)} model.weights={own}}}"
    return f"{shlex.join(['headstart', '-m', arms])} data=folder data.root=PICTURES minutes=30"


def _read(path: Path) -> Weights:
    path = expanded(path)
    if not path.exists():
        raise UserError(f"{path} does not exist; give a weights file ({', '.join(WEIGHT_SUFFIXES)}), or a hub's folder")
    return from_file(path)


def _rows(loaded: Weights) -> dict[str, str]:
    file = Path(loaded.origin)
    content = file.read_bytes()
    numbers = sum(tensor.numel() for tensor in loaded.tensors.values())
    types = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in loaded.tensors.values()})
    rows = {
        "file": str(file),
        "bytes": f"{len(content):,}",
        "sha256": loaded.sha256,
        "tensors": f"{len(loaded.tensors)} with {numbers:,} numbers ({', '.join(types)})",
    }
    if loaded.containers.keys() - {""}:
        places = [
            f"{number} in {place.rstrip('.') or 'the file itself'}" for place, number in loaded.containers.items()
        ]
        rows["found"] = ", ".join(places)
    known = {"architecture": loaded.architecture, "image_size": loaded.image_size, "classes": loaded.classes}
    if loaded.normalisation is not None:
        known |= {"input_mean": loaded.normalisation.mean, "input_std": loaded.normalisation.std}
    told = {key: json.dumps(value) if isinstance(value, tuple) else str(value) for key, value in known.items() if value}
    told |= read_metadata(content) if file.suffix == ".safetensors" else {}
    return rows | {key: _words(value) for key, value in sorted(told.items())}


def _lined(rows: dict[str, str]) -> list[str]:
    """A line for each row, and one for each further line of its value; names one below the other."""
    shown = {printable(key): [printable(line) for line in value.split("\n")] for key, value in rows.items()}
    width = max(len(key) for key in shown if not key.startswith("into "))
    lines = []
    for key, values in shown.items():
        if key.startswith("into "):
            lines += [key, *(f"  {value}" for value in values)]
        else:
            lines.append(f"{key:<{width}}  {'?'.join(values)}")
    return lines


def _words(value: str) -> str:
    """A JSON list as words, everything else as it is."""
    try:
        items = json_of(value)
    except ValueError:
        items = None
    return ", ".join(map(str, items)) if isinstance(items, list) else value


def _taken(loaded: Weights, cfg: DictConfig) -> list[str]:
    """What the network reports that takes the file, or why it does not."""
    size = size_that_fits(loaded, cfg) or sizes_of(loaded)[-1]
    try:
        model = made(loaded, cfg, size, weights=loaded.origin)
    except UserError as error:
        return str(error).splitlines()
    return [line.removeprefix("weights: ") for line in model.report]
