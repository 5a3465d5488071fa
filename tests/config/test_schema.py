"""Configuration: every option composes, groups win and lose in the right order, names stay inside their rules."""

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from headstart.config import schema as config
from headstart.errors import UserError

GROUPS = ("data", "model", "augmentation", "optimizer", "schedule", "search", "budget")
OPTIONS = [(g, o) for g in GROUPS for o in config.options(g)]
NEEDED = {
    "torchvision": ["model.name=resnet18"],
    "timm": ["model.name=resnet18"],
    "sklearn": ["model.estimator._target_=sklearn.naive_bayes.GaussianNB"],
    "folder": ["data.root=pictures"],
}


def composed(*overrides: str, hydra: bool = False):
    with initialize_config_module("headstart.conf"):
        return compose("config", list(overrides), return_hydra_config=hydra)


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_resolves(group, option):
    extra = NEEDED.get(option, [])
    cfg = composed(f"{group}={option}", *extra)
    config.check_values(cfg)
    assert OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)[group] is not None


@pytest.mark.parametrize("study", [[], ["experiments=lr_search"], ["experiments=quickstart"]])
@pytest.mark.parametrize(
    ("budget", "trials", "seeds"), [("smoke", 5, 1), ("quick", 12, 5), ("standard", 29, 5), ("thorough", 59, 10)]
)
def test_budget_sets_trials_and_seeds_also_beside_a_study(study, budget, trials, seeds):
    cfg = composed(*study, f"budget={budget}")
    assert (cfg.n_trials, cfg.confirm_seeds) == (trials, seeds)


def test_all_budgets_share_one_pruner_so_that_a_budget_can_be_raised():
    pruners = [OmegaConf.to_container(composed(f"budget={b}").budget) for b in config.options("budget")]
    assert all(p == pruners[0] for p in pruners)


@pytest.mark.parametrize(
    ("overrides", "first"),
    [(["epochs=10"], 2), (["epochs=30"], 2), (["epochs=90"], 6), (["epochs=10", "schedule=cosine"], 2),
     (["epochs=10", "schedule=onecycle"], 5), (["epochs=30", "schedule=cosine", "schedule.warmup=0.1"], 5)],
)  # fmt: skip
def test_nothing_is_pruned_while_the_learning_rate_warms_up(overrides, first):
    assert composed("budget=quick", *overrides).budget.pruner.n_warmup_steps == first


def test_command_line_wins_over_the_study_and_the_study_over_the_groups():
    assert composed("experiments=quickstart").epochs == 20 != composed().epochs
    assert composed("experiments=quickstart", "epochs=3").epochs == 3
    assert composed("experiments=quickstart", "search=decades", hydra=True).hydra.sweeper.params.lr.startswith(
        "choice("
    )


def test_seeds_end_where_the_last_confirmation_still_has_one():
    config.check_values(composed("seed=4294967290", "confirm_seeds=5"))
    config.check_values(composed("seed=4294967295", "confirm_seeds=5", "phase=confirm"))


def test_decades_are_the_powers_of_ten_inside_the_range():
    assert config.decades(1e-5, 1e-1) == [1e-1, 1e-2, 1e-3, 1e-4, 1e-5]
    assert config.decades(2e-4, 0.5) == [1e-1, 1e-2, 1e-3]
    assert config.decades(0.2, 0.5) == []


def test_hash_ignores_what_describes_and_sees_what_changes_a_run():
    plain = config.config_hash(composed())
    assert plain == config.config_hash(composed("name=other", "keep=all", "n_trials=3", "device=cpu", "jobs=2"))
    for change in ("lr=2e-3", "seed=1", "model=resnet18", "data.train_size=5000", "optimizer.weight_decay=0.1"):
        assert config.config_hash(composed(change)) != plain


@pytest.mark.parametrize(
    "target",
    [
        "os.system", "torch.load", "torch.hub.load", "torch.optim.adam.torch.load",
        "headstart.models.builders.torch.load",
        "headstart.data.sources.Path", "headstart.training.trainer.log.info", "timm.create_model", "builtins.eval",
        "headstart.cli.main.main",
        "sklearn.utils.os.system", "headstart.store.files.write_atomically",
    ],
)  # fmt: skip
def test_a_configuration_cannot_call_what_it_should_not(target):
    with pytest.raises(UserError, match="_target_"):
        config.make(OmegaConf.create({"_target_": target, "_partial_": True}))


def test_keys_that_a_target_does_not_take_are_named():
    with pytest.raises(UserError, match="nonsense"):
        config.make(OmegaConf.create({"_target_": "headstart.training.trainer.constant", "nonsense": 1}))


@pytest.mark.parametrize(
    "value", [None, True, 1, 1e-05, 0.1, "a b", "x,y", "null", "[1]", "a=b", 'say "hi"', [1, "a"], {"k": [None]}]
)
def test_override_values_read_back_as_they_were(value):
    cfg = composed(f"+data.extra={config.override_value(value)}")
    assert OmegaConf.to_container(cfg)["data"]["extra"] == value


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["lr=-1"], "lr=-1"), (["lr=0"], "lr=0"), (["lr=nan"], "lr=nan"), (["epochs=0"], "epochs=0"),
        (["batch_size=0"], "batch_size=0"), (["seed=-1"], "seed=-1"), (["precision=fp8"], "precision=fp8"),
        (["device=tpu"], "device=tpu"), (["lr_low=1"], "lr_low"), (["patience=0"], "patience=0"),
        (["model.freeze=backbone_then_none", "model.unfreeze_epoch=11"], "unfreeze_epoch=11"),
        (["label_smoothing=1"], "label_smoothing"), (["clip_grad_norm=0"], "clip_grad_norm"),
        (["threads=0"], "threads=0"), (["threads=1025"], "threads=1025.* to 1024"),
        (["seed=4294967291"], "seed=4294967291.* to 4294967290"),
        (["split_seed=4294967296"], "split_seed=.* 4294967295"),
    ],
)  # fmt: skip
def test_impossible_values_are_refused_by_name(overrides, words):
    with pytest.raises(UserError, match=words):
        config.check_values(composed(*overrides))
