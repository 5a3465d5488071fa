"""A network seen as a backbone and a classifier: the two halves, and how many numbers are in them."""

import hashlib
from dataclasses import dataclass, field

import torch
from torch import nn

from headstart.models.stages import Cut, input_of
from headstart.models.weight_files import Normalisation

# Keys of a network in the configuration that say where its weights come from and what of it learns, not what it is.
NETWORK_OPTIONS = frozenset(
    {"weights", "keep_classifier", "freeze", "unfreeze_epoch", "backbone_lr_factor", "batch_norm"}
)
ON_GPU, ON_CPU, FEWEST = 500, 250, 16  # pictures that are evaluated at a time
CACHED_PIXELS = 250 * 32 * 32  # of them, on the CPU: what more leave in a layer no longer fits into its caches


@dataclass
class Model:
    """A network and what training has to know about it."""

    network: nn.Module
    classifier: str  # prefix of the classifier's parameters in network.state_dict(), e.g. "fc"
    name: str = "network"  # of the architecture
    normalisation: Normalisation | None = None  # what the weights in use expect; None: the data's own statistics
    weights: str | None = None  # as given
    weights_sha256: str | None = None
    freeze: str = "none"
    unfreeze_epoch: int | None = None  # first epoch, counted from 1, in which the backbone learns
    cut: Cut | None = None  # where only the lower stages are frozen
    backbone_lr_factor: float = 1.0
    batch_norm: str = "learn"  # fixed: the backbone's normalises by the statistics that came with its weights
    report: list[str] = field(default_factory=list)  # lines for the log
    fixed: frozenset[str] = field(init=False)  # parameters that the network itself never trains, such as sine positions

    def __post_init__(self) -> None:
        self.fixed = frozenset(name for name, p in self.network.named_parameters() if not p.requires_grad)


def in_classifier(model: Model, name: str) -> bool:
    """Whether the parameter or buffer of this name belongs to the classifier."""
    return name.startswith(model.classifier + ".")


def can_be_frozen(model: Model, name: str) -> bool:
    """Whether the module, parameter or buffer of this name is one that freezing holds still: the network's lower half.

    That is the backbone, or its stages below the place where the network is cut.
    """
    if model.cut is not None:
        return model.cut.holds(name)
    return name != model.classifier and not in_classifier(model, name)


def backbone_features(model: Model, images: torch.Tensor) -> torch.Tensor:
    """Return what the lower half makes of these normalised images, float [N, 3, height, width]: [N, ...].

    That is what the classifier is given, or what is handed up where the network is cut. The lower half runs in the mode
    it is in; what is above does not, so that its batch norm sees nothing. Under autocast the features may come in
    bfloat16.
    """
    if model.cut is not None:
        return model.cut.below(model.network, images)
    return input_of(model.network, model.classifier, images)


def classify(model: Model, features: torch.Tensor) -> torch.Tensor:
    """Return the logits [N, classes] that the rest gives for `backbone_features`, in the mode it is in."""
    if model.cut is not None:
        return model.cut.above(model.network, features)
    return model.network.get_submodule(model.classifier)(features).flatten(1)  # some of timm's are 1x1 convolutions


@torch.no_grad()
def halves_agree(model: Model, images: torch.Tensor) -> bool:
    """Whether `classify(backbone_features(images))` gives the network's logits to the last bit, in eval mode.

    It does for every file of conf/model; some network of timm's may compute more behind its classifier. The network is
    in eval mode afterwards.
    """
    model.network.eval()
    halves = classify(model, backbone_features(model, images))
    return torch.equal(model.network(images), halves)


def backbone_digest(model: Model) -> str:
    """Digest of the modules and the tensors of the lower half, 32 hexadecimal digits: equal where features are."""
    digest = hashlib.blake2b(digest_size=16)
    for name, module in model.network.named_modules():
        if not name or can_be_frozen(model, name):
            digest.update(f"{name} {type(module).__qualname__} {module.extra_repr()}\n".encode())
    for name, tensor in model.network.state_dict().items():
        if can_be_frozen(model, name):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def count_parameters(network: nn.Module) -> dict[str, int]:
    """Count `parameters`, those that are trainable, and those with batch norm's moving statistics, as Keras counts.

    Trainable are those that learn now. A run records the count at its end, so that `freeze=backbone_then_none` says
    all of them once the backbone was unfrozen, and the classifier's alone where the run ended before.
    """
    total = sum(p.numel() for p in network.parameters())
    statistics = sum(
        b.numel() for name, b in network.named_buffers() if name.endswith((".running_mean", ".running_var"))
    )
    return dict(
        parameters=total,
        parameters_trainable=sum(p.numel() for p in network.parameters() if p.requires_grad),
        parameters_with_statistics=total + statistics,
    )


def evaluation_batch(image_size: int, device: torch.device) -> int:
    """How many pictures of so many pixels across are evaluated at a time.

    By the device's kind alone, as last digits may depend on it. On the CPU half as many take half the memory, and less
    time but with networks that are all convolutions of few pixels (experiments/benchmarks/README.md).
    """
    if device.type != "cpu":
        return ON_GPU
    return min(ON_CPU, max(FEWEST, CACHED_PIXELS // image_size**2))
