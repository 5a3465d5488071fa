"""Freezing: what learns, what stays as it is, and what the optimizer gets."""

import pytest
import torch
from options import build, by_function, parts

from headstart import models


@pytest.mark.parametrize("name, changes", by_function().items())
def test_a_frozen_backbone_stays_as_it_is_over_several_steps_and_the_classifier_learns(name, changes):
    changes = {"image_size": 32} | changes
    model = build(name, **(changes | dict(freeze="backbone", unfreeze_epoch=None)))
    model.network.train()
    assert models.set_trainable(model, 1) is True
    before = {key: value.clone() for key, value in model.network.state_dict().items()}
    optimizer = torch.optim.SGD(models.parameter_groups(model, 0.1), momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model.network(torch.randn(4, 3, changes["image_size"], changes["image_size"])).square().mean().backward()
        optimizer.step()
    changed = {key for key, value in model.network.state_dict().items() if not torch.equal(value, before[key])}
    head = {key for key in before if key.startswith(f"{model.classifier}.")}
    assert changed == head
    model.network.train()
    assert models.set_trainable(model, 2) is False


def test_frozen_layers_are_in_eval_mode_and_the_classifier_is_not():
    model = build("resnet18", freeze="backbone")
    model.network.train()
    models.set_trainable(model, 1)
    training = {name for name, module in model.network.named_modules() if module.training}
    assert training == {"fc"}
    assert models.count_parameters(model.network)["parameters_trainable"] == 512 * 10 + 10


def test_the_backbone_learns_from_the_unfreeze_epoch_on():
    model = build("resnet18", freeze="backbone_then_none", unfreeze_epoch=3)
    changes, trainable = [], []
    for epoch in (1, 2, 3, 4):
        model.network.train()
        changes.append(models.set_trainable(model, epoch))
        trainable.append(all(p.requires_grad for p in model.network.parameters()))
    assert changes == [True, False, True, False]
    assert trainable == [False, False, True, True]
    assert all(module.training for module in model.network.modules())


def test_nothing_changes_without_freezing():
    model = build("resnet18")
    model.network.train()
    assert models.set_trainable(model, 1) is False
    assert all(module.training for module in model.network.modules())


@pytest.mark.parametrize("name", ["cnn", "resnet18", "resnet50v2_head_random"])
def test_the_optimizer_gets_each_trainable_parameter_once_at_its_own_rate(name):
    model = build(name, backbone_lr_factor=0.1)
    backbone, head = parts(model)
    rates = {id(p): group["lr"] for group in models.parameter_groups(model, 0.5) for p in group["params"]}
    assert rates == {id(p): 0.5 for p in head.values()} | {id(p): pytest.approx(0.05) for p in backbone.values()}
    assert sum(len(group["params"]) for group in models.parameter_groups(model, 0.5)) == len(rates)
    assert models.parameter_groups(model, 0.5)[0]["lr"] == 0.5  # the first group's is the one that is reported


def test_the_optimizer_gets_no_frozen_parameter():
    model = build("cnn", freeze="backbone")
    models.set_trainable(model, 1)
    given = [id(p) for group in models.parameter_groups(model, 1.0) for p in group["params"]]
    assert given == [id(p) for p in parts(model)[1].values()]


def test_freezing_random_features_is_reported():
    assert "random" in build("cnn", freeze="backbone").report[-1]
    assert not any("frozen" in line for line in build("cnn").report)
