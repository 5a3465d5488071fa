"""A network as a safetensors file, whose bytes depend on its content alone."""

import json

import safetensors.torch
import torch

from headstart.models.model import Model


def export_bytes(
    model: Model, classes: tuple[str, ...], mean: tuple, std: tuple, image_size: int, architecture: str
) -> bytes:
    """Return the network as a safetensors file with the metadata that reading it back needs.

    mean, std: what the inputs were normalised by in training, per channel, of values in 0..1.
    """
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in model.network.state_dict().items()}
    name = "data" if model.normalisation is None else model.normalisation.name
    described = _metadata(
        architecture=architecture, classes=classes, normalisation=name, mean=mean, std=std, image_size=image_size
    )
    return to_bytes(tensors, described)


def to_bytes(tensors: dict[str, torch.Tensor], described: dict[str, str]) -> bytes:
    """Return a safetensors file whose bytes, and so its sha256, depend on its content alone.

    The library writes metadata in an order of chance, so the header is written again, sorted and padded as it was.
    """
    content = safetensors.torch.save(tensors, metadata=described)
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # tensors start at multiples of 8 bytes
    return len(header).to_bytes(8, "little") + header + content[end:]


def _metadata(
    *, architecture: str, classes: tuple[str, ...], normalisation: str, mean: tuple, std: tuple, image_size: int
) -> dict[str, str]:
    """Return the metadata that best.safetensors carries; `weight_files.read_metadata` and `from_file` read it back."""
    from headstart import __version__

    lists = dict(classes=classes, input_mean=mean, input_std=std)
    texts = dict(architecture=architecture, normalisation=normalisation, image_size=str(image_size))
    return {key: json.dumps(list(values)) for key, values in lists.items()} | texts | {"headstart_version": __version__}
