"""Muon, and what a run does with torch's optimizers: learning rates, late parameters, a start without its compiler.

torch's optimizers import its compiler on first use, only to tell it what to leave alone: 2 s at every start.
"""

import inspect
from collections.abc import Iterable
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le

from headstart.lazy import keep_compiler_away
from headstart.typed import Positive, Share, Truth


def muon(
    params: Iterable[Any],
    lr: float,
    *,
    momentum: Share = 0.6,
    nesterov: Truth = True,
    weight_decay: Annotated[float, Ge(0), Le(10)] = 0.03,
    other_lr_factor: Positive = 0.05,
) -> torch.optim.Optimizer:
    """Muon (Jordan 2024) of timm: steps of filters and matrices are made orthogonal by three Newton-Schulz iterations.

    params: tensors or groups, as torch's optimizers take them. What is no filter and no matrix, and depthwise filters,
    learns by NAdamW (AdamW without `nesterov`), at `other_lr_factor` times the learning rate.
    """
    import timm.optim

    how = dict(ns_coefficients="original", ns_steps=3, adjust_lr_fn="original", fallback_lr_scale=other_lr_factor)
    return timm.optim.Muon(params, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, **how)


def spare_compiler() -> None:
    """Have the optimizers' methods run as they are, without importing it."""
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        keep_compiler_away(getattr(torch.optim.Optimizer, name))


@torch.no_grad()
def optimizer_step(optimizer: torch.optim.Optimizer) -> None:
    """`optimizer.step()` without its wrappers, which are for profilers, hooks and the compiler."""
    inspect.unwrap(type(optimizer).step)(optimizer)


def scale_learning_rates(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Set every group's learning rate to `factor` times the one that it came with; return the first group's."""
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
    return optimizer.param_groups[0]["lr"]


def add_new_parameters(optimizer: torch.optim.Optimizer, groups: Iterable[dict[str, Any]]) -> None:
    """Give the optimizer those parameters of `groups` that it does not have yet, as groups of their own."""
    known = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for group in groups:
        new = [p for p in group["params"] if id(p) not in known]
        if new:
            optimizer.add_param_group(group | dict(params=new))


def align_state(optimizer: torch.optim.Optimizer) -> None:
    """Give loaded state the memory format of its parameters, which another device's checkpoint may not have.

    The fused optimizers of a CPU compute wrong numbers, silently, where the two differ.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if torch.is_tensor(value) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
