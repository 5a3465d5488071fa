"""Tensors from one network into another: what fits is taken, what does not is named; and a network as a file."""

import torch
from torch import nn

from headstart.errors import UserError
from headstart.models import weight_files
from headstart.models.model import Model
from headstart.models.weight_files import Weights, first_few

COUNTER = ".num_batches_tracked"  # of batch norm; decides nothing at the default momentum


def take(
    network: nn.Module, classifier: str, architecture: str, loaded: Weights, class_names: tuple[str, ...], keep: bool
) -> list[str]:
    """Copy the loaded tensors into the network, all but the classifier's unless `keep`; return lines for the log.

    Raises UserError, with nothing copied, when the tensors do not fit or are not finite.
    """
    if keep and loaded.classes is not None and loaded.classes != tuple(class_names):
        raise UserError(
            f"{loaded.origin} is for the classes {first_few(loaded.classes)}; the data has {first_few(class_names)}, "
            "and model.keep_classifier=true needs the same.\nGive model.keep_classifier=false."
        )
    own = network.state_dict()
    wanted, offered = (
        {name: t for name, t in tensors.items() if keep or not name.startswith(classifier + ".")}
        for tensors in (own, loaded.tensors)
    )
    misfits = _misfits(wanted, offered)
    if misfits:
        may = "With model.keep_classifier=true nothing may" if keep else f"Only the classifier ({classifier}) may"
        raise UserError(f"{loaded.origin} does not fit {architecture}: {'; '.join(misfits)}.\n{may} differ.")
    bad = [name for name, t in loaded.tensors.items() if t.is_floating_point() and not t.float().isfinite().all()]
    if bad:
        raise UserError(
            f"{loaded.origin} holds NaN or infinite values in {len(bad)} tensors: {first_few(bad)}; train it again"
        )
    with torch.no_grad():
        for name, tensor in offered.items():
            own[name].copy_(tensor)  # casts to the network's own type
    anew = [name for name in own if name not in offered and not name.endswith(COUNTER)]
    return [f"weights: {len(offered)} tensors from {loaded.origin}; start anew: {first_few(anew) or 'none'}"]


def _misfits(own: dict[str, torch.Tensor], offered: dict[str, torch.Tensor]) -> list[str]:
    """Say which names are missing, unexpected, or of another shape or type; an empty list when all fit."""
    missing = [name for name in own if name not in offered and not name.endswith(COUNTER)]
    unexpected = [name for name in offered if name not in own]
    shapes, types = [], []
    for name, there in offered.items():
        here = own.get(name, there)
        if here.shape != there.shape:
            shapes.append(f"{name} {list(there.shape)} for {list(here.shape)}")
        elif here.is_floating_point() != there.is_floating_point():
            types.append(f"{name} {there.dtype} for {here.dtype}")
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": shapes, "of another type": types}
    return [f"{len(names)} {kind} ({first_few(names)})" for kind, names in kinds.items() if names]


def export_bytes(
    model: Model, classes: tuple[str, ...], mean: tuple, std: tuple, image_size: int, architecture: str
) -> bytes:
    """Return the network as a safetensors file with the metadata that reading it back needs.

    mean, std: what the inputs were normalised by in training, per channel, of values in 0..1.
    """
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in model.network.state_dict().items()}
    name = "data" if model.normalisation is None else model.normalisation.name
    described = weight_files.metadata(
        architecture=architecture, classes=classes, normalisation=name, mean=mean, std=std, image_size=image_size
    )
    return weight_files.to_bytes(tensors, described)
