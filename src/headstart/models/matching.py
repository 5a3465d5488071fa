"""The names of a file's tensors, brought to those of a network: prefixes left out, what is foreign left behind.

One rule for checkpoints of any origin: of all prefixes of the names in a file, that counts behind which most of the
network's names stand. It may be a checkpoint's container, a wrapper's attribute, or both: state_dict.module.model.
"""

import dataclasses
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping

import torch
from torch import nn

from headstart.errors import UserError
from headstart.models.model import Model, in_classifier
from headstart.models.weight_files import COUNTER, Weights, first_few

WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
# Of several copies that fit the first of these: moving averages, as timm prefers them, then what training ends with.
PREFERRED = ["state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema", "teacher", "encoder_q"]
PREFERRED += ["base_encoder", "state_dict", "model_state_dict", "model_state", "model", "net"]
LOSSES = r"(?:\w+_)?(?:criterion|loss|metrics?|acc|accuracy)(?:_\w+|s|\d+)?|n_averaged|loss_fn"
HEADS = "head|heads|fc|classifier|classif|last_linear|linear|logits|output|projector|projection_head|predictor|mlp_head"
FOREIGN = re.compile(rf"(?:{LOSSES}|{HEADS})\..*|n_averaged")  # beside a network in the same attribute
BACKBONE = "backbone."  # below which a network with a head of ours has the library's


def matched(loaded: Weights, model: Model, adapt: Callable[[Weights], Weights]) -> Weights:
    """The weights with the network's names; their notes say what was left out.

    adapt: gives them the network's names where those are a library's. Raises UserError where two sets of tensors fit
    equally well, and where the network's place is taken by what is no plain tensor.
    """
    own = {name: tensor.shape for name, tensor in model.network.state_dict().items()}
    names = own | {n.removeprefix(BACKBONE): shape for n, shape in own.items() if n.startswith(BACKBONE)}
    prefix, inner = _place(loaded, names, len(own))
    tensors = {_without(name, inner).removeprefix(prefix): name for name in loaded.tensors}
    tensors = {n: loaded.tensors[name] for n, name in tensors.items() if _without(name, inner).startswith(prefix)}
    missed = [name for name in loaded.strange if name.startswith(prefix) and name.removeprefix(prefix) in names]
    if missed:
        raise UserError(
            f"{loaded.origin} holds things that are not plain tensors: {first_few(missed)}; "
            "save network.state_dict() alone"
        )
    kept = adapt(_converted(dataclasses.replace(loaded, tensors=tensors), model))
    tops = {name.partition(".")[0] for name in own}
    beside = [n for n in kept.tensors if n not in own and n.partition(".")[0] not in tops and FOREIGN.match(n)]
    outside = [n for n in loaded.tensors if not _without(n, inner).startswith(prefix)]
    said = [f"{prefix!r}, which the names of {len(tensors)} tensors began with"] * bool(prefix)
    said += [f"{' and '.join(inner)} within names"] * bool(inner)
    said += [f"as foreign {_grouped([*outside, *beside])}"] * bool(outside or beside)
    notes = [f"weights: {loaded.origin}: left out {'; '.join(said)}", *kept.notes] if said else kept.notes
    left = {n: t for n, t in kept.tensors.items() if n not in beside}
    return dataclasses.replace(kept, tensors=left, notes=notes)


def fits(loaded: Weights, model: Model) -> bool:
    """Whether the file has this network, and nothing else, but for the classifier; the network may be on `meta`."""
    try:
        tensors = matched(loaded, model, lambda same: same).tensors
    except UserError:
        return False
    own = model.network.state_dict()
    return _fits(tensors, model) and all(name in own or in_classifier(model, name) for name in tensors)


def _place(loaded: Weights, names: Mapping[str, torch.Size], most: int) -> tuple[str, tuple[str, ...]]:
    """The prefix behind which the network stands in the file, and the wrappers that have to go from within its names.

    most: how many names can be found at all.
    """
    found = {(): _best_prefix(loaded, names, (), most)}
    within = {part for name in loaded.tensors for part in name.split(".")[1:-1]}
    if inner := tuple(sorted(within & {*WRAPPERS})):
        found[inner] = _best_prefix(loaded, names, inner, most)
    best = max(found, key=lambda inner: (found[inner][1], inner == ()))
    prefix, score = found[best]
    return (prefix, best) if 2 * score >= most else (_largest(loaded), ())


def _best_prefix(
    loaded: Weights, names: Mapping[str, torch.Size], inner: tuple[str, ...], most: int
) -> tuple[str, int]:
    """The prefix behind which most of `names` stand, and how many do."""
    scores, fitting = Counter({"": 0}), Counter()
    for full, tensor in loaded.tensors.items():
        name = _without(full, inner)
        places = [0, *(place + 1 for place, letter in enumerate(name) if letter == ".")]
        for place in places:
            if (shape := names.get(name[place:])) is not None:
                scores[name[:place]] += 1
                fitting[name[:place]] += shape == tensor.shape
    rank = {prefix: (scores[prefix], fitting[prefix], -_rank(prefix)) for prefix in scores}
    best = max(rank, key=lambda prefix: (rank[prefix], -len(prefix)))
    equal = [prefix for prefix in rank if rank[prefix] == rank[best] and prefix != best]
    if 2 * scores[best] >= most and not all(_same(loaded, best, prefix) for prefix in equal):
        keep = f"{{k.removeprefix({best!r}): v for k, v in state_dict.items() if k.startswith({best!r})}}"
        raise UserError(
            f"{loaded.origin} holds several networks that fit: below {first_few([repr(best), *map(repr, equal)])}.\n"
            f"Save the one that is meant alone, such as torch.save({keep}, 'one.pth')."
        )
    return best, scores[best]


def _rank(prefix: str) -> int:
    """Place of a prefix in PREFERRED; none comes last."""
    return min((PREFERRED.index(part) for part in prefix.split(".") if part in PREFERRED), default=len(PREFERRED))


def _same(loaded: Weights, one: str, other: str) -> bool:
    """Whether what stands behind both prefixes is the same, to the last bit."""
    first = {name.removeprefix(one): t for name, t in loaded.tensors.items() if name.startswith(one)}
    return all(
        torch.equal(tensor, loaded.tensors[other + name])
        for name, tensor in first.items()
        if other + name in loaded.tensors
    )


def _largest(loaded: Weights) -> str:
    """The container with most tensors, for a file that holds another network: messages then show its names."""
    if not loaded.containers:  # of tensors that a library gave us
        return ""
    most = max(loaded.containers.values())
    prefix = min((place for place, number in loaded.containers.items() if number == most), key=_rank)
    inside = [name.removeprefix(prefix) for name in loaded.tensors if name.startswith(prefix)]
    while (first := inside[0].partition(".")[0]) in WRAPPERS and all(n.startswith(f"{first}.") for n in inside):
        prefix, inside = f"{prefix}{first}.", [name.removeprefix(f"{first}.") for name in inside]
    return prefix


def _without(name: str, inner: tuple[str, ...]) -> str:
    return ".".join(part for part in name.split(".") if part not in inner) if inner else name


def _grouped(names: list[str]) -> str:
    """`criterion.weight, optimizer (12 tensors)`: one by one, or by what they begin with."""
    groups = Counter(name.partition(".")[0] for name in names)
    shown = [next(n for n in names if n.partition(".")[0] == g) if k == 1 else f"{g} ({k})" for g, k in groups.items()]
    number = "1 tensor" if len(names) == 1 else f"{len(names)} tensors"
    return f"{number}: {first_few(shown)}"


# ------------------------------------------------------------------------------------------- what libraries convert


def _converted(loaded: Weights, model: Model) -> Weights:
    """The weights as the network's library converts them, where they do not fit as they are.

    That is timm's own function for files of other sizes and tools, and torchvision's for positions of another size.
    """
    convert = _converter(model.network)
    if convert is None or _fits(loaded.tensors, model):
        return loaded
    try:
        tensors = convert(dict(loaded.tensors))
    except Exception:  # of a file of another network: what does not fit is named in a moment
        return loaded
    if not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()) or not _fits(tensors, model):
        return loaded
    before = loaded.tensors
    changed = [
        f"{name} from {list(before[name].shape)} to {list(tensor.shape)}"
        for name, tensor in tensors.items()
        if name in before and before[name].shape != tensor.shape
    ]
    renamed = [name for name in tensors if name not in before]
    library = type(model.network).__module__.partition(".")[0]
    said = [f"resampled {first_few(changed)}"] * bool(changed) + [f"renamed {len(renamed)} tensors"] * bool(renamed)
    notes = [*loaded.notes, f"weights: {loaded.origin}: {', '.join(said) or 'converted'}, as {library} does"]
    return dataclasses.replace(loaded, tensors=tensors, notes=notes)


def _fits(tensors: Mapping[str, torch.Tensor], model: Model) -> bool:
    """Whether all of the network but its classifier is there, in its shapes."""
    own = {n: t for n, t in model.network.state_dict().items() if not in_classifier(model, n)}
    return all(n.endswith(COUNTER) or (n in tensors and tensors[n].shape == t.shape) for n, t in own.items())


def _converter(network: nn.Module) -> Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]] | None:
    module = sys.modules[type(network).__module__]
    if module.__name__.startswith("timm.") and (convert := getattr(module, "checkpoint_filter_fn", None)):
        return lambda tensors: convert(tensors, network)
    if module.__name__ == "torchvision.models.vision_transformer":
        return lambda tensors: module.interpolate_embeddings(network.image_size, network.patch_size, tensors)
    return None
