"""Which parameters learn in an epoch, and at which learning rate."""

import math
from typing import Any

from headstart.errors import UserError
from headstart.models.model import Model, in_classifier

FREEZE = ("none", "backbone", "backbone_then_none")


def check_freezing(freeze: str, unfreeze_epoch: int | None, backbone_lr_factor: float) -> None:
    """Refuse values of these keys that do not go together. Raises UserError."""
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
    """Whether the backbone stands still in that epoch, counted from 1, and so is still what it was at the start."""
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
        trainable = name not in model.fixed and (not frozen or in_classifier(model, name))
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
