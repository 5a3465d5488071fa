"""Weights that timm and torchvision publish, fetched once into the library's own cache."""

import contextlib
import dataclasses
import hashlib
import os
import re
import socket
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from headstart.errors import UserError
from headstart.models.library_networks import AUXILIARY
from headstart.models.packaged import from_package, hint, packaged
from headstart.models.save_weights import to_bytes
from headstart.models.weight_files import Normalisation, Weights, shortened
from headstart.store import sha256_of

AUXILIARY_CLASSIFIERS = ("aux1.", "aux2.", "AuxLogits.")  # of torchvision's googlenet and inception_v3
TIMEOUT = 5  # seconds to wait for a sign of life from where weights are fetched


@dataclass(frozen=True)
class Published:
    """What a library publishes for a network; nothing for our own."""

    tags: Sequence[str] = ()  # names of the weights
    fetch: Callable[[str], Weights] | None = None  # the weights that `imagenet` or a tag names
    adapt: Callable[[Weights], Weights] = lambda loaded: loaded  # gives what was loaded the network's names


def _built(name: str, url: str, cached: str | None, build: Callable[[], nn.Module], hint: str = "") -> nn.Module:
    """Return the network that `build` makes with its published weights, which may have to be fetched from `url`.

    hint: another way to them, for the message where they cannot be had.
    The global random numbers and time-outs stay as they were. Raises UserError when the weights cannot be had, within
    seconds where the host cannot be reached.
    """
    before = socket.getdefaulttimeout()
    try:
        if cached is None:
            _reach(url)
        socket.setdefaulttimeout(4 * TIMEOUT)  # torch.hub sets none and would wait without end
        with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(sys.stderr):  # where downloads are announced
            return build()
    except Exception as error:  # of the hub, the network, the disk, or the library
        raise UserError(
            f"{name}: its pretrained weights cannot be fetched ({shortened(error)}).\n{hint}"
            "Give a local file, model.weights=PATH, or start from random weights, model.weights=null."
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _reach(url: str) -> None:
    """Raise OSError soon where the host of the weights does not answer: the hub's own retries last a minute."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=TIMEOUT).close()
    except urllib.error.HTTPError as answer:
        answer.close()  # it answered, that is enough


def _in_hub(url: str | None) -> str | None:
    """Return torch.hub's copy of what stands at `url`, if it has one."""
    name = os.path.basename(urllib.parse.urlparse(url or "").path)
    path = os.path.join(torch.hub.get_dir(), "checkpoints", name)
    return path if name and os.path.isfile(path) else None


def _normalisation(mean: tuple[float, ...], std: tuple[float, ...], library: str) -> Normalisation:
    """Name a normalisation: `imagenet` for the usual values, else the library and the values themselves."""
    from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    if (mean, std) == (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD):
        return Normalisation("imagenet", mean, std)
    parts = [",".join(f"{v:g}" for v in (values[:1] if len(set(values)) == 1 else values)) for values in (mean, std)]
    return Normalisation(f"{library} {'/'.join(parts)}", mean, std)


# ----------------------------------------------------------------------------------------------------------------- timm


def of_timm(name: str, **arguments: Any) -> Published:
    """What timm publishes for the network `name`; arguments: passed on to timm.create_model, as the network's were."""
    return Published(timm_tags(name), partial(from_timm, name, **arguments))


def of_timm_backbone(name: str, **arguments: Any) -> Published:
    """The same for a network that has the one of timm as its `backbone`."""
    return Published(timm_tags(name), partial(from_timm, name, **arguments), partial(_into_backbone, name))


def timm_tags(name: str) -> list[str]:
    """Return the tags of the weights that timm has for the network `name`, such as `a1_in1k`."""
    import timm

    return [full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*")]


def from_timm(name: str, tag: str, **arguments: Any) -> Weights:
    """Return timm's published weights of the network `name`: its default ones for `imagenet`, or those of a tag.

    `imagenet` may come from an installed package of weights, too, where timm has not fetched its own before.
    arguments: passed on to timm.create_model, so that the tensors get the shapes in use. sha256 is that of the cached
    file, or of the tensors where timm keeps them elsewhere. Raises UserError when they cannot be had.
    """
    import timm

    full = name if tag == "imagenet" else f"{name}.{tag}"
    configuration = timm.get_pretrained_cfg(full)
    cached = _cached(configuration)
    if tag == "imagenet" and not cached and (path := packaged(name)):
        with torch.device("meta"):
            tensors = timm.create_model(name).state_dict()
        return dataclasses.replace(from_package(name, path, tensors), normalisation=timm_normalisation(configuration))
    # Given a file, timm asks no host whether there is a newer one, which takes a minute where none answers.
    overlay = {"file": cached} if cached else None
    build = partial(timm.create_model, full, pretrained=True, pretrained_cfg_overlay=overlay, **arguments)
    network = _built(full, _url(configuration), cached, build, "" if cached else hint(name))
    tensors = network.state_dict()
    cached = cached or _cached(configuration)
    content = Path(cached).read_bytes() if cached else to_bytes(tensors, {})
    sha256 = hashlib.sha256(content).hexdigest()
    kind = "file" if cached else "tensors"
    notes = [f"weights: timm's {configuration.architecture}.{configuration.tag}, sha256 of the {kind} {sha256}"]
    return Weights(f"timm's {full}", tensors, sha256, timm_normalisation(configuration), notes=notes)


def _url(configuration: Any) -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT if configuration.hf_hub_id else configuration.url


def _cached(configuration: Any) -> str | None:
    """Return the file that timm has fetched before for this configuration, if any."""
    if not configuration.hf_hub_id:
        return _in_hub(configuration.url)
    from huggingface_hub import try_to_load_from_cache

    own = configuration.hf_hub_filename
    names = [own] if own else ["model.safetensors", "pytorch_model.bin"]
    found = [try_to_load_from_cache(configuration.hf_hub_id, name) for name in names]
    return next((path for path in found if isinstance(path, str)), None)


def timm_normalisation(configuration: Any) -> Normalisation:
    """Return what timm's configuration of some weights says about inputs."""
    return _normalisation(tuple(configuration.mean), tuple(configuration.std), "timm")


def _into_backbone(name: str, loaded: Weights) -> Weights:
    """Move tensors with timm's names below `backbone.`, without timm's classifier; a file of our own stays as it is.

    A file that says no normalisation is taken to expect that of timm's published weights.
    """
    import timm

    if any(key.startswith("backbone.") for key in loaded.tensors):
        return loaded
    configuration = timm.get_pretrained_cfg(name)
    own = configuration.classifier  # a prefix, or several
    own = own if isinstance(own, str) else tuple(own or ())
    left = [key for key in loaded.tensors if key.startswith(own)]
    notes = [*loaded.notes, *([f"weights: {loaded.origin}: left out {', '.join(left)}"] if left else [])]
    normalisation = loaded.normalisation
    if normalisation is None:
        normalisation = timm_normalisation(configuration)
        notes.append(f"weights: {loaded.origin} says no normalisation; taken: {normalisation.name}, as timm's {name}")
    kept = {f"backbone.{key}": tensor for key, tensor in loaded.tensors.items() if key not in left}
    return dataclasses.replace(loaded, tensors=kept, normalisation=normalisation, notes=notes)


# ---------------------------------------------------------------------------------------------------------- torchvision


def of_torchvision(name: str) -> Published:
    """What torchvision publishes for the network `name`."""
    return Published(torchvision_tags(name), partial(from_torchvision, name), partial(_adapted, name))


def torchvision_tags(name: str) -> list[str]:
    """Return the names of the weights that torchvision has for the network `name`, such as `IMAGENET1K_V1`."""
    import torchvision

    return [member.name for member in torchvision.models.get_model_weights(name)]


def from_torchvision(name: str, tag: str) -> Weights:
    """Return torchvision's published weights of the network `name`: its default ones for `imagenet`, or those of a tag.

    sha256 is that of the cached file, whose first digits torchvision has in its name. Raises UserError when the
    weights cannot be had, or the cached file is damaged.
    """
    import torchvision

    members = torchvision.models.get_model_weights(name)
    member = members.DEFAULT if tag == "imagenet" else members[tag]
    cached = _in_hub(member.url)
    if cached and not _matches(member, sha256_of(cached)):
        raise UserError(f"{cached} is damaged: its sha256 is not what its name says; delete it, to fetch it again")
    build = torchvision.models.get_model
    network = _built(str(member), member.url, cached, lambda: build(name, weights=member))
    sha256 = sha256_of(_in_hub(member.url))
    notes = [f"weights: torchvision's {member}, sha256 of the file {sha256}"]
    normalisation = _torchvision_normalisation(member)
    return Weights(f"torchvision's {member}", network.state_dict(), sha256, normalisation, notes=notes)


def _adapted(name: str, loaded: Weights) -> Weights:
    """Without classifiers halfway up, and recognised by its sha256."""
    left = [key for key in loaded.tensors if key.startswith(AUXILIARY_CLASSIFIERS)] if name in AUXILIARY else []
    if left:
        kept = {key: tensor for key, tensor in loaded.tensors.items() if key not in left}
        notes = [*loaded.notes, f"weights: {loaded.origin}: left out its auxiliary classifiers, {len(left)} tensors"]
        loaded = dataclasses.replace(loaded, tensors=kept, notes=notes)
    return _recognised(name, loaded)


def _recognised(name: str, loaded: Weights) -> Weights:
    """Add the normalisation to a copy of one of torchvision's files: it does not say it, but its sha256 is known."""
    import torchvision

    for member in torchvision.models.get_model_weights(name):
        if loaded.normalisation is None and _matches(member, loaded.sha256):
            notes = [*loaded.notes, f"weights: {loaded.origin} is torchvision's {member} by its sha256"]
            return dataclasses.replace(loaded, normalisation=_torchvision_normalisation(member), notes=notes)
    return loaded


def _matches(member: Any, sha256: str) -> bool:
    digits = re.search(r"-([0-9a-f]{8,})\.pth$", member.url)
    return digits is not None and sha256.startswith(digits[1])


def _torchvision_normalisation(member: Any) -> Normalisation:
    wanted = member.transforms()
    return _normalisation(tuple(wanted.mean), tuple(wanted.std), "torchvision")
