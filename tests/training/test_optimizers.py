"""What is done around torch's optimizers leaves their numbers alone."""

import pytest
import torch
from torch import nn

from headstart.training.optimizers import (
    add_new_parameters,
    align_state,
    muon,
    optimizer_step,
    scale_learning_rates,
)
from training.helpers_training import OPTIMIZERS


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_our_step_is_the_optimizers_own(name):
    results = []
    for step in (lambda o: o.step(), optimizer_step):
        weight = nn.Parameter(torch.tensor([1.0, -2.0]))
        optimizer = OPTIMIZERS[name]([weight], lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            (weight**3).sum().backward()
            step(optimizer)
        results.append(weight.detach().clone())
    assert torch.equal(*results)


def test_learning_rates_are_shares_of_those_that_the_groups_came_with():
    groups = [dict(params=[nn.Parameter(torch.zeros(1))], lr=lr) for lr in (0.1, 0.02)]
    optimizer = torch.optim.SGD(groups)
    for factor in (0.5, 0.25):
        assert scale_learning_rates(optimizer, factor) == pytest.approx(0.1 * factor)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1 * factor, 0.02 * factor])


@pytest.mark.parametrize(("nesterov", "times"), [(False, 1.0), (True, 1.9)])  # of NAdamW's first step
def test_muon_makes_the_steps_of_filters_orthogonal_and_gives_adamw_the_rest(nesterov, times):
    filters, bias = nn.Parameter(torch.randn(16, 8, 3, 3)), nn.Parameter(torch.zeros(16))
    before = filters.detach().clone()
    optimizer = muon(
        [dict(params=[filters, bias], lr=0.1)], lr=0.1, nesterov=nesterov, weight_decay=0.0, other_lr_factor=0.05
    )
    filters.grad, bias.grad = torch.randn_like(filters), torch.randn(16)
    optimizer_step(optimizer)
    step = (filters.detach() - before).flatten(1) / 0.1
    assert 0.6 < torch.linalg.svdvals(step).min() <= torch.linalg.svdvals(step).max() < 1.4
    assert torch.linalg.svdvals(filters.grad.flatten(1)).max() > 5
    torch.testing.assert_close(bias.detach(), -0.1 * 0.05 * times * bias.grad.sign(), rtol=1e-3, atol=1e-6)


def test_parameters_that_join_later_come_as_groups_of_their_own_once():
    early, late = (nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = torch.optim.AdamW([dict(params=[early], lr=0.1)], weight_decay=0.3)
    for _ in range(2):
        add_new_parameters(optimizer, [dict(params=[early], lr=0.1), dict(params=[late], lr=0.01)])
        assert [group["params"] for group in optimizer.param_groups] == [[early], [late]]
        assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.01]
        assert optimizer.param_groups[1]["weight_decay"] == 0.3


def test_loaded_state_gets_the_memory_format_of_its_parameters_and_keeps_its_numbers():
    weight = nn.Parameter(torch.rand(4, 3, 2, 2))
    optimizer = torch.optim.Adam([weight])
    weight.grad = torch.rand(4, 3, 2, 2)
    optimizer.step()
    state = optimizer.state[weight]
    expected = state["exp_avg"].clone()
    state["exp_avg"] = state["exp_avg"].to(memory_format=torch.channels_last)
    align_state(optimizer)
    assert state["exp_avg"].stride() == weight.stride()
    assert torch.equal(state["exp_avg"], expected)
