"""One run's configuration, read once: checked, resolved, typed."""

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from config.helpers_config import composed, read
from headstart.config import read_run_config
from headstart.config.schema import EPOCHS_ONLY, Config
from headstart.errors import UserError


def test_values_are_typed_and_groups_are_plain_mappings_without_interpolations():
    run = read("lr=1", "seed=3", "optimizer=sgd")
    assert type(run.values) is Config
    assert (run.values.lr, type(run.values.lr), run.values.seed) == (1.0, float, 3)
    assert type(run.values.optimizer) is dict and run.values.optimizer["lr"] == 1.0
    assert run.choices == dict(
        data="cifar10", model="cnn", augmentation="crop_flip", optimizer="sgd", schedule="constant"
    )


def test_the_configuration_that_was_read_stays_as_it_was():
    cfg = composed(hydra=True)
    before = OmegaConf.to_container(cfg)
    run = read_run_config(cfg, cfg.hydra.runtime.choices)
    run.values.model["freeze"] = "backbone"
    assert OmegaConf.to_container(cfg) == before


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model=timm"], r"model\.name is not given"),
        (["lr=-1"], r"^lr=-1.*: expected a number above 0$"),
        (["optimizer.fused=xxx"], r"^optimizer\.fused=xxx: expected true, false or null$"),
        (["+optimizer.params=[1]"], r"^optimizer\.params=\.\.\. is no setting of torch\.optim\.Adam"),
        (["optimizer._partial_=false"], r"^optimizer\._partial_=false is Hydra's own"),
        (["+data._partial_=true"], r"^data\._partial_=true is Hydra's own"),
        (["augmentation.padding=-1"], r"^augmentation\.padding=-1: expected a whole number from 0"),
        (["schedule=cosine", "schedule.warmup=long"], r"^schedule\.warmup=long: expected a number from 0 below 1$"),
        (["model.freeze=all"], r"^model\.freeze=all: expected none, backbone, backbone_then_none or backbone_until:N$"),
        (["data.validation_size=1.5"], r"^data\.validation_size=1\.5: expected"),
        (
            ["model=logistic_regression", "+model.estimator.C=inf"],
            r"^model\.estimator\.C=inf: expected a finite number$",
        ),
        (
            ["model._target_=headstart.data.sources.digits"],
            r"^model\.\w+=\.\.\. is no setting of headstart\.data\.sources",
        ),
        (["model._target_=os.system"], r"_target_='os\.system' may not be called"),
        (
            ["model.freeze=backbone_then_none", "model.unfreeze_epoch=11"],
            r"^model\.unfreeze_epoch=11 comes after the last epoch \(10\)",
        ),
    ],
)
def test_what_no_run_can_work_with_is_refused(overrides, said):
    with pytest.raises(UserError, match=said):
        read(*overrides)


def test_what_cannot_be_resolved_is_an_error_at_once_and_a_sweeps_part_is_none_of_a_runs_business():
    with pytest.raises(OmegaConfBaseException, match="nothing"):
        read("+data.extra=${nothing}")
    pruner = "budget.pruner.n_warmup_steps='${first_pruned_epoch:few,long}'"
    assert read(pruner).values.budget is None
    with pytest.raises(InterpolationResolutionError):
        OmegaConf.resolve(composed(pruner))


def test_the_backbone_may_learn_in_the_last_epoch_alone():
    assert read("model.freeze=backbone_then_none", "model.unfreeze_epoch=10").values.model["unfreeze_epoch"] == 10


def test_a_run_is_called_by_its_model_and_learning_rate():
    assert read("model=resnet18", "lr=1e-3").title == "resnet18 lr=0.001"
    assert read("model=logistic_regression").title == "logistic_regression"


def test_what_is_set_without_effect_on_the_model_is_told_and_left_out_of_the_command():
    run = read("model=logistic_regression", "lr=0.5", "optimizer.weight_decay=0.1", "seed=3")
    assert run.keys_without_effect > EPOCHS_ONLY
    assert run.set_without_effect() == ["lr", "optimizer"]
    assert run.command(threads=1, precision="fp32") == "headstart model=logistic_regression seed=3 threads=1"
    assert read("lr=0.5").set_without_effect() == []


def test_what_a_run_settled_is_in_its_hash_and_in_its_command():
    run = read()
    assert run.config_hash(precision="bf16") != run.config_hash(precision="fp32")
    assert run.command(threads=2, precision="fp32") == "headstart precision=fp32 threads=2"


def test_other_values_make_another_run_and_leave_the_first_as_it_was():
    run = read("seed=3")
    other = run.with_values(seed=4, precision="fp32")
    assert (run.values.seed, other.values.seed, other.choices) == (3, 4, run.choices)
    assert other.command() == "headstart precision=fp32 seed=4" and run.command() == "headstart seed=3"
    assert other.config_hash() == read("seed=4", "precision=fp32").config_hash()


@pytest.mark.parametrize(
    ("keep", "phase", "ended", "pruned"),
    [
        ("best", "run", True, False),
        ("all", "search", True, True),
        ("none", "run", False, False),
        ("none", "source", True, True),
    ],
)
def test_weights_stay_of_what_may_be_the_best_and_of_a_source_run_whatever_the_others_keep(keep, phase, ended, pruned):
    run = read(f"keep={keep}", f"phase={phase}")
    assert (run.keeps("COMPLETE"), run.keeps("PRUNED")) == (ended, pruned)
