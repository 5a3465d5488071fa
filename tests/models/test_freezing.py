"""Freezing: what learns, what stays as it is, and what the optimizer gets."""

from functools import partial
from pathlib import Path

import pytest
import torch
from conftest import configured

from headstart import models, store
from headstart.data.augmentation import crop_flip
from headstart.data.sources import digits
from headstart.errors import UserError
from headstart.training import run as job
from headstart.training.progress_bar import Lines
from headstart.training.schedules import constant
from headstart.training.settings import Settings
from headstart.training.trainer import NetworkTrainer
from models.helpers_models import build, by_function, parts


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


@pytest.mark.parametrize("freeze", ["none", "backbone", "backbone_then_none"])
def test_what_a_network_itself_never_trains_stays_so(freeze):
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    network[0].bias.requires_grad_(False)
    model = models.Model(network, "1", freeze=freeze, unfreeze_epoch=2)
    for epoch in (1, 2):
        models.set_trainable(model, epoch)
        given = [p for group in models.parameter_groups(model, 1.0) for p in group["params"]]
        assert not network[0].bias.requires_grad and not any(p is network[0].bias for p in given)
    assert network[0].weight.requires_grad is (freeze != "backbone")


def test_the_stages_below_a_cut_stand_still_and_those_above_learn_with_their_statistics():
    model = build("timm", name="test_efficientnet", freeze="backbone_until:4", backbone_lr_factor=0.5)
    model.network.train()
    assert models.set_trainable(model, 1) is True
    before = {key: value.clone() for key, value in model.network.state_dict().items()}
    groups = models.parameter_groups(model, 0.1)
    assert [group["lr"] for group in groups] == [0.1, 0.05]
    optimizer = torch.optim.SGD(groups, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model.network(torch.randn(4, 3, 32, 32)).square().mean().backward()
        optimizer.step()
    changed = {key for key, value in model.network.state_dict().items() if not torch.equal(value, before[key])}
    below = ("conv_stem.", "bn1.", "blocks.0.", "blocks.1.", "blocks.2.")
    assert changed == {key for key in before if not key.startswith(below)}
    model.network.train()
    assert models.set_trainable(model, 2) is False


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(freeze="backbone_until:2", unfreeze_epoch=2), "has no effect with model.freeze=backbone_until:2"),
        (
            dict(freeze="backbone_until:4"),
            "the stages of cnn are 1 convolution1, 2 convolution2, 3 convolution3, 4 hid",
        ),
    ],
)
def test_what_does_not_go_with_a_cut_is_refused(options, said):
    with pytest.raises(UserError, match=said):
        build("cnn", **options)


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


@pytest.mark.parametrize(
    ("name", "changes", "learns"),
    [
        ("cnn", {}, False),
        ("resnet9", {}, True),
        ("resnet18", {}, True),
        ("resnet18", dict(freeze="backbone"), False),
        ("resnet18", dict(freeze="backbone_until:4"), True),
        ("fan", dict(freeze="backbone_until:7"), True),
        ("resnet18", dict(freeze="backbone_then_none", unfreeze_epoch=2), True),
        ("timm", dict(name="test_vit", image_size=32), False),  # which normalises each picture by itself
    ],
)
def test_batch_norm_learns_unless_it_is_frozen_in_every_epoch(name, changes, learns):
    assert models.learns_batch_norm(build(name, **changes)) is learns


@pytest.mark.parametrize("freeze", ["none", "backbone", "backbone_then_none"])
def test_batch_norm_in_the_classifier_is_never_frozen(freeze):
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Sequential(torch.nn.BatchNorm1d(2)))
    inside, outside = (models.Model(network, part, freeze=freeze, unfreeze_epoch=2) for part in "10")
    assert models.learns_batch_norm(inside)
    assert models.learns_batch_norm(outside) is (freeze != "backbone")


def test_freezing_random_features_is_reported():
    assert "random" in build("cnn", freeze="backbone").report[-1]
    assert not any("frozen" in line for line in build("cnn").report)


# ---------------------------------------------------------------------------------------------------- over a whole run


class Onlooker:
    """Notes after each epoch which tensors of the network moved, and what the optimizer holds at which rate."""

    def __init__(self, model: models.Model) -> None:
        self.model, self.moved, self.held = model, [], []
        self.last = self._copy()

    def _copy(self) -> dict[str, torch.Tensor]:
        return {key: value.clone() for key, value in self.model.network.state_dict().items()}

    def step(self, *_: object) -> None:
        pass

    def features(self, *_: object) -> None:
        pass

    def epoch(self, row: dict) -> None:
        now = self._copy()
        self.moved.append({key for key in now if not torch.equal(now[key], self.last[key])})
        self.last = now
        groups = self.trainer.state.optimizer.param_groups
        names = {id(p): name for name, p in self.model.network.named_parameters()}
        self.held.append({names[id(p)]: group["lr"] for group in groups for p in group["params"]})


def trained(model: models.Model, folder: Path, epochs: int, **options) -> Onlooker:
    """Train on 60 digits, cropped, so that no feature of them is kept, and return what was noted."""
    torch.set_num_threads(1)
    data, onlooker = digits(train_size=60), Onlooker(model)
    seen = dict(image_size=32, normalisation="data", mean=data.mean, std=data.std)
    computed = dict(device=torch.device("cpu"), precision="fp32") | options
    settings = Settings(epochs=epochs, batch_size=32, seed=0, **seen, **computed)
    adam = partial(torch.optim.AdamW, weight_decay=0.1)
    learning = dict(lr=1e-2, optimizer_factory=adam, schedule=constant, augment=crop_flip)
    used = dict(model=model, data=data, settings=settings, run_dir=folder, watcher=onlooker, identity="")
    onlooker.trainer = NetworkTrainer(**used, **learning)
    onlooker.trainer.run()
    return onlooker


def test_statistics_and_weights_of_a_frozen_backbone_do_not_move_in_training(tmp_path):
    model = build("timm", freeze="backbone")
    head = set(parts(model)[1])
    seen = trained(model, tmp_path, epochs=2)
    assert seen.moved == [head, head]
    assert seen.held == [dict.fromkeys(head, 1e-2)] * 2


def test_unfreezing_moves_everything_and_adds_the_backbone_at_its_own_rate(tmp_path):
    model = build("timm", freeze="backbone_then_none", unfreeze_epoch=2, backbone_lr_factor=0.1)
    backbone, head = map(set, parts(model))
    seen = trained(model, tmp_path, epochs=3)
    counters = {key for key in seen.last if key.endswith("num_batches_tracked")}
    assert seen.moved == [head, set(seen.last), set(seen.last)] and counters
    assert seen.held[0] == dict.fromkeys(head, 1e-2)
    assert seen.held[1] == seen.held[2] == dict.fromkeys(head, 1e-2) | dict.fromkeys(backbone, pytest.approx(1e-3))


@pytest.mark.parametrize("epochs, patience, learned", [(2, None, "all"), (4, 1, "head")])
def test_a_run_records_what_learned_by_its_end(tmp_path, monkeypatch, epochs, patience, learned):
    monkeypatch.chdir(tmp_path)
    freezing = ["model.freeze=backbone_then_none", f"model.unfreeze_epoch={epochs}", "lr=1e-12"]
    run_config = configured("model=cnn", *freezing, f"epochs={epochs}", f"patience={patience or 'null'}")
    result = job.train_run(run_config, tmp_path, reads_test=False, watcher=Lines(epochs))
    counted = {"all": result["parameters"], "head": 512 * 10 + 10}
    assert store.read_json(tmp_path / "run.json")["parameters_trainable"] == counted["head"]  # as it begins
    assert result["parameters_trainable"] == counted[learned]
