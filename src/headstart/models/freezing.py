"""Which parameters and statistics learn in an epoch, and at which learning rate."""

from typing import Annotated, Any, Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from headstart.errors import UserError
from headstart.models.model import Model, can_be_frozen, in_classifier
from headstart.models.stages import cut_behind
from headstart.typed import Spelt

UNTIL = "backbone_until:"
Freeze = Literal["none", "backbone", "backbone_then_none"] | Annotated[str, Spelt(f"{UNTIL}[1-9][0-9]*", f"{UNTIL}N")]

BatchNorm = Literal["learn", "fixed"]


def check_freezing(freeze: Freeze, unfreeze_epoch: int | None, backbone_lr_factor: float) -> None:
    """Refuse values of these keys that do not go together. Raises UserError."""
    if freeze == "backbone_then_none":
        if unfreeze_epoch is None:
            raise UserError(
                "model.freeze=backbone_then_none needs model.unfreeze_epoch=N, the first epoch in which the backbone "
                "learns, 2 or more"
            )
    elif unfreeze_epoch is not None:
        raise UserError(
            f"model.unfreeze_epoch={unfreeze_epoch} has no effect with model.freeze={freeze}; "
            "give model.freeze=backbone_then_none or leave it null"
        )
    if freeze == "backbone" and backbone_lr_factor != 1:
        raise UserError("model.backbone_lr_factor has no effect with model.freeze=backbone; leave it 1")


def cut(model: Model, image_size: int) -> None:
    """With model.freeze=backbone_until:N cut the network behind its stage N; nothing with any other value.

    image_size: pixels. Raises UserError for a number that the network has not, and where it cannot be cut.
    """
    if model.freeze.startswith(UNTIL):
        number, asked = int(model.freeze.removeprefix(UNTIL)), f"model.freeze={model.freeze}"
        model.cut = cut_behind(model.network, model.classifier, number, image_size, asked, model.name)
        model.report.append(f"frozen: all up to and with {model.cut.stage}; what is above learns")


def check_batch_norm(model: Model) -> None:
    """Refuse model.batch_norm=fixed where there are no statistics worth keeping. Raises UserError."""
    if model.batch_norm != "fixed":
        return
    if model.weights is None:
        raise UserError(
            "model.batch_norm=fixed keeps the statistics that come with weights, and model.weights=null has none; give "
            "model.weights=imagenet or a file, or leave it learn"
        )
    if stays_frozen(model) and model.cut is None:
        raise UserError(
            "model.batch_norm=fixed has no effect with model.freeze=backbone, which keeps them; leave it learn"
        )
    if not any(_in_backbone(model, name, module) for name, module in model.network.named_modules()):
        raise UserError(
            f"model.batch_norm=fixed: the backbone of {model.name} has no batch normalisation; leave it learn"
        )


def stays_frozen(model: Model) -> bool:
    """Whether what is frozen never learns."""
    return model.freeze == "backbone" or model.cut is not None


def is_frozen(model: Model, epoch: int) -> bool:
    """Whether the lower half stands still in that epoch, counted from 1, and so is still what it was at the start."""
    return stays_frozen(model) or (model.freeze == "backbone_then_none" and epoch < model.unfreeze_epoch)


def set_trainable(model: Model, epoch: int) -> bool:
    """Freeze or unfreeze for an epoch, counted from 1; call it after network.train().

    Frozen layers need no gradients and are in eval mode, batch norm and dropout included. With model.batch_norm=fixed
    the backbone's batch norm is in eval mode in every epoch, while its scale and shift learn: a few small batches make
    poor statistics, and those of the first ones throw a pretrained backbone far off. That is how Keras's guide to
    transfer learning unfreezes (https://keras.io/guides/transfer_learning).
    Returns whether the set of trainable parameters changed.
    """
    frozen = is_frozen(model, epoch)
    if frozen and model.cut is not None:
        for name in model.cut.modules:
            model.network.get_submodule(name).eval()
    elif frozen:
        model.network.eval()
        model.network.get_submodule(model.classifier).train()
    if model.batch_norm == "fixed":
        for name, module in model.network.named_modules():
            if _in_backbone(model, name, module):
                module.eval()
    changed = False
    for name, parameter in model.network.named_parameters():
        trainable = name not in model.fixed and not (frozen and can_be_frozen(model, name))
        changed |= parameter.requires_grad != trainable
        parameter.requires_grad_(trainable)
    return changed


def learns_batch_norm(model: Model) -> bool:
    """Whether some batch normalisation normalises by its batch in some epoch, for which one picture is too few."""
    for name, module in model.network.named_modules():
        fixed = model.batch_norm == "fixed" and _in_backbone(model, name, module)
        if isinstance(module, _BatchNorm) and not fixed and not (stays_frozen(model) and can_be_frozen(model, name)):
            return True
    return False


def _in_backbone(model: Model, name: str, module: nn.Module) -> bool:
    """Whether this is a batch normalisation outside the classifier, so one that came with the weights."""
    return isinstance(module, _BatchNorm) and not in_classifier(model, name)


def parameter_groups(model: Model, lr: float) -> list[dict[str, Any]]:
    """Return optimizer groups of the trainable parameters: classifier at `lr`, backbone at its factor of `lr`."""
    trainable = [(name, p) for name, p in model.network.named_parameters() if p.requires_grad]
    head = [p for name, p in trainable if in_classifier(model, name)]
    backbone = [p for name, p in trainable if not in_classifier(model, name)]
    groups = [dict(params=head, lr=lr), dict(params=backbone, lr=lr * model.backbone_lr_factor)]
    return [group for group in groups if group["params"]]
