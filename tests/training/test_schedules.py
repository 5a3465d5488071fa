"""Schedules against torch's own."""

from functools import partial

import pytest
import torch
from torch import nn

from headstart.training.schedules import cosine, onecycle


def rates_of_torch(make, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_cosine_is_that_of_torch():
    expected = rates_of_torch(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=50), 50)
    assert [cosine(step / 50) for step in range(50)] == pytest.approx(expected, abs=1e-12)


def test_cosine_rises_linearly_through_its_warmup():
    assert [cosine(p, warmup=0.2) for p in (0.0, 0.05, 0.1, 0.2)] == pytest.approx([0, 0.25, 0.5, 1])
    assert cosine(0.6, warmup=0.2) == pytest.approx(0.5)
    assert cosine(1.0, warmup=0.2) == pytest.approx(0)


def test_onecycle_is_that_of_torch_up_to_its_counting_of_steps():
    # torch puts the peak at step 0.3 * total - 1 and the end at the last step; ours are shares of all steps.
    total = 10_000
    make = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=1.0, total_steps=total, cycle_momentum=False)
    expected = rates_of_torch(make, total - 1)
    ours = [onecycle(step / total) for step in range(total - 1)]
    assert max(abs(a - b) for a, b in zip(ours, expected, strict=True)) < 1e-3
    assert (onecycle(0.0), onecycle(0.3), onecycle(1.0)) == pytest.approx((0.04, 1.0, 4e-6))
