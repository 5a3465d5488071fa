"""Config groups: every option composes, groups win and lose in the right order, the help lists them."""

import pytest
from omegaconf import OmegaConf

from config.helpers_config import composed
from headstart.config.groups import composed as composed_here
from headstart.config.groups import default_options, groups, help_text, options
from headstart.config.schema import RUN_GROUPS, check_values

OPTIONS = [(g, o) for g in (*RUN_GROUPS, "search", "budget") for o in options(g)]
NEEDED = {
    "torchvision": ["model.name=resnet18"],
    "timm": ["model.name=resnet18"],
    "sklearn": ["model.estimator._target_=sklearn.naive_bayes.GaussianNB"],
    "folder": ["data.root=pictures"],
}


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_resolves(group, option):
    cfg = composed(f"{group}={option}", *NEEDED.get(option, []))
    check_values(cfg)
    assert OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)[group] is not None


@pytest.mark.parametrize("study", [[], ["experiments=lr_search"], ["experiments=quickstart"]])
@pytest.mark.parametrize(
    ("budget", "trials", "seeds"),
    [("smoke", 5, 1), ("quick", 12, 5), ("standard", 29, "auto"), ("thorough", 59, "auto")],
)
def test_budget_sets_trials_and_seeds_also_beside_a_study(study, budget, trials, seeds):
    cfg = composed(*study, f"budget={budget}")
    assert (cfg.n_trials, cfg.confirm_seeds) == (trials, seeds)


def test_all_budgets_share_one_pruner_so_that_a_budget_can_be_raised():
    pruners = [OmegaConf.to_container(composed(f"budget={b}").budget) for b in options("budget")]
    assert all(p == pruners[0] for p in pruners)


def test_command_line_wins_over_the_study_and_the_study_over_the_groups():
    assert composed("experiments=quickstart").epochs == 20 != composed().epochs
    assert composed("experiments=quickstart", "epochs=3").epochs == 3
    cfg = composed("experiments=quickstart", "search=decades", hydra=True)
    assert cfg.hydra.sweeper.params.lr.startswith("choice(")


def test_groups_are_those_that_a_run_is_made_of_those_of_a_sweep_and_the_studies():
    assert groups() == [*RUN_GROUPS, "search", "budget", "experiments"]
    assert default_options()["model"] == "cnn"


def test_the_help_lists_every_option():
    text = help_text()
    for group in groups():
        (line,) = (line for line in text.splitlines() if line.split()[:1] == [group])
        assert line.split(maxsplit=1)[1] == ", ".join(options(group))


def test_composing_works_the_same_inside_a_job():
    outside = composed_here(["lr=0.5"])
    from hydra import initialize_config_module

    with initialize_config_module("headstart.conf"):
        assert composed_here(["lr=0.5"]) == outside
