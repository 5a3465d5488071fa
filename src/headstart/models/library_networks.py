"""Networks of timm and torchvision by their names, with random weights; names, stems and sizes are checked."""

import contextlib
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from headstart.errors import UserError
from headstart.models.architectures import Headed, dense_head

# Torchvision's networks with classifiers halfway up. These are left out: in training they would return several answers.
AUXILIARY = ("googlenet", "inception_v3")
WITHOUT_THEM = dict(aux_logits=False, init_weights=True, transform_input=True)  # as published weights expect inputs


def timm_network(name: str, stem: str, classes: int, image_size: int) -> tuple[nn.Module, str]:
    """A network of timm, and the prefix of its classifier. stem: `imagenet` or `cifar`; image_size: pixels.

    Raises UserError for names, stems and sizes that do not work.
    """
    import timm

    _check_timm_name(name)
    size = fixed_size(name, image_size)
    with _explained(name, image_size, classes):
        network = timm.create_model(name, num_classes=classes, **size)
        if stem == "cifar":
            _use_cifar_stem(network, name)
        _check_output(network, classes, image_size)
    return network, _classifier_of(network, name)


def timm_network_with_head(name: str, classes: int, image_size: int) -> Headed:
    """A network of timm without its own head, with `dense_head` on its feature maps; image_size: pixels.

    Raises UserError for names and sizes that do not work.
    """
    import timm

    _check_timm_name(name)
    arguments = backbone_arguments(name, image_size)
    with _explained(name, image_size, classes):
        backbone = timm.create_model(name, **arguments)
        network = Headed(backbone, dense_head(backbone.num_features, classes))
        _check_output(network, classes, image_size)
    return network


def torchvision_network(name: str, stem: str, classes: int, image_size: int) -> tuple[nn.Module, str]:
    """A network of torchvision, and the prefix of its classifier. stem: `imagenet` or `cifar`; image_size: pixels.

    Raises UserError for names, stems and sizes that do not work.
    """
    from torchvision import models

    _check_name(name, "torchvision", models.list_models(module=models))
    with _explained(name, image_size, classes):
        network = models.get_model(
            name, weights=None, num_classes=classes, **(WITHOUT_THEM if name in AUXILIARY else {})
        )
        if stem == "cifar":
            _use_cifar_stem(network, name)
        _check_output(network, classes, image_size)
    layers = [prefix for prefix, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return network, layers[-1]


def fixed_size(name: str, image_size: int) -> dict[str, int]:
    """The size in use as an argument, for those networks of timm that are built for one size."""
    import timm

    known = timm.get_pretrained_cfg(name)
    return {"img_size": image_size} if known is not None and known.fixed_input_size else {}


def backbone_arguments(name: str, image_size: int) -> dict[str, Any]:
    """Arguments with which timm makes a network that returns feature maps."""
    return dict(num_classes=0, global_pool="") | fixed_size(name, image_size)


def _check_timm_name(name: str | None) -> None:
    import timm

    known = timm.list_models()
    network, _, tag = str(name).partition(".")
    if name not in known and network in known:
        raise UserError(f"model.name={name} names weights too; give model.name={network} model.weights={tag}")
    _check_name(name, "timm", known)


def _check_name(name: str | None, library: str, known: list[str]) -> None:
    if not name or name == "???":
        raise UserError(f"model={library} needs the network's name: model.name=NAME, such as model.name=resnet18")
    if name not in known:
        close = get_close_matches(str(name), known, n=5)
        hint = f"did you mean {', '.join(close)}?" if close else f"{library}'s list_models() lists the names"
        raise UserError(f"model.name={name} is not a network of {library}; {hint}")


def _classifier_of(network: nn.Module, name: str) -> str:
    classifier = network.get_classifier()
    found = [prefix for prefix, module in network.named_modules() if module is classifier]
    if not found:
        raise UserError(f"model.name={name} has not one classifier but several, which headstart does not cover")
    return found[0]


@contextlib.contextmanager
def _explained(name: str, image_size: int, classes: int) -> Iterator[None]:
    """Turn what a library's network raises for a size or a number of classes into a UserError."""
    try:
        yield
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        raise UserError(
            f"model.name={name} does not work with image_size={image_size} and {classes} classes: {error}"
        ) from error


def _use_cifar_stem(network: nn.Module, name: str) -> None:
    """Replace a ResNet's 7x7 stride-2 convolution and its max pool, as He et al. 2016 do for CIFAR (section 4.2)."""
    first, pool = getattr(network, "conv1", None), getattr(network, "maxpool", None)
    if not (isinstance(first, nn.Conv2d) and isinstance(pool, nn.MaxPool2d)):
        raise UserError(
            f"model.stem=cifar needs a network with a single first convolution and a max pool, as resnet18 has; {name} "
            "has not. Give model.stem=imagenet."
        )
    network.conv1 = nn.Conv2d(first.in_channels, first.out_channels, kernel_size=3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")  # as timm does for the rest
    network.maxpool = nn.Identity()


@torch.no_grad()
def _check_output(network: nn.Module, classes: int, image_size: int) -> None:
    """Try one picture, so that a size too small is an error now and not in the middle of the first epoch."""
    network.eval()
    shape = tuple(network(torch.zeros(1, 3, image_size, image_size)).shape)
    network.train()
    if shape != (1, classes):
        raise ValueError(f"it returns {shape} where logits {(1, classes)} are needed")
