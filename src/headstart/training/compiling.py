"""A network by torch.compile: asked for, compiled ahead of the clock, or refused with the way out."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from headstart.errors import UserError, first_line

CALLS_PER_CUDA_GRAPH = 3  # the first calls of a shape warm up and record it


def resolve_compile(name: str) -> bool:
    """`auto` does not compile: on a CPU it loses, and on a GPU nobody has measured it here."""
    return name == "on"


def compiled(network: nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
    """`network` by torch.compile, on a GPU replayed as CUDA graphs; the first call of each shape compiles."""
    torch.compiler.reset()  # of an earlier trial in this process: after eight shapes torch would no longer compile
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    return torch.compile(network, mode=mode, dynamic=False)


def compile_ahead(
    network: nn.Module, logits: Callable[[int], Tensor], sizes: Iterable[int], device: torch.device
) -> None:
    """Compile for batches of these sizes before the clock starts; weights, statistics and random numbers stay.

    logits: gives those of a batch of that size by the compiled `network`. Raises UserError where torch cannot compile.
    """
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    on_gpu = device.type == "cuda"
    try:
        with torch.random.fork_rng(devices=[device] if on_gpu else []):
            for size in sizes:
                for _ in range(CALLS_PER_CUDA_GRAPH if on_gpu else 1):
                    network.zero_grad(set_to_none=True)  # the last gradients lie in the graph's memory
                    logits(size).float().sum().backward()
    except Exception as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        why = first_line(error)
        raise UserError(f"compile=on: torch cannot compile this network here: {why}\nUse compile=off.") from error
    network.zero_grad(set_to_none=True)
    network.load_state_dict(before)
