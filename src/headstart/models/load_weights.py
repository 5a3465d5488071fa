"""The weights that `model.weights` names, into a network: what fits is taken, what does not is named."""

import os
from collections.abc import Sequence

import torch

from headstart.errors import UserError
from headstart.models.matching import matched
from headstart.models.model import Model, in_classifier
from headstart.models.pretrained import Published
from headstart.models.weight_files import COUNTER, Weights, first_few, from_file
from headstart.store import WEIGHT_SUFFIXES, expanded


def load_weights(
    model: Model, published: Published, class_names: tuple[str, ...], image_size: int, keep_classifier: bool
) -> None:
    """Put the tensors that `model.weights` names into the model's network, and what is known about them into the model.

    published: what the network's library has. class_names, image_size (pixels): of the data in use. keep_classifier:
    take the classifier's tensors, too. Raises UserError for anything that cannot be loaded, with nothing copied.
    """
    loaded = matched(_found(model, published), model, published.adapt)
    _check_classes(loaded, class_names, keep_classifier)
    copied = _copy(loaded, model, keep_classifier)
    model.normalisation, model.weights_sha256 = loaded.normalisation, loaded.sha256
    model.report += [*loaded.notes, copied]
    if loaded.image_size not in (None, image_size):
        model.report.append(f"weights: trained at {loaded.image_size} px, in use at {image_size} px")


def _found(model: Model, published: Published) -> Weights:
    """Return the tensors that `model.weights` names: `imagenet`, one of the published tags, or a file."""
    weights, options = model.weights, _options(published.tags)
    if not isinstance(weights, str):
        raise UserError(f"model.weights={weights!r} is not a text; give {options}")
    if weights == "source":
        raise UserError("model.weights=source belongs into a study with a `source:` entry; here give a file or null")
    if published.fetch is not None and published.tags and weights in ("imagenet", *published.tags):
        return published.fetch(weights)
    if os.path.exists(weights) or weights.endswith(WEIGHT_SUFFIXES) or os.sep in weights:
        return from_file(expanded(weights))
    raise UserError(f"model.weights={weights!r} is neither a file nor known for {model.name}; give {options}")


def _options(tags: Sequence[str]) -> str:
    known = f"imagenet, {', '.join(tags)}, " if tags else ""
    return f"null, {known}or a file ({', '.join(WEIGHT_SUFFIXES)})"


def _check_classes(loaded: Weights, class_names: tuple[str, ...], keep_classifier: bool) -> None:
    if keep_classifier and loaded.classes is not None and loaded.classes != tuple(class_names):
        raise UserError(
            f"{loaded.origin} is for the classes {first_few(loaded.classes)}; the data has {first_few(class_names)}, "
            "and model.keep_classifier=true needs the same.\nGive model.keep_classifier=false."
        )


@torch.no_grad()
def _copy(loaded: Weights, model: Model, keep_classifier: bool) -> str:
    """Copy the tensors into the network, the classifier's only where they are to be kept; return a line for the log.

    Raises UserError, with nothing copied, when they do not fit or are not finite.
    """
    own = model.network.state_dict()
    wanted, offered = (
        {name: tensor for name, tensor in tensors.items() if keep_classifier or not in_classifier(model, name)}
        for tensors in (own, loaded.tensors)
    )
    misfits = _misfits(wanted, offered)
    if misfits:
        only = f"Only the classifier ({model.classifier}) may"
        may = "With model.keep_classifier=true nothing may" if keep_classifier else only
        raise UserError(f"{loaded.origin} does not fit {model.name}: {'; '.join(misfits)}.\n{may} differ.")
    bad = [name for name, t in loaded.tensors.items() if t.is_floating_point() and not t.float().isfinite().all()]
    if bad:
        raise UserError(
            f"{loaded.origin} holds NaN or infinite values in {len(bad)} tensors: {first_few(bad)}; train it again"
        )
    for name, tensor in offered.items():
        own[name].copy_(tensor)  # casts to the network's own type
    anew = [name for name in own if name not in offered and not name.endswith(COUNTER)]
    return f"weights: {len(offered)} tensors from {loaded.origin}; start anew: {first_few(anew) or 'none'}"


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
