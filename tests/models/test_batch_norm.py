"""model.batch_norm=fixed: a backbone that learns while its batch norm keeps the statistics that came with it."""

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from headstart import models
from headstart.errors import UserError
from models.helpers_models import MEAN, NAMES, STD, build

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@pytest.fixture
def weights(tmp_path):
    """A file of a small network's weights, with statistics that are not those of a new network."""
    model = build("timm")
    model.network.train()
    model.network(torch.randn(8, 3, 32, 32))
    given = dict(classes=NAMES, mean=MEAN, std=STD, image_size=32, architecture="test_resnet")
    path = tmp_path / "weights.safetensors"
    path.write_bytes(models.export_bytes(model, **given))
    return str(path)


def moved(model: models.Model, epoch: int) -> set[str]:
    """What two steps of training in that epoch change."""
    model.network.train()
    models.set_trainable(model, epoch)
    before = {key: value.clone() for key, value in model.network.state_dict().items()}
    optimizer = torch.optim.SGD(models.parameter_groups(model, 0.1))
    for _ in range(2):
        optimizer.zero_grad()
        model.network(torch.randn(4, 3, 32, 32)).square().mean().backward()
        optimizer.step()
    return {key for key, value in model.network.state_dict().items() if not torch.equal(value, before[key])}


def statistics(model: models.Model) -> set[str]:
    return {key for key in model.network.state_dict() if key.endswith(STATISTICS)}


@pytest.mark.parametrize("freezing", [{}, dict(freeze="backbone_then_none", unfreeze_epoch=2)])
def test_all_learns_but_the_statistics(weights, freezing):
    model = build("timm", weights=weights, batch_norm="fixed", **freezing)
    learned = moved(model, 2)
    assert statistics(model) and not learned & statistics(model)
    assert learned >= {key for key in model.network.state_dict() if key.endswith(("conv1.weight", "bn1.bias"))}
    assert not models.learns_batch_norm(model)


def test_by_default_the_statistics_learn_too(weights):
    assert moved(build("timm", weights=weights), 1) >= statistics(build("timm"))


def test_above_a_cut_the_statistics_stay_as_well(weights):
    model = build("timm", weights=weights, batch_norm="fixed", freeze="backbone_until:4")
    assert not moved(model, 1) & statistics(model)
    assert any(key.startswith("layer") for key in moved(model, 1))


def test_batch_norm_of_the_classifier_came_with_no_weights_and_learns():
    network = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Sequential(torch.nn.BatchNorm1d(2)))
    model = models.Model(network, "1", weights="a file", batch_norm="fixed")
    network.train()
    models.set_trainable(model, 1)
    assert [module.training for module in network.modules() if isinstance(module, _BatchNorm)] == [False, True]
    assert models.learns_batch_norm(model)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        (
            "timm",
            dict(weights=None),
            "model.batch_norm=fixed keeps the statistics that come with weights, and .*=null has",
        ),
        ("timm", dict(freeze="backbone"), "model.batch_norm=fixed has no effect with model.freeze=backbone"),
    ],
)
def test_what_does_not_go_with_it_is_refused(weights, name, options, said):
    with pytest.raises(UserError, match=said):
        build(name, **(dict(weights=weights, batch_norm="fixed") | options))


def test_a_network_without_batch_norm_is_refused(tmp_path):
    given = dict(classes=NAMES, mean=MEAN, std=STD, image_size=32, architecture="cnn")
    path = tmp_path / "weights.safetensors"
    path.write_bytes(models.export_bytes(build("cnn"), **given))
    with pytest.raises(UserError, match="the backbone of cnn has no batch normalisation"):
        build("cnn", weights=str(path), batch_norm="fixed")


def test_a_configuration_saved_before_the_key_was_there_lets_them_learn(weights):
    model = build("timm", weights=weights)
    assert model.batch_norm == "learn"
