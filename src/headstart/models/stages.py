"""The stages of a network, and where it is cut between two of them: below nothing learns, above all does.

A stage is one of the network's own modules with a kernel or a weight matrix, and the modules that it calls next and
that have none (normalisation, activation, pooling); stages are counted from the picture up. Where that makes fewer than
four, the modules inside the largest one stand in its place: `blocks.0` to `blocks.6` in that of `blocks`.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headstart.errors import UserError

FEWEST = 4


class _Reached(Exception):
    """Carries a tensor out of a forward pass that need not go on."""

    def __init__(self, tensor: Tensor) -> None:
        super().__init__("the place was reached")
        self.tensor = tensor


@dataclass(frozen=True)
class Cut:
    """Where a network is cut: what is below, by the names of its modules and tensors."""

    stage: str  # the last one below, such as blocks.4
    modules: tuple[str, ...]  # of all stages below, in the order in which they are called
    tensors: frozenset[str]  # parameters and buffers that what is above does not use
    answers: tuple[Tensor, ...]  # what the modules but for the last give for one picture
    picture: Tensor

    def holds(self, name: str) -> bool:
        """Whether the module, parameter or buffer of this name is below."""
        return name in self.tensors or any(name == own or name.startswith(f"{own}.") for own in self.modules)

    def below(self, network: nn.Module, images: Tensor) -> Tensor:
        """What the last stage below makes of normalised images [N, 3, height, width]."""
        return output_of(network, self.modules[-1], images)

    def above(self, network: nn.Module, features: Tensor) -> Tensor:
        """The network's answer where the last stage below gives `features`: logits [N, classes].

        The network's own forward pass runs, so that what it does between its modules is done; those below answer
        at once.
        """
        answers = [answer.to(features.device) if isinstance(answer, Tensor) else answer for answer in self.answers]
        with _answering(network, self.modules, [*answers, features]):
            return network(self.picture.to(features.device))


def input_of(network: nn.Module, name: str, images: Tensor) -> Tensor:
    """What the module of that name is given for these images; nothing behind it runs. Raises RuntimeError."""
    return _left_by(network, name, images, lambda module, leave: module.register_forward_pre_hook(leave))


def output_of(network: nn.Module, name: str, images: Tensor) -> Tensor:
    """What the module of that name gives for these images; nothing behind it runs. Raises RuntimeError."""
    return _left_by(network, name, images, lambda module, leave: module.register_forward_hook(leave))


def _left_by(network: nn.Module, name: str, images: Tensor, register: Callable) -> Tensor:
    def leave(module: nn.Module, inputs: tuple[Tensor, ...], *output: Tensor) -> None:
        raise _Reached(output[0] if output else inputs[0])

    hook = register(network.get_submodule(name), leave)
    try:
        network(images)
    except _Reached as reached:
        return reached.tensor
    finally:
        hook.remove()
    raise RuntimeError(f"{type(network).__name__} never calls {name}")


@contextlib.contextmanager
def _answering(network: nn.Module, names: tuple[str, ...], answers: list[Tensor]) -> Iterator[None]:
    """While it lasts the modules of these names give these answers, whatever they are asked."""
    modules = [network.get_submodule(name) for name in names]
    try:
        for module, answer in zip(modules, answers, strict=True):
            module.forward = lambda *_, answer=answer, **__: answer
        yield
    finally:
        for module in modules:
            module.__dict__.pop("forward", None)


# --------------------------------------------------------------------------------------------------- finding the place


def cut_behind(network: nn.Module, classifier: str, number: int, image_size: int, asked: str, whose: str) -> Cut:
    """Cut a network behind its stage of that number, counted from 1 at the picture.

    classifier: prefix of its parameters. image_size: pixels. asked, whose: the setting and the network as messages name
    them. Draws nothing from torch's global generator. Raises UserError for a number that there is none of, and for a
    network that uses more than that stage's output further up.
    """
    training = network.training
    network.eval()
    stages = _stages(network, classifier, torch.zeros(1, 3, image_size, image_size))
    if number >= len(stages):
        names = ", ".join(f"{place} {stage[0]}" for place, stage in enumerate(stages, start=1))
        most = f"give 1 to {len(stages) - 1}, or backbone for all" if len(stages) > 1 else "give none or backbone"
        raise UserError(f"{asked}: the stages of {whose} are {names}; {most}")
    try:
        cut = _tried(network, stages, number, image_size)
    except (RuntimeError, TypeError, AttributeError, ValueError):  # what a network makes of answers that do not fit
        cut = None
    network.train(training)
    if cut is None:
        raise UserError(
            f"{asked}: {whose} uses more further up than {stages[number - 1][0]} gives; it cannot be cut there"
        )
    return cut


def _stages(network: nn.Module, classifier: str, picture: Tensor) -> list[list[str]]:
    """The names of each stage's modules, in the order in which they are called."""
    names = [name for name, _ in network.named_children()]
    while True:
        names = _opened(network, classifier, names)
        stages: list[list[str]] = []
        for name in _called(network, classifier, names, picture):
            if stages and not (_has_kernel(network, name) and any(_has_kernel(network, own) for own in stages[-1])):
                stages[-1].append(name)
            else:
                stages.append([name])
        large = [own for stage in stages for own in stage if _inside(network, own)]
        if len(stages) >= FEWEST or not large:
            return stages
        largest = max(large, key=lambda own: sum(p.numel() for p in network.get_submodule(own).parameters()))
        names = [inner for name in names for inner in (_inside(network, name) if name == largest else [name])]


def _opened(network: nn.Module, classifier: str, names: list[str]) -> list[str]:
    """The same with the modules inside of those that hold the classifier, and of mere lists of modules."""
    found = []
    for name in names:
        is_list = type(network.get_submodule(name)) in (nn.ModuleList, nn.ModuleDict)  # which have no forward pass
        if is_list or classifier.startswith(f"{name}."):
            found += _opened(network, classifier, _inside(network, name))
        else:
            found.append(name)
    return found


def _inside(network: nn.Module, name: str) -> list[str]:
    return [f"{name}.{inner}" for inner, _ in network.get_submodule(name).named_children()]


def _has_kernel(network: nn.Module, name: str) -> bool:
    return any(parameter.dim() > 1 for parameter in network.get_submodule(name).parameters())


@torch.no_grad()
def _called(network: nn.Module, classifier: str, names: list[str], picture: Tensor) -> list[str]:
    """Those that are called before the classifier, in the order in which they are."""
    called: dict[str, None] = {}
    hooks = [
        network.get_submodule(name).register_forward_hook(lambda *_, name=name: called.setdefault(name))
        for name in names
    ]
    try:
        input_of(network, classifier, picture)
    finally:
        for hook in hooks:
            hook.remove()
    return [name for name in called if name != classifier]


def _tried(network: nn.Module, stages: list[list[str]], number: int, image_size: int) -> Cut | None:
    """The cut behind that stage; None where it does not make the same of two pictures, or misses something below."""
    pictures = torch.randn(2, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
    picture = pictures[:1].clone().requires_grad_()  # as the answers below: what is used of them shows as a gradient
    modules = tuple(name for stage in stages[:number] for name in stage)
    answers = []
    for name in modules[:-1]:
        with torch.no_grad():
            answer = output_of(network, name, picture)
        answers.append(answer.clone().requires_grad_() if isinstance(answer, Tensor) else answer)
    cut = Cut(stages[number - 1][0], modules, frozenset(), tuple(answers), picture)
    with torch.no_grad():
        features = cut.below(network, pictures)
        if not torch.equal(cut.above(network, features), network(pictures)):
            return None
    with torch.enable_grad():  # attention is computed otherwise then, and differs in last digits
        logits = cut.above(network, features)
    learning = {name: p for name, p in network.named_parameters() if p.requires_grad}
    watched = [picture, *(answer for answer in answers if isinstance(answer, Tensor))]
    found = torch.autograd.grad(logits.sum(), [*watched, *learning.values()], allow_unused=True)
    used = {name for name, gradient in zip(learning, found[len(watched) :], strict=True) if gradient is not None}
    if any(gradient is not None for gradient in found[: len(watched)]) or any(map(cut.holds, used)):
        return None
    above = tuple(f"{name}." for stage in stages[number:] for name in stage)
    parameters = dict(network.named_parameters())
    stay = {name for name in network.state_dict() if name in parameters and name not in used}
    stay |= {name for name in network.state_dict() if name not in parameters and not name.startswith(above)}
    return Cut(cut.stage, modules, frozenset(stay), tuple(a.detach() for a in answers), picture.detach())
