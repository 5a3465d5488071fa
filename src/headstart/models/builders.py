"""Networks by configuration, a function per `_target_`: random weights, or pretrained ones where asked."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import partial
from typing import Any

import torch
from torch import nn

from headstart.errors import UserError
from headstart.models import architectures as networks
from headstart.models import pretrained as published
from headstart.models import weight_files
from headstart.models.freezing import check_freezing, parameter_groups, set_trainable
from headstart.models.load_weights import export_bytes, take
from headstart.models.model import Model, backbone_features, classify, count_parameters, splits
from headstart.models.trimmed_conv import trim
from headstart.models.weight_files import Normalisation, Weights

__all__ = [
    "Model", "Normalisation", "backbone_features", "classify", "cnn", "count_parameters", "export_bytes", "fan",
    "parameter_groups", "resnet9", "set_trainable", "splits", "timm_model", "timm_with_head", "torchvision_model",
]  # fmt: skip

SEVERAL_OUTPUTS = ("googlenet", "inception_v3")  # torchvision's networks that return more than logits in training


# ------------------------------------------------------------------------------------------------------------- our own


def cnn(*, classes: int, class_names: tuple[str, ...], image_size: int, **options: Any) -> Model:
    """Three 3x3 convolutions (32, 64, 128), each with ReLU and 2x2 max pooling, then 512 hidden units.

    Input float32 [N, 3, image_size, image_size], output logits [N, classes]; 1,147,466 parameters at 32 px, 10 classes.
    options: the keys of conf/model/cnn.yaml. Raises UserError for pictures smaller than 8 px and unusable options.
    """
    _check_size(image_size, 8, "cnn, which halves it three times")
    return _finish(networks.cnn(classes, image_size), "classifier", "cnn", class_names, image_size, **options)


def fan(*, classes: int, class_names: tuple[str, ...], image_size: int, **options: Any) -> Model:
    """Seven unpadded 3x3 convolutions with batch norm, ReLU and dropout, then 512 and 128 dense units.

    Input float32 [N, 3, image_size, image_size], output logits [N, classes]; 87,312,394 parameters at 32 px and 10
    classes, 87,316,426 with batch norm's moving statistics. options: the keys of conf/model/fan.yaml. Raises UserError
    for pictures smaller than 15 px and unusable options.
    """
    _check_size(image_size, 15, "fan, whose seven convolutions take 14 pixels off")
    return _finish(networks.fan(classes, image_size), "classifier", "fan", class_names, image_size, **options)


def resnet9(*, classes: int, class_names: tuple[str, ...], image_size: int, **options: Any) -> Model:
    """ResNet-9 (Page 2018): eight convolutions, two residual connections; small, and strong on small pictures.

    Input float32 [N, 3, image_size, image_size], output logits [N, classes]; 6,573,120 parameters with 10 classes.
    options: the keys of conf/model/resnet9.yaml. Raises UserError for pictures smaller than 8 px and unusable options.
    """
    _check_size(image_size, 8, "resnet9, which halves it three times")
    return _finish(networks.resnet9(classes), "classifier", "resnet9", class_names, image_size, **options)


def _check_size(image_size: int, least: int, network: str) -> None:
    if image_size < least:
        raise UserError(f"image_size={image_size} is too small for model={network}; give {least} or more")


# ----------------------------------------------------------------------------------------------------------------- timm


def timm_model(
    *, name: str, stem: str, classes: int, class_names: tuple[str, ...], image_size: int, **options: Any
) -> Model:
    """An image classifier of timm, from random weights unless `weights` says otherwise.

    stem: `imagenet` leaves the network as it is; `cifar` gives a ResNet a 3x3 stem with stride 1 and no pooling.
    options: the keys of conf/model/timm.yaml. Raises UserError for names, stems, sizes and options that do not work.
    """
    import timm

    _check_timm_name(name)
    _check_stem(stem)
    size = _fixed_size(name, image_size)
    with _explained(name, image_size, classes):
        network = timm.create_model(name, num_classes=classes, **size)
        if stem == "cifar":
            _use_cifar_stem(network, name)
        _check_output(network, classes, image_size)
    return _finish(
        network, _classifier_of(network, name), name, class_names, image_size,
        tags=published.timm_tags(name), fetch=partial(published.from_timm, name, **size), **options,
    )  # fmt: skip


def timm_with_head(*, name: str, classes: int, class_names: tuple[str, ...], image_size: int, **options: Any) -> Model:
    """A network of timm without its own head, with a convolution and three dense layers on its feature maps.

    With resnetv2_50 and 10 classes 26,140,362 parameters, batch norm's moving statistics included; its final batch norm
    is part of the backbone. Keras counts 26,159,370, because the convolutions of its backbone have biases.
    The whole head is the classifier. Weights: timm's published ones, a file with timm's names (whose own classifier is
    left out), or one from a run of this network. options: the keys of conf/model/resnet50v2_head.yaml. Raises UserError
    for names, sizes and options that do not work.
    """
    import timm

    _check_timm_name(name)
    pieces = dict(num_classes=0, global_pool="") | _fixed_size(name, image_size)
    with _explained(name, image_size, classes):
        backbone = timm.create_model(name, **pieces)
        network = networks.Headed(backbone, networks.dense_head(backbone.num_features, classes))
        _check_output(network, classes, image_size)
    return _finish(
        network, "classifier", f"{name} with a head", class_names, image_size, tags=published.timm_tags(name),
        fetch=partial(published.from_timm, name, **pieces), adapt=partial(_into_backbone, name), **options,
    )  # fmt: skip


def _into_backbone(name: str, loaded: Weights) -> Weights:
    """Move tensors with timm's names below `backbone.`, without timm's classifier; a file of our own stays as it is.

    A file that says no normalisation is taken to expect that of timm's published weights.
    """
    import timm

    if any(key.startswith("backbone.") for key in loaded.tensors):
        return loaded
    known = timm.get_pretrained_cfg(name)
    own = known.classifier if isinstance(known.classifier, str) else tuple(known.classifier or ())
    left = [key for key in loaded.tensors if key.startswith(own)]
    notes = [*loaded.notes, *([f"weights: {loaded.origin}: left out {', '.join(left)}"] if left else [])]
    normalisation = loaded.normalisation
    if normalisation is None:
        normalisation = published.normalisation_of(known)
        notes.append(f"weights: {loaded.origin} says no normalisation; taken: {normalisation.name}, as timm's {name}")
    kept = {f"backbone.{key}": tensor for key, tensor in loaded.tensors.items() if key not in left}
    return dataclasses.replace(loaded, tensors=kept, normalisation=normalisation, notes=notes)


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


def _fixed_size(name: str, image_size: int) -> dict[str, int]:
    """The size in use as an argument, for those networks of timm that are built for one size."""
    import timm

    known = timm.get_pretrained_cfg(name)
    return {"img_size": image_size} if known is not None and known.fixed_input_size else {}


def _classifier_of(network: nn.Module, name: str) -> str:
    classifier = network.get_classifier()
    found = [prefix for prefix, module in network.named_modules() if module is classifier]
    if not found:
        raise UserError(f"model.name={name} has not one classifier but several, which headstart does not cover")
    return found[0]


# ---------------------------------------------------------------------------------------------------------- torchvision


def torchvision_model(
    *, name: str, stem: str, classes: int, class_names: tuple[str, ...], image_size: int, **options: Any
) -> Model:
    """An image classifier of torchvision, from random weights unless `weights` says otherwise.

    stem: as for `timm_model`. Weights: `imagenet` for torchvision's default ones, one of its names such as
    IMAGENET1K_V1, or a file with torchvision's tensor names. options: the keys of conf/model/torchvision.yaml. Raises
    UserError for names, stems, sizes and options that do not work.
    """
    from torchvision import models

    _check_name(name, "torchvision", models.list_models(module=models))
    if name in SEVERAL_OUTPUTS:
        raise UserError(f"model.name={name} has not one classifier but several, which headstart does not cover")
    _check_stem(stem)
    with _explained(name, image_size, classes):
        network = models.get_model(name, weights=None, num_classes=classes)
        if stem == "cifar":
            _use_cifar_stem(network, name)
        _check_output(network, classes, image_size)
    layers = [prefix for prefix, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return _finish(
        network, layers[-1], name, class_names, image_size,
        tags=published.torchvision_tags(name), fetch=partial(published.from_torchvision, name),
        adapt=partial(published.recognise_torchvision, name), **options,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------- what all share


@contextlib.contextmanager
def _explained(name: str, image_size: int, classes: int) -> Iterator[None]:
    """Turn what a library's network raises for a size or a number of classes into a UserError."""
    try:
        yield
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        raise UserError(
            f"model.name={name} does not work with image_size={image_size} and {classes} classes: {error}"
        ) from error


def _check_stem(stem: str) -> None:
    if stem not in ("imagenet", "cifar"):
        raise UserError(f"model.stem={stem!r} is unknown; give imagenet or cifar")


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


def _finish(
    network: nn.Module, classifier: str, architecture: str, class_names: tuple[str, ...], image_size: int, *,
    weights: str | None, keep_classifier: bool, freeze: str, unfreeze_epoch: int | None, backbone_lr_factor: float,
    tags: list[str] | None = None, fetch: Callable[[str], Weights] | None = None,
    adapt: Callable[[Weights], Weights] = lambda loaded: loaded,
) -> Model:  # fmt: skip
    """Load and check weights, check the freezing and return the Model; what every network's function ends in.

    tags, fetch: names of the published weights, and what returns them. adapt: makes the tensors' names the network's.
    """
    check_freezing(freeze, unfreeze_epoch, backbone_lr_factor)
    trim(network)
    model = Model(
        network, classifier, weights=weights, freeze=freeze, unfreeze_epoch=unfreeze_epoch,
        backbone_lr_factor=float(backbone_lr_factor), name=architecture,
    )  # fmt: skip
    if weights is None:
        if keep_classifier:
            raise UserError("model.keep_classifier=true needs a file to take the classifier from: model.weights=PATH")
        model.report.append("weights: all tensors start from random values")
        if freeze != "none":
            model.report.append(
                f"model.freeze={freeze} with model.weights=null: warning, the frozen features are random"
            )
        return model
    loaded = adapt(weight_files.load(weights, architecture, tags or [], fetch))
    model.normalisation, model.weights_sha256 = loaded.normalisation, loaded.sha256
    model.report += loaded.notes + take(network, classifier, architecture, loaded, class_names, keep_classifier)
    if loaded.image_size not in (None, image_size):
        model.report.append(f"weights: trained at {loaded.image_size} px, in use at {image_size} px")
    return model
