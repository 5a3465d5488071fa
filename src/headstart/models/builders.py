"""Networks by configuration, a function per `_target_`: random weights, or pretrained ones where asked."""

from typing import Annotated, Literal, TypeAlias, TypedDict, Unpack

from annotated_types import Ge, Le
from torch import nn

from headstart.errors import UserError
from headstart.models import architectures, library_networks, pretrained
from headstart.models.airbench import airbench as airbench_network
from headstart.models.freezing import UNTIL, BatchNorm, Freeze, check_batch_norm, check_freezing, cut
from headstart.models.load_weights import load_weights
from headstart.models.model import Model
from headstart.models.pretrained import Published
from headstart.models.trimmed_conv import trim
from headstart.typed import PictureSize, Positive, Truth

NOTHING_PUBLISHED = Published()
Stem = Literal["imagenet", "cifar"]


class LaterOptions(TypedDict, total=False):
    """Keys that the configurations saved by older runs lack, so that what was meant then stands where they are."""

    batch_norm: BatchNorm


class NetworkOptions(LaterOptions):
    """The keys that every network's file in conf/model has beside its own; conf/model/timm.yaml explains them."""

    weights: str | None
    keep_classifier: bool
    freeze: Freeze
    unfreeze_epoch: Annotated[int, Ge(2)] | None
    backbone_lr_factor: Positive


Options: TypeAlias = Unpack[NetworkOptions]


# ------------------------------------------------------------------------------------------------------------- our own


def cnn(
    *,
    depth: Annotated[int, Ge(1), Le(6)] = 3,
    width: Annotated[int, Ge(1), Le(256)] = 32,
    pooling: Literal["max", "average"] = "max",
    classes: int,
    class_names: tuple[str, ...],
    image_size: PictureSize,
    **options: Options,
) -> Model:
    """3x3 convolutions (32, 64, 128 channels), each with ReLU and 2x2 max pooling, then 512 hidden units.

    Input float32 [N, 3, image_size, image_size], output logits [N, classes]; 1,147,466 parameters at 32 px, 10 classes.
    depth: number of convolutions; width: channels of the first, doubled by each further one; pooling: behind each.
    options: the keys of conf/model/cnn.yaml. Raises UserError for pictures that are too small and unusable options.
    """
    times = f"halves it {depth} times" if depth != 1 else "halves it once"
    _check_size(image_size, 2**depth, f"cnn, which {times}")
    network = architectures.cnn(classes, image_size, depth, width, pooling)
    return _finish(network, "classifier", "cnn", class_names, image_size, **options)


def fan(*, classes: int, class_names: tuple[str, ...], image_size: PictureSize, **options: Options) -> Model:
    """Seven unpadded 3x3 convolutions with batch norm, ReLU and dropout, then 512 and 128 dense units.

    Input float32 [N, 3, image_size, image_size], output logits [N, classes]; 87,312,394 parameters at 32 px and 10
    classes, 87,316,426 with batch norm's moving statistics. options: the keys of conf/model/fan.yaml. Raises UserError
    for pictures smaller than 15 px and unusable options.
    """
    _check_size(image_size, 15, "fan, whose seven convolutions take 14 pixels off")
    return _finish(architectures.fan(classes, image_size), "classifier", "fan", class_names, image_size, **options)


def resnet9(*, classes: int, class_names: tuple[str, ...], image_size: PictureSize, **options: Options) -> Model:
    """ResNet-9 (Page 2018): eight convolutions, two residual connections; small, and strong on small pictures.

    Input float32 [N, 3, image_size, image_size], output logits [N, classes]; 6,573,120 parameters with 10 classes.
    options: the keys of conf/model/resnet9.yaml. Raises UserError for pictures smaller than 8 px and unusable options.
    """
    _check_size(image_size, 8, "resnet9, which halves it three times")
    return _finish(architectures.resnet9(classes), "classifier", "resnet9", class_names, image_size, **options)


def airbench(
    *, flip_averaging: Truth, classes: int, class_names: tuple[str, ...], image_size: PictureSize, **options: Options
) -> Model:
    """The network of the speed records on CIFAR-10 (Jordan 2024): a whitening convolution, then three pairs to 256.

    Input float32 [N, 3, image_size, image_size], output logits [N, classes]; 1,972,792 parameters with 10 classes. Its
    first filters come from the training images, unless `weights` has them. flip_averaging: whether it answers with the
    mean over a picture and its mirror image, where it does not learn. options: the keys of conf/model/airbench.yaml.
    Raises UserError for pictures smaller than 9 px and unusable options.
    """
    _check_size(image_size, 9, "airbench, which takes a pixel off and halves it three times")
    if flip_averaging and str(options.get("freeze")).startswith(UNTIL):
        raise UserError(
            f"model.freeze={options['freeze']} cannot cut a network that sees every picture twice; give "
            "model.flip_averaging=false"
        )
    network = airbench_network(classes, flip_averaging)
    return _finish(network, "classifier", "airbench", class_names, image_size, **options)


def _check_size(image_size: int, least: int, network: str) -> None:
    if image_size < least:
        raise UserError(f"image_size={image_size} is too small for model={network}; give {least} or more")


# --------------------------------------------------------------------------------------------- timm's and torchvision's


def timm_model(
    *,
    name: str,
    stem: Stem,
    classes: int,
    class_names: tuple[str, ...],
    image_size: PictureSize,
    **options: Options,
) -> Model:
    """An image classifier of timm, from random weights unless `weights` says otherwise.

    stem: `imagenet` leaves the network as it is; `cifar` gives a ResNet a 3x3 stem with stride 1 and no pooling.
    options: the keys of conf/model/timm.yaml. Raises UserError for names, stems, sizes and options that do not work.
    """
    network, classifier = library_networks.timm_network(name, stem, classes, image_size)
    published = pretrained.of_timm(name, **library_networks.fixed_size(name, image_size))
    return _finish(network, classifier, name, class_names, image_size, published, **options)


def timm_with_head(
    *, name: str, classes: int, class_names: tuple[str, ...], image_size: PictureSize, **options: Options
) -> Model:
    """A network of timm without its own head, with a convolution and three dense layers on its feature maps.

    With resnetv2_50 and 10 classes 26,140,362 parameters, batch norm's moving statistics included; its final batch norm
    is part of the backbone. Keras counts 26,159,370, because the convolutions of its backbone have biases.
    The whole head is the classifier. Weights: timm's published ones, a file with timm's names (whose own classifier is
    left out), or one from a run of this network. options: the keys of conf/model/resnet50v2_head.yaml. Raises UserError
    for names, sizes and options that do not work.
    """
    network = library_networks.timm_network_with_head(name, classes, image_size)
    published = pretrained.of_timm_backbone(name, **library_networks.backbone_arguments(name, image_size))
    return _finish(network, "classifier", f"{name} with a head", class_names, image_size, published, **options)


def torchvision_model(
    *,
    name: str,
    stem: Stem,
    classes: int,
    class_names: tuple[str, ...],
    image_size: PictureSize,
    **options: Options,
) -> Model:
    """An image classifier of torchvision, from random weights unless `weights` says otherwise.

    stem: as for `timm_model`. Weights: `imagenet` for torchvision's default ones, one of its names such as
    IMAGENET1K_V1, or a file with torchvision's tensor names. options: the keys of conf/model/torchvision.yaml. Raises
    UserError for names, stems, sizes and options that do not work.
    """
    network, classifier = library_networks.torchvision_network(name, stem, classes, image_size)
    published = pretrained.of_torchvision(name)
    model = _finish(network, classifier, name, class_names, image_size, published, **options)
    if name in library_networks.AUXILIARY:
        model.report.append(f"{name} shifts its inputs itself, as its ImageNet weights expect (transform_input)")
    return model


# ------------------------------------------------------------------------------------------------------- what all share


def _finish(
    network: nn.Module,
    classifier: str,
    architecture: str,
    class_names: tuple[str, ...],
    image_size: int,
    published: Published = NOTHING_PUBLISHED,
    **options: Options,
) -> Model:
    """Load and check weights, check the freezing and return the Model; what every network's function ends in.

    classifier: prefix of its parameters' names. published: what the network's library has for `options["weights"]`.
    Raises UserError for options that do not work.
    """
    if lacking := sorted(NetworkOptions.__required_keys__ - options.keys()):
        raise UserError(f"model.{lacking[0]} is taken out; give it a value, as the files in conf/model do")
    weights, freeze, factor = options["weights"], options["freeze"], float(options["backbone_lr_factor"])
    frozen = dict(freeze=freeze, unfreeze_epoch=options["unfreeze_epoch"], backbone_lr_factor=factor)
    check_freezing(**frozen)
    trim(network)
    batch_norm = options.get("batch_norm", "learn")
    model = Model(network, classifier, architecture, weights=weights, batch_norm=batch_norm, **frozen)
    cut(model, image_size)
    check_batch_norm(model)
    if weights is not None:
        load_weights(model, published, class_names, image_size, options["keep_classifier"])
        return model
    if options["keep_classifier"]:
        raise UserError("model.keep_classifier=true needs a file to take the classifier from: model.weights=PATH")
    model.report.append("weights: all tensors start from random values")
    if freeze != "none":
        said = f"model.freeze={freeze} with model.weights=null"
        model.report.append(f"{said}: warning, the frozen features are random")
    return model
