"""What a run computes on and how: device, precision, threads, memory and arithmetic."""

import ctypes
import os
import sys
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from headstart.errors import OutsideFault

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>


def resolve_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, otherwise the CPU. Raises OutsideFault for a device this machine lacks."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        raise OutsideFault(
            f"device={name}: torch sees {torch.cuda.device_count()} CUDA devices here; use device=cpu or device=auto"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise OutsideFault("device=mps: this machine has no Apple GPU; use device=cpu or device=auto")
    return device


def resolve_precision(name: str, device: torch.device, network: nn.Module | None = None) -> str:
    """`auto` is bf16 autocast where the processor multiplies bf16 natively, fp32 elsewhere.

    On a CPU it is fp32 for a network with depthwise convolutions: a fixed rule, not a timing, so that a row comes out
    alike again. They multiply too little for bf16 to pay, and its casts come on top.
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device)[0] >= 8 else "fp32"
    native = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return "bf16" if native and not (network and any(map(_is_depthwise, network.modules()))) else "fp32"


def _is_depthwise(module: nn.Module) -> bool:
    """Whether it is a convolution that sees each channel alone; a grouped one as in ResNeXt sees several."""
    return isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) and 1 < module.groups == module.in_channels


def device_name(device: torch.device) -> str:
    """`cpu` or the GPU's name as its maker gives it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """The context in which a network computes in `fp32` or `bf16`."""
    return nullcontext() if precision == "fp32" else torch.autocast(device.type, dtype=torch.bfloat16)


def move_network(network: nn.Module, device: torch.device) -> nn.Module:
    """Move `network` to `device`, its weights in the memory format that is fastest there; images come channels last.

    A CPU's convolutions sort weights anew whatever their format, and its fused optimizers copy every tensor that is
    not contiguous, forth and back.
    """
    weights = torch.contiguous_format if device.type == "cpu" else torch.channels_last
    return network.to(device, memory_format=weights)


def set_threads(threads: int | None, jobs: int) -> int:
    """Set and return the number of threads that torch computes with; None: this process's cores divided by `jobs`."""
    threads = threads or max(1, len(os.sched_getaffinity(0)) // jobs)
    torch.set_num_threads(threads)
    return threads


def keep_memory() -> None:
    """Have this process keep the memory that it frees, up to 2 GiB at its end, where the C library is glibc.

    Told nothing, glibc gives tensors above 32 MiB back to the kernel as soon as they are freed, and the next step takes
    new pages for them, each zeroed first: an eighth of the time of ResNet-9 on one core, a third of the small CNN's
    evaluation.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # Older versions refuse more than 32 MiB; the second setting without the first would freeze a far lower threshold.
    if sys.platform == "linux" and mallopt is not None and mallopt(M_MMAP_THRESHOLD, 2**31 - 1):
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def set_arithmetic(deterministic: bool, tf32: bool, cudnn_benchmark: bool) -> None:
    """How convolutions and matrix products are computed; the last two matter on a GPU only."""
    # Told to torch only where it changes, for that imports its compiler.
    if torch.are_deterministic_algorithms_enabled() != deterministic:
        torch.use_deterministic_algorithms(deterministic)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = cudnn_benchmark and not deterministic
