"""Networks by configuration: built with random weights, given pretrained ones where asked, frozen where asked."""

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from headstart import weights as weight_files
from headstart.errors import UserError
from headstart.weights import Normalisation, Weights, first_few

FREEZE = ("none", "backbone", "backbone_then_none")
COUNTER = ".num_batches_tracked"  # of batch norm; decides nothing at the default momentum


@dataclass
class Model:
    """A network and what training has to know about it."""

    network: nn.Module
    classifier: str  # prefix of the classifier's parameters in network.state_dict(), e.g. "fc"
    normalisation: Normalisation | None = None  # what the weights in use expect; None: the data's own statistics
    weights: str | None = None  # as given
    weights_sha256: str | None = None
    freeze: str = "none"
    unfreeze_epoch: int | None = None  # first epoch, counted from 1, in which the backbone learns
    backbone_lr_factor: float = 1.0
    image_size: int | None = None  # pixels that the model's own file asks for; None: the data's own
    name: str = "network"  # of the architecture
    report: list[str] = field(default_factory=list)  # lines for the log


def cnn(*, classes: int, class_names: tuple[str, ...], image_size: int, **options: Any) -> Model:
    """Three 3x3 convolutions (32, 64, 128), each with ReLU and 2x2 max pooling, then 512 hidden units.

    Input float32 [N, 3, image_size, image_size], output logits [N, classes]; 1,147,466 parameters at 32 px, 10 classes.
    options: the keys of conf/model/cnn.yaml. Raises UserError for pictures smaller than 8 px and unusable options.
    """
    if image_size < 8:
        raise UserError(
            f"image_size={image_size} is too small for model=cnn, which halves it three times; give 8 or more"
        )
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (inputs, outputs) in enumerate([(3, 32), (32, 64), (64, 128)], start=1):
        layers[f"convolution{number}"] = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)
        layers[f"activation{number}"] = nn.ReLU()
        layers[f"pool{number}"] = nn.MaxPool2d(2)
    layers["flatten"] = nn.Flatten()
    layers["hidden"] = nn.Linear(128 * (image_size // 8) ** 2, 512)
    layers["activation4"] = nn.ReLU()
    layers["classifier"] = nn.Linear(512, classes)
    return _finish(
        nn.Sequential(layers), "classifier", "cnn", class_names=class_names, image_size=image_size, **options
    )


def timm_model(
    *, name: str, stem: str, classes: int, class_names: tuple[str, ...], image_size: int, **options: Any
) -> Model:
    """An image classifier of timm, from random weights unless `weights` says otherwise.

    stem: `imagenet` leaves the network as it is; `cifar` gives a ResNet a 3x3 stem with stride 1 and no pooling.
    options: the keys of conf/model/timm.yaml. Raises UserError for names, stems, sizes and options that do not work.
    """
    import timm

    _check_name(name)
    if stem not in ("imagenet", "cifar"):
        raise UserError(f"model.stem={stem!r} is unknown; give imagenet or cifar")
    published = timm.get_pretrained_cfg(name)
    size = {"img_size": image_size} if published is not None and published.fixed_input_size else {}
    try:
        network = timm.create_model(name, num_classes=classes, **size)
        if stem == "cifar":
            _use_cifar_stem(network, name)
        _check_output(network, classes, image_size)
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        raise UserError(
            f"model.name={name} does not work with image_size={image_size} and {classes} classes: {error}"
        ) from error
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*")]
    return _finish(
        network, _classifier_of(network, name), name, class_names=class_names, image_size=image_size,
        tags=tags, timm_arguments=size, **options,
    )  # fmt: skip


def _check_name(name: str | None) -> None:
    import timm

    if not name or name == "???":
        raise UserError("model=timm needs the network's name: model.name=NAME, such as model.name=resnet18")
    known = timm.list_models()
    if name in known:
        return
    network, _, tag = str(name).partition(".")
    if network in known:
        raise UserError(f"model.name={name} names weights too; give model.name={network} model.weights={tag}")
    close = get_close_matches(str(name), known, n=5)
    hint = f"did you mean {', '.join(close)}?" if close else "timm.list_models() lists the names"
    raise UserError(f"model.name={name} is not a network of timm; {hint}")


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


def _classifier_of(network: nn.Module, name: str) -> str:
    classifier = network.get_classifier()
    found = [prefix for prefix, module in network.named_modules() if module is classifier]
    if not found:
        raise UserError(f"model.name={name} has not one classifier but several, which headstart does not cover")
    return found[0]


def _finish(
    network: nn.Module, classifier: str, architecture: str, *, class_names: tuple[str, ...], image_size: int,
    weights: str | None, keep_classifier: bool, freeze: str, unfreeze_epoch: int | None, backbone_lr_factor: float,
    tags: list[str] | None = None, timm_arguments: dict[str, Any] | None = None,
) -> Model:  # fmt: skip
    """Load and check weights, check the freezing and return the Model; what every network's function ends in."""
    _check_freezing(freeze, unfreeze_epoch, backbone_lr_factor)
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
    loaded = weight_files.load(weights, architecture, tags or [], **(timm_arguments or {}))
    model.normalisation, model.weights_sha256 = loaded.normalisation, loaded.sha256
    model.report += loaded.notes + _take(network, classifier, architecture, loaded, class_names, keep_classifier)
    if loaded.image_size not in (None, image_size):
        model.report.append(f"weights: trained at {loaded.image_size} px, in use at {image_size} px")
    return model


# -------------------------------------------------------------------------------------------------------------- weights


def _take(
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
        may = (
            "With model.keep_classifier=true nothing may differ" if keep else f"Only the classifier ({classifier}) may"
        )
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
    return [f"weights: {len(offered)} tensors from {loaded.origin}; start anew: {', '.join(anew) or 'none'}"]


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


# ----------------------------------------------------------------------------------------------------------- two halves


class _Reached(Exception):
    """Carries the classifier's input out of a forward pass that need not go on."""

    def __init__(self, features: torch.Tensor) -> None:
        super().__init__("the classifier was reached")
        self.features = features


def backbone_features(model: Model, images: torch.Tensor) -> torch.Tensor:
    """Return what the classifier is given for these normalised images, float [N, 3, height, width]: [N, ...].

    Everything before the classifier runs, in the mode it is in; the classifier does not, so that its batch norm sees
    nothing. Under autocast the features may come in bfloat16.
    """

    def leave(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        raise _Reached(inputs[0])

    hook = model.network.get_submodule(model.classifier).register_forward_pre_hook(leave)
    try:
        model.network(images)
    except _Reached as reached:
        return reached.features
    finally:
        hook.remove()
    raise RuntimeError(f"{type(model.network).__name__} never calls its classifier {model.classifier}")


def classify(model: Model, features: torch.Tensor) -> torch.Tensor:
    """Return the logits [N, classes] that the classifier gives for `backbone_features`, in the mode it is in."""
    return model.network.get_submodule(model.classifier)(features).flatten(1)  # some of timm's are 1x1 convolutions


@torch.no_grad()
def splits(model: Model, images: torch.Tensor) -> bool:
    """Whether `classify(backbone_features(images))` gives the network's logits to the last bit, in eval mode.

    It does for every file of conf/model; some network of timm's may compute more behind its classifier. The network is
    in eval mode afterwards.
    """
    model.network.eval()
    halves = classify(model, backbone_features(model, images))
    return torch.equal(model.network(images), halves)


# ------------------------------------------------------------------------------------------------------------- freezing


def _check_freezing(freeze: str, unfreeze_epoch: int | None, backbone_lr_factor: float) -> None:
    if freeze not in FREEZE:
        raise UserError(f"model.freeze={freeze!r} is unknown; give one of {', '.join(FREEZE)}")
    if freeze == "backbone_then_none":
        if type(unfreeze_epoch) is not int or unfreeze_epoch < 2:
            raise UserError(
                f"model.freeze=backbone_then_none needs model.unfreeze_epoch=N, the first epoch in which the backbone "
                f"learns, 2 or more; got {unfreeze_epoch!r}"
            )
    elif unfreeze_epoch is not None:
        raise UserError(
            f"model.unfreeze_epoch={unfreeze_epoch} has no effect with model.freeze={freeze}; "
            "give model.freeze=backbone_then_none or leave it null"
        )
    if isinstance(backbone_lr_factor, bool) or not isinstance(backbone_lr_factor, int | float):
        raise UserError(
            f"model.backbone_lr_factor={backbone_lr_factor!r} is not a number; give one above 0, such as 0.1"
        )
    if not (math.isfinite(backbone_lr_factor) and backbone_lr_factor > 0):
        raise UserError(
            f"model.backbone_lr_factor={backbone_lr_factor} is not above 0; "
            "to hold the backbone still, give model.freeze=backbone"
        )
    if freeze == "backbone" and backbone_lr_factor != 1:
        raise UserError("model.backbone_lr_factor has no effect with model.freeze=backbone; leave it 1")


def is_frozen(model: Model, epoch: int) -> bool:
    """Whether the backbone stands still in that epoch, counted from 1, and so is what it was at the start."""
    return model.freeze == "backbone" or (model.freeze == "backbone_then_none" and epoch < model.unfreeze_epoch)


def set_trainable(model: Model, epoch: int) -> bool:
    """Freeze or unfreeze for an epoch, counted from 1; call it after network.train().

    Frozen layers need no gradients and are in eval mode, batch norm and dropout included.
    Returns whether the set of trainable parameters changed.
    """
    frozen = is_frozen(model, epoch)
    if frozen:
        model.network.eval()
        model.network.get_submodule(model.classifier).train()
    changed = False
    for name, parameter in model.network.named_parameters():
        trainable = not frozen or in_classifier(model, name)
        changed |= parameter.requires_grad != trainable
        parameter.requires_grad_(trainable)
    return changed


def parameter_groups(model: Model, lr: float) -> list[dict[str, Any]]:
    """Return optimizer groups of the trainable parameters: classifier at `lr`, backbone at its factor of `lr`."""
    trainable = [(name, p) for name, p in model.network.named_parameters() if p.requires_grad]
    head = [p for name, p in trainable if in_classifier(model, name)]
    backbone = [p for name, p in trainable if not in_classifier(model, name)]
    groups = [dict(params=head, lr=lr), dict(params=backbone, lr=lr * model.backbone_lr_factor)]
    return [group for group in groups if group["params"]]


def in_classifier(model: Model, name: str) -> bool:
    """Whether a parameter or buffer of that name in the network belongs to the classifier."""
    return name.startswith(model.classifier + ".")


def count_parameters(network: nn.Module) -> dict[str, int]:
    """Count `parameters`, those that are trainable, and those with batch norm's moving statistics, as Keras counts."""
    total = sum(p.numel() for p in network.parameters())
    statistics = sum(
        b.numel() for name, b in network.named_buffers() if name.endswith((".running_mean", ".running_var"))
    )
    return dict(
        parameters=total,
        parameters_trainable=sum(p.numel() for p in network.parameters() if p.requires_grad),
        parameters_with_statistics=total + statistics,
    )
