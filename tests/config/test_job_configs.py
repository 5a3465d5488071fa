"""Jobs whose configurations are copies have what Hydra would have composed for each of them."""

import copy

import pytest
from hydra import initialize_config_module
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from headstart.config.job_configs import KEPT, JobConfigs, context_of_jobs

COMMON = ["model=cnn", "data=digits", "name=study", "arm=cnn", "hydra.job_logging.root.handlers=[file]"]


class Counting:
    """Hydra's loader, which is asked so often."""

    def __init__(self, loader):
        self.loader, self.asked = loader, 0

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def load_sweep_config(self, master_config, sweep_overrides):
        self.asked += 1
        return self.loader.load_sweep_config(master_config, sweep_overrides)


@pytest.fixture(scope="module")
def hydra():
    """Hydra's loader and the configuration of a sweep, of which two of Hydra's own settings were typed."""
    with initialize_config_module("headstart.conf"):
        loader = GlobalHydra.instance().config_loader()
        typed = ["hydra.sweep.dir=outputs/study", "hydra.mode=MULTIRUN"]
        yield loader, loader.load_configuration("config", typed, RunMode.MULTIRUN, from_shell=False)


def state_of(cfg: DictConfig) -> tuple:
    """All that is in it: values, those of Hydra's own part, where what is unknown is refused, and what was resolved."""
    closed = [(key, OmegaConf.is_struct(cfg[key]), OmegaConf.is_readonly(cfg[key])) for key in ("model", "hydra")]
    return OmegaConf.to_yaml(cfg), closed, cfg.__dict__["_metadata"].resolver_cache, cfg.hydra.job.override_dirname


def check(hydra, jobs: list[list[str]], compositions: int) -> None:
    """The jobs, one after the other, have what Hydra composes for each; and how many it composed."""
    loader, master = hydra
    counting = Counting(loader)
    configs = JobConfigs(counting)
    for words in jobs:
        assert state_of(configs.load_sweep_config(master, words)) == state_of(loader.load_sweep_config(master, words))
    assert counting.asked == compositions


def test_trials_of_an_arm_are_copies_of_the_first(hydra):
    jobs = [
        [*COMMON, f"lr={lr}", f"seed={seed}", f"hydra.sweep.subdir=search/{seed}"]
        for seed, lr in enumerate((1e-3, 0.1, 2))
    ]
    check(hydra, jobs, compositions=1)


def test_values_of_any_kind(hydra):
    values = ['"a b"', "null", "3", "a/b.safetensors", "'${name}'", '"it\'s, so"', "true", "1e-3"]
    check(hydra, [[*COMMON, f"model.weights={value}"] for value in values], compositions=1)


def test_an_arm_with_another_option_is_composed(hydra):
    jobs = [[*COMMON, f"optimizer={name}", f"lr={lr}"] for name in ("sgd", "adam") for lr in (0.1, 0.2)]
    check(hydra, jobs, compositions=2)


def test_what_is_added_or_taken_away_is_composed_once_for_all(hydra):
    words = ["+optimizer.foreach=false", "~optimizer.weight_decay", "++epochs=3"]
    check(hydra, [[*COMMON, "optimizer=sgd", *words, f"lr={lr}"] for lr in (0.1, 0.2)], compositions=1)


def test_a_value_that_others_set_too_is_no_value_to_copy(hydra):
    jobs = [[*COMMON, f"lr={lr}", "lr=0.5"] for lr in (0.1, 0.2)]
    jobs += [[*COMMON, f"budget.pruner.n_startup_trials={n}", "budget.pruner={n_startup_trials: 4}"] for n in (1, 2)]
    check(hydra, jobs, compositions=4)


def test_a_mapping_is_no_value_to_copy(hydra):
    check(hydra, [[*COMMON, f"data={{classes: [0,{n}]}}"] for n in (1, 2)], compositions=2)
    check(hydra, [[*COMMON, "data.classes=[0,1]"], [*COMMON, "data.classes=null"]], compositions=2)


def test_a_value_that_its_key_does_not_have_is_refused_in_hydras_words(hydra):
    loader, master = hydra
    configs = JobConfigs(loader)
    configs.load_sweep_config(master, [*COMMON, "epochs=3"])
    with pytest.raises(HydraException, match="Error merging override epochs=many"):
        configs.load_sweep_config(master, [*COMMON, "epochs=many"])


def test_a_job_may_change_its_configuration(hydra):
    loader, master = hydra
    configs = JobConfigs(loader)
    for _ in range(3):
        cfg = configs.load_sweep_config(master, [*COMMON, "lr=0.1"])
        assert cfg.phase == "run"
        cfg.phase = "search"


def test_what_the_sweep_resolves_is_so_for_later_jobs(hydra):
    loader, configs, words = hydra[0], JobConfigs(hydra[0]), [*COMMON, "lr=0.1"]
    master = copy.deepcopy(hydra[1])
    before = state_of(configs.load_sweep_config(master, words))
    assert master.hydra.run.dir  # which has the time in it
    later = state_of(configs.load_sweep_config(master, words))
    assert before != later == state_of(loader.load_sweep_config(master, words))


def test_no_more_than_so_many_are_kept(hydra, monkeypatch):
    monkeypatch.setattr("headstart.config.job_configs.KEPT", 1)
    assert KEPT > 1
    check(hydra, [[*COMMON, f"optimizer={name}"] for name in ("sgd", "adam", "sgd", "adam")], compositions=3)


@pytest.mark.parametrize(("launcher", "copies"), [("basic", True), ("joblib", False)])
def test_only_jobs_of_this_process_are_copied(hydra, launcher, copies):
    loader, master = hydra
    context = HydraContext(config_loader=loader, callbacks=Callbacks())
    cfg = copy.deepcopy(master)
    cfg.hydra.runtime.choices["hydra/launcher"] = launcher
    assert isinstance(context_of_jobs(context, cfg).config_loader, JobConfigs) is copies
