"""A network as a safetensors file, whose bytes depend on its content alone."""

import json

import safetensors.torch
import torch

from headstart.models.model import Model


def export_bytes(
    model: Model,
    *,
    classes: tuple[str, ...],
    mean: tuple,
    std: tuple,
    image_size: int,
    architecture: str,
    picture_size: int | None = None,
    network: str | None = None,
) -> bytes:
    """Return the network as a safetensors file with the metadata that reading it back needs.

    mean, std: what the inputs were normalised by in training, per channel, of values in 0..1. picture_size: pixels a
    side of the pictures that were then resized to image_size; None where they were not.
    """
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in model.network.state_dict().items()}
    name = "data" if model.normalisation is None else model.normalisation.name
    sizes = dict(image_size=image_size, picture_size=picture_size or image_size)
    texts = dict(architecture=architecture, normalisation=name) | ({} if network is None else dict(network=network))
    return to_bytes(tensors, _metadata(texts, sizes, dict(classes=classes, input_mean=mean, input_std=std)))


def to_bytes(tensors: dict[str, torch.Tensor], described: dict[str, str]) -> bytes:
    """Return a safetensors file whose bytes, and so its sha256, depend on its content alone.

    The library writes metadata in an order of chance, so the header is written again, sorted and padded as it was.
    """
    content = safetensors.torch.save(tensors, metadata=described)
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # tensors start at multiples of 8 bytes
    return len(header).to_bytes(8, "little") + header + content[end:]


def _metadata(texts: dict[str, str], sizes: dict[str, int], lists: dict[str, tuple]) -> dict[str, str]:
    """Return the metadata that best.safetensors carries; `weight_files.read_metadata` and `from_file` read it back."""
    from headstart import __version__

    numbers = {key: str(size) for key, size in sizes.items()}
    return (
        {key: json.dumps(list(values)) for key, values in lists.items()}
        | texts
        | numbers
        | {"headstart_version": __version__}
    )
