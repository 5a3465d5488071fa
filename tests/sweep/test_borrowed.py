"""Hydra's tests of sweepers on `arms`: those of the stock sweeper, and those of a program that a sweep runs.

The stock sweeper's are in its source archive alone, which `make borrowed` fetches. They are loaded from there, and what
they call of the stock sweeper is replaced by what `arms` does instead. Those that sweep whole programs, which the
archive does not hold, are written anew here. Where `arms` differs, experiments/torture/README.md says why.
"""

import math
import os
import tarfile
import types
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import hydra
import pytest
from conftest import ROOT
from hydra.test_utils import test_utils
from hydra.test_utils.launcher_common_tests import IntegrationTestSuite
from omegaconf import OmegaConf
from optuna.distributions import BaseDistribution

from headstart.errors import UserError
from headstart.sweep import ArmsSweeper
from headstart.sweep.arms import sort_overrides
from headstart.sweep.search_space import distribution_of, grid, parse_overrides
from sweep.test_sweep import rows, stored

# ---- the stock sweeper's cases

STOCK = version("hydra-optuna-sweeper")
ARCHIVE = ROOT / ".venv" / "borrowed" / f"hydra_optuna_sweeper-{STOCK}.tar.gz"
ON_ARMS = {
    "test_discovery",
    "test_sampler_normal_override",
    "test_create_optuna_distribution_from_override",
    "test_range_distribution_values",
    "test_invalid_optuna_range",
    "test_numeric_range_conversion_does_not_enumerate",
    "test_float_range_length_ignores_decimal_context_rounding",
    "test_float_range_precision_boundary_uses_exact_categorical_values",
    "test_grid_sampler_includes_distribution_endpoints",
    "test_float_grid_choices_stay_within_precision_boundary",
    "test_create_params_from_overrides",
}
OF_ITS_SAMPLERS = {  # whose configuration `arms` takes as it is
    "test_sampler_config_defaults",
    "test_default_cmaes_config_has_no_restart_deprecation_warning",
    "test_motpe_sampler_removed",
    "test_nsga_sampler_mutation",
    "test_nsgaiii_sampler_reference_points_converted_to_array",
}
WRITTEN_ANEW = {  # of its example programs
    "test_launch_jobs",
    "test_optuna_example",
    "test_example_with_grid_sampler",
    "test_optuna_multi_objective_example",
    "test_optuna_custom_search_space_example",
    "test_custom_search_space_is_resolved_through_instantiate",
    "test_failure_rate",
    "test_rejected_result_marks_trial_failed",
    "test_example_with_removed_motpe",
}


class AsArmsDoes:
    """What the suite calls of the stock sweeper's module `_impl`."""

    @staticmethod
    def create_optuna_distribution_from_override(override) -> BaseDistribution:
        try:
            return distribution_of(override)
        except UserError as error:
            raise ValueError(str(error)) from error

    @staticmethod
    def create_params_from_overrides(words: list[str]) -> tuple[dict, dict, list[str]]:
        """What is searched, what is fixed, what is taken away; a list narrows a search that the model's file has."""
        searched = [o.key_or_group for o in parse_overrides(words, "the suite") if o.is_sweep_override()]
        given = sort_overrides(words, {}, searched)
        fixed = [word for word in given.fixed if not word.startswith("~")]
        return given.space, dict(word.split("=") for word in fixed), [w for w in given.fixed if w not in fixed]

    class OptunaSweeperImpl:
        @staticmethod
        def _to_grid_sampler_choices(distribution: BaseDistribution) -> list:
            return [point["key"] for point in grid({"key": distribution})]


def load_suite() -> types.ModuleType:
    """The archive's test module, with `arms` in the stock sweeper's place."""
    with tarfile.open(ARCHIVE) as archive:
        name = next(name for name in archive.getnames() if name.endswith("/tests/test_optuna_sweeper_plugin.py"))
        text = archive.extractfile(name).read()
    suite = types.ModuleType("borrowed")
    with mock.patch.object(test_utils, "chdir_plugin_root"):  # there is no such folder
        exec(compile(text, name, "exec"), vars(suite))
    suite.OptunaSweeper, suite._impl = ArmsSweeper, AsArmsDoes
    suite.initialize = lambda config_path: hydra.initialize_config_module("headstart.conf")
    suite.compose = lambda config_name, overrides, **options: hydra.compose(
        "config", overrides=["search=random", *overrides], **options
    )
    return suite


if ARCHIVE.exists():
    SUITE = load_suite()
    globals().update({name: getattr(SUITE, name) for name in sorted(ON_ARMS | OF_ITS_SAMPLERS)})


@pytest.mark.skipif(
    not ARCHIVE.exists(), reason=f"77 cases need the source archive of the sweeper {STOCK}: make borrowed"
)
def test_no_case_of_the_stock_sweepers_suite_is_left_out():
    cases = {name for name in vars(SUITE) if name.startswith("test_") and callable(vars(SUITE)[name])}
    assert cases == ON_ARMS | OF_ITS_SAMPLERS | WRITTEN_ANEW


# ---- its example programs, as studies: the toy's accuracy is 90 less the square of a distance


def distance(cfg) -> float:
    """From a learning rate of 1e-3 and a label smoothing of 0.2, on axes that are 4 and 9 long."""
    return math.hypot(math.log10(cfg.lr) + 3, 10 * (cfg.label_smoothing - 0.2))


@pytest.fixture
def sphere(sweep, monkeypatch, without_plots):
    """`sphere(*words)` sweeps over it; returns (exit code, text)."""
    monkeypatch.setattr("toy.accuracy", lambda cfg, epoch: 90 - distance(cfg) ** 2)
    words = ["name=s", "seed=123", "epochs=1", "confirm_seeds=0", "budget.pruner=null"]
    return lambda *more, **environment: sweep(*words, *more, **environment)


@pytest.mark.slow
def test_tpe_comes_as_near_in_20_trials_as_the_stock_sweepers_example_has_to(sphere):
    code, text = sphere("label_smoothing=interval(0.0, 0.9)", "n_trials=20")
    assert code == 0, text
    assert len(rows("s")) == 20 and 90 - max(float(r["val_accuracy"]) for r in rows("s")) <= 2.27
    best = max(stored("s/cnn"), key=lambda trial: trial.value)
    assert best.params.keys() == {"lr", "label_smoothing"}
    assert (
        best.value == 90 - math.hypot(math.log10(best.params["lr"]) + 3, 10 * best.params["label_smoothing"] - 2) ** 2
    )


def test_a_list_narrows_what_is_searched_and_a_value_ends_its_search(sphere):
    params = "+hydra.sweeper.params={lr: 'interval(1e-4, 1e-1)'}"
    code, text = sphere(params, "lr=1e-4,1e-3,1e-2", "label_smoothing=0.2", "search=random", "n_trials=20")
    assert code == 0, text
    assert {frozenset(trial.params) for trial in stored("s/cnn")} == {frozenset({"lr"})}
    assert sorted(float(r["lr"]) for r in rows("s")) == [1e-4, 1e-3, 1e-2]  # as many trials as there are settings
    assert {r["val_accuracy"] for r in rows("s") if r["lr"] == "0.001"} == {"90.0"}


@pytest.mark.parametrize("n_trials", [10, 1])
def test_a_grid_is_tried_in_its_order_as_far_as_the_budget_goes(sphere, n_trials):
    words = [
        "hydra.sweeper.params.lr='choice(1e-2,1e-3)'",
        "+hydra.sweeper.params.label_smoothing='range(0.0, 0.8, 0.3)'",
        "+hydra.sweeper.params.batch_size='choice(8,16)'",
    ]
    code, text = sphere("search=decades", *words, f"n_trials={n_trials}")
    assert code == 0, text
    points = [
        (t.params["lr"], t.params["label_smoothing"], t.params["batch_size"]) for t in stored("s/cnn") if t.params
    ]
    assert points == [(r, s, b) for r in (1e-2, 1e-3) for s in (0.0, 0.3, 0.6) for b in (8, 16)][:n_trials]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["hydra.sweeper.direction=[maximize,maximize]"], "hydra/sweeper=optuna takes other objectives"),
        (["hydra.sweeper.direction=minimize"], "hydra/sweeper=optuna takes other objectives"),
        (["hydra.sweeper.custom_search_space=os.system"], "not supported by arms; write params or first_points"),
        (["hydra.sweeper.max_failure_rate=0.5"], "hydra.sweeper.max_consecutive_failures=3 in a row"),
        (["hydra.sweeper.n_jobs=3"], "needs a launcher whose jobs are processes"),
        (["hydra.sweeper.study_name=x"], "a study is called by name="),
        (["hydra/sweeper/sampler=motpe", "search=random"], "hydra/sweeper/sampler=motpe takes no seed"),
        (["~lr"], "a run has every key"),
    ],
)
def test_what_the_examples_type_and_arms_does_otherwise_is_refused_with_the_way_that_works(sphere, words, told):
    code, text = sphere("n_trials=1", *words)
    assert code == 1 and told in text and "Traceback" not in text, text
    assert not list(Path(".").rglob("search"))


def test_of_20_trials_that_all_fail_three_are_enough(sphere):
    failing = ",".join(f"cnn:{number}:search" for number in range(20))
    code, text = sphere("n_trials=20", TOY_FAILS=failing)
    assert code == 1 and "3 runs in a row failed, the last one with: the toy broke" in text
    assert [trial.state.name for trial in stored("s/cnn")][:3] == ["FAIL"] * 3


def test_a_trial_without_a_number_is_pruned_and_the_next_ones_run(sphere):
    assert sphere("n_trials=3", "search.first_points=[{lr: 1e-2}]", "lr=1e4,1e-2,1e-3", "search=decades")[0] == 0
    assert [r["state"] for r in sorted(rows("s"), key=lambda r: int(r["number"]))] == [
        "DIVERGED",
        "COMPLETE",
        "COMPLETE",
    ]
    assert [trial.state.name for trial in stored("s/cnn")] == ["PRUNED", "COMPLETE", "COMPLETE"]


# ---- what Hydra promises to a program, whichever sweeper calls it


def test_a_job_finds_its_name_its_folder_and_where_it_was_started(sweep, tmp_path, monkeypatch, without_plots):
    found, job = [], hydra.core.hydra_config.HydraConfig
    monkeypatch.setattr("toy.break_if_asked", lambda run: found.append((job.get(), os.getcwd())))
    code, text = sweep("name=s", "n_trials=1", "confirm_seeds=1", "hydra.sweep.dir=cli_dir", "hydra.job.name=mine")
    assert code == 0, text
    assert [config.job.name for config, _ in found] == ["mine", "mine"]
    assert {config.runtime.cwd for config, _ in found} == {str(tmp_path)}
    (trial, _), (confirmation, _) = found
    assert trial.runtime.output_dir == str(tmp_path / "cli_dir/cnn/search/000")
    assert confirmation.runtime.output_dir == str(tmp_path / "cli_dir/cnn/confirm/after-001/seed-1")


LOKY = "joblib_launcher.JoblibLauncher", ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
SUBMITIT = "submitit_launcher.LocalLauncher", ["hydra/launcher=submitit_local"]


@pytest.mark.parametrize(
    ("launcher", "words"), [LOKY, pytest.param(*SUBMITIT, marks=pytest.mark.slow)], ids=["joblib", "submitit"]
)
def test_rows_are_those_of_the_basic_launcher_whatever_launches_the_runs(
    sweep, monkeypatch, without_plots, launcher, words
):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))  # where a job's process finds the toy
    found = []
    for place, more in (("basic", []), ("other", [*words, "hydra.sweeper.n_jobs=2"])):
        code, text = sweep("name=s", "n_trials=2", "confirm_seeds=0", f"hydra.sweep.dir=outputs/{place}", *more)
        assert code == 0, text
        found.append(rows(place))
    assert found[0] == found[1] and len(found[1]) == 2
    for run in Path("outputs/other/cnn/search").iterdir():
        assert f"{launcher}\n" in (run / ".hydra/hydra.yaml").read_text()


PROGRAM = """import runpy, sys
import headstart.config
from headstart.sweep import preflight
preflight.run_preflight = lambda cfgs: None  # it makes the real networks
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")"""


@pytest.mark.slow
class TestProgram(IntegrationTestSuite):
    """Hydra's own, with the configuration of headstart in each of its programs.

    Left out are those that call a job's folder themselves, by its number or its overrides: `arms` does that.
    """

    @pytest.fixture
    def task_launcher_cfg(self):
        config = OmegaConf.load(ROOT / "conf" / "config.yaml")
        config.defaults[1] = {"data": "digits"}
        config.hydra.searchpath = ["pkg://headstart.conf"]
        del config.hydra.job
        return OmegaConf.merge(config, dict(n_trials=1, confirm_seeds=0, epochs=1, name="s"))

    @pytest.fixture
    def extra_flags(self):
        return ["-m"]

    def generate_custom_cmd(self):
        return lambda words, filename: [words[0], "-c", PROGRAM, *words[1:]]

    test_custom_sweeper_run_workdir = None
    test_to_absolute_path_multirun = None
