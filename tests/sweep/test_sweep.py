"""Sweeps as a person types them, with the toy network: the whole configuration, Hydra and the study are real."""

import csv
import importlib.util
import itertools
import shlex
import sys
import warnings
from pathlib import Path

import optuna
import pytest
from conftest import files_below

import headstart
from headstart import store
from sweep.helpers_sweep import SMALL


def rows(name: str) -> list[dict[str, str]]:
    """trials.csv of a study, without what depends on the clock."""
    with open(f"outputs/{name}/tables/trials.csv") as file:
        return [
            {k: v for k, v in r.items() if "seconds" not in k and "per_second" not in k} for r in csv.DictReader(file)
        ]


def counts(name: str) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for row in rows(name):
        key = row["arm"], row["phase"]
        found[key] = found.get(key, 0) + 1
    return found


def stored(study: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=study, storage="sqlite:///outputs/s/study.db").trials


def ran(name: str) -> set[str]:
    return {str(p.parent.relative_to(f"outputs/{name}")) for p in Path(f"outputs/{name}").rglob("result.json")}


def test_lists_become_arms_of_equal_budget_and_the_same_command_again_runs_nothing(sweep):
    words = ["name=s", "model=cnn,resnet18", "n_trials=3", "confirm_seeds=2"]
    code, text = sweep(*words, plots=True)
    assert code == 0, text
    assert "2 arms (cnn, resnet18)" in text and list(Path("outputs/s/plots").glob("*.svg"))
    expected = {(a, p): n for a in ("cnn", "resnet18") for p, n in (("search", 3), ("confirm", 2))}
    assert counts("s") == expected
    before = {f: b for f, b in files_below(Path("outputs/s")).items() if "result" in f or f.endswith("epochs.csv")}
    assert sweep(*words)[0] == 0
    after = files_below(Path("outputs/s"))
    assert {f: after[f] for f in before} == before
    assert len(ran("s")) == 10


@pytest.mark.parametrize("name", ["2024_01", "true", "1e3"])
def test_a_study_is_called_what_was_typed_and_goes_on_under_that_name(name, sweep):
    """Hydra reads 2024_01 as a number and true as a truth; the folder was called 202401 and True."""
    words = [f"name={name}", "model=cnn", "n_trials=2", "confirm_seeds=1"]
    code, text = sweep(*words)
    assert code == 0, text
    assert [folder.name for folder in Path("outputs").iterdir() if folder.is_dir()] == [name]
    assert counts(name) == {("cnn", "search"): 2, ("cnn", "confirm"): 1}
    before = ran(name)
    assert sweep(*words)[0] == 0 and ran(name) == before


def test_raised_totals_run_only_the_difference(sweep):
    words = ["name=s", "search=random"]
    assert sweep(*words, "n_trials=2", "confirm_seeds=1")[0] == 0
    assert sweep(*words, "n_trials=3", "confirm_seeds=1")[0] == 0
    assert {r for r in ran("s") if "search" in r} == {f"cnn/search/{n:03d}" for n in range(3)}
    confirmed = {r for r in ran("s") if "confirm" in r}
    assert sweep(*words, "n_trials=3", "confirm_seeds=3")[0] == 0
    assert len({r for r in ran("s") if "confirm" in r} - confirmed) in (2, 3)


def test_the_test_split_is_read_by_confirmations_alone_and_once(sweep):
    assert sweep("name=s", "n_trials=2", "confirm_seeds=2")[0] == 0
    assert {(r["phase"], r["test_reads"]) for r in rows("s")} == {("search", "0"), ("confirm", "1")}


def test_unnamed_sweeps_are_told_apart_by_what_they_are(sweep):
    for _ in range(2):
        assert sweep("n_trials=1", "confirm_seeds=0")[0] == 0
    assert sweep("n_trials=1", "confirm_seeds=0", "epochs=2")[0] == 0
    names = [p.name for p in Path("outputs").iterdir()]
    assert len(names) == 2
    assert all(n.startswith("adhoc-") and len(n) == 14 for n in names)


def test_a_changed_setting_is_refused_key_by_key_and_changes_nothing(sweep):
    assert sweep("name=s", "n_trials=1", "confirm_seeds=0")[0] == 0
    before = files_below(Path("outputs"))
    code, text = sweep("name=s", "n_trials=1", "confirm_seeds=0", "batch_size=64", "lr_low=1e-4")
    assert code == 1
    assert "batch_size: was null, now 64" in text
    assert "search space" in text
    assert "name=" in text
    assert {f for f, b in files_below(Path("outputs")).items() if before.get(f) != b} <= {
        "s/study.db",
        "s/study.db-shm",
    }


def test_an_added_arm_is_no_change(sweep):
    common = ["name=s", "n_trials=2", "confirm_seeds=0"]
    assert sweep(*common, "model=cnn,resnet18")[0] == 0
    assert sweep(*common, "model=cnn,resnet18,resnet18_cifar")[0] == 0
    assert counts("s") == {(a, "search"): 2 for a in ("cnn", "resnet18", "resnet18_cifar")}


def test_arms_and_params_are_typed_as_mappings(sweep):
    big = '{overrides: ["model=resnet18"], params: {batch_size: "choice(8,16)"}}'
    arms = f'hydra.sweeper.arms={{small: ["model=cnn"], big: {big}}}'
    params = 'hydra.sweeper.params={lr: "tag(log, interval(1e-4, 1e-1))"}'
    assert sweep(arms, params, "name=s", "n_trials=3", "confirm_seeds=0", "search=random")[0] == 0
    assert counts("s") == {("small", "search"): 3, ("big", "search"): 2}  # as many as it has settings
    assert {r["params_batch_size"] for r in rows("s") if r["arm"] == "big"} <= {"8", "16"}
    assert {r["lr"] for r in rows("s") if r["arm"] == "big"} == {"0.001"}


@pytest.mark.parametrize("search", ["decades", "tpe", "qmc", "random"])
def test_every_search_runs_and_starts_where_it_should(sweep, search):
    code, text = sweep("name=s", f"search={search}", "n_trials=7", "confirm_seeds=0", "budget.pruner=null")
    assert code == 0, text
    values = [float(r["lr"]) for r in sorted(rows("s"), key=lambda r: int(r["number"]))]
    decades = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5]
    if search == "decades":
        assert values == decades
        assert "every arm has 5 different settings, so 5 trials, not 7" in text
    else:
        assert len(set(values)) == 7
        assert (values[:5] == decades) == (search != "random")


@pytest.mark.parametrize("sampler", ["gp", "cmaes", "nsgaii"])
def test_optunas_other_samplers_are_usable(sweep, sampler):
    wanted = [f"hydra/sweeper/sampler={sampler}", "search=random", "search.first_points=decades"]
    code, text = sweep("name=s", *wanted, "batch_size=int(interval(8, 64))", "n_trials=7", "confirm_seeds=0")
    if sampler == "cmaes" and importlib.util.find_spec("cmaes") is None:
        assert code == 1
        assert "pip install cmaes" in text
    else:
        assert code == 0, text
        assert counts("s") == {("cnn", "search"): 7}


def test_a_grid_of_two_keys_runs_every_point_once(sweep):
    params = ["hydra.sweeper.params.lr='choice(1e-2,1e-3)'", "+hydra.sweeper.params.batch_size='choice(8,16)'"]
    code, text = sweep("name=s", "search=decades", *params, "n_trials=9", "confirm_seeds=0")
    assert code == 0, text
    found = sorted((r["lr"], r["params_batch_size"]) for r in rows("s"))
    assert found == [("0.001", "16"), ("0.001", "8"), ("0.01", "16"), ("0.01", "8")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["hydra.sweeper.objective=test_accuracy"], "test split never chooses"),
        (["hydra.sweeper.objective=val_loss"], "val_accuracy"),
        (["hydra.sweeper.n_jobs=2"], "hydra/launcher=joblib"),
        (["seed=0,1"], "confirm_seeds=5"),
        (["phase=confirm"], "never by hand"),
        (["optimizer.lr=1e-3,1e-2"], "lr="),
        (["search=decades", "hydra.sweeper.params.lr='interval(1e-3,1e-2)'"], "choice"),
        (["hydra.sweeper.arms={cnn: 5}"], "expected a mapping or null, such as {cnn: model=cnn"),
        (["hydra.sweeper.storage=postgresql://me:secret@host/db"], "HEADSTART_STORAGE"),
        (["model=cnn,nonsense"], "nonsense"),
        (["budget=smoke,quick"], "the arms of a study share budget"),
        (["search=tpe,random"], "start one study each, with different name="),
        (["name=runs"], "is for single runs"),
        (["name=comparison"], "is for reports on several studies"),
        (["name=tables"], "is for tables"),
        (["n_trials=2,3"], "all arms of a study share n_trials"),
        (["lr=-1,1e-3"], "arm cnn searches lr: lr=-1.0: expected a number above 0"),
        (["lr=0,001"], "arm cnn searches lr: lr=0.0: expected a number above 0"),
        (["lr=abc,1e-3"], "arm cnn: lr=abc: expected a number above 0"),
        (["+hydra.sweeper.params={batch_size: 'choice(8,0)'}"], "batch_size=0: expected a whole number from 1"),
        (["+hydra.sweeper.params={model: 'cnn,resnet18'}"], "options of model can't be searched, they are arms"),
        (["+hydra.sweeper.params={seed: '0,1'}"], "seeds are not searched over"),
        (["batch_size=8", "+hydra.sweeper.params={batch_size: '8,16'}"], "narrow the search by batch_size=A,B"),
        (["lr=tag(log, interval(0, 1e-1))"], "no range that can be searched"),
        (["lr=interval(1e-2, 1e-4)"], "no range that can be searched"),
        (["hydra.sweeper.first_points=half"], "hydra.sweeper.first_points=half: expected decades, a list or null"),
        (["hydra.sweeper.first_points=[1e-3]"], "expected decades, a list or null, such as [{lr: 1e-3}]"),
        (["halving=abc"], "halving=abc: expected a number above 1"),
        (["halving=1"], "halving=1.0: expected a number above 1 to 1000 or null"),
        (["budget.pruner.percentile=abc"], "budget.pruner.percentile=abc: expected a number"),
        (["budget.pruner.percentile=200"], "budget.pruner: Percentile must be between 0 and 100"),
        (["budget.pruner._target_=os.system"], "may not be called from a configuration"),
        (["search=qmc", "hydra.sweeper.sampler.qmc_type=sobool"], "hydra.sweeper.sampler: The `qmc_type='sobool'`"),
        (["hydra.sweeper.sampler.seed=5"], "hydra.sweeper.sampler.seed=5 has no effect here; give seed=..."),
        (["hydra.sweeper.study_name=x"], "hydra.sweeper.study_name=x has no effect here; a study is called by name="),
        (["hydra.sweeper.storage=null"], "hydra.sweeper.storage=null: expected a URL"),
        (["search=decades", "lr_low=2e-3", "lr_high=8e-3"], "no power of 10"),
        (["hydra.sweeper.arms={a: {overrides: [], params: {lr: 1e-3}}}", "lr=1e-2"], "arm a searches lr itself"),
        (["hydra.sweeper.arms={a: {overrides: [], params: {lr: 1e-3}}}", "lr=1e-2,1e-4"], "arm a searches lr itself"),
        (["name=../x"], "cannot be a name"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(sweep, words, told):
    code, text = sweep("n_trials=1", *words)
    assert code == 1
    assert told in text
    assert "Traceback" not in text
    assert "secret" not in "".join(p.read_text(errors="replace") for p in Path(".").rglob("*") if p.is_file())
    assert not list(Path(".").rglob("search"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["data.train_size=21"], "Give 20 or 30"),
        (["batch_size=5000"], "larger than the 1150 training images"),
        (["model=cnn,resnet18", "model.weights=nosuch.safetensors"], "arm cnn: "),
        (["+hydra.sweeper.params={optimizer.weight_decai: '0.1,0.2'}"], "optimizer.weight_decai"),
        (["experiments=quickstart", 'hydra.sweeper.source.overrides=["model=cn"]'], "source: model=cn is unknown"),
        (["model=timm"], "model.name is not given"),
        (["batch_size=128", "data.train_size=100"], "batch_size=128 is larger than the 100 training images"),
        (["model=resnet9", "batch_size=1"], "batch_size=1: the network's batch normalisation needs two pictures"),
        (["optimizer.weight_decay=-1"], "optimizer=adam is refused: Invalid weight_decay value: -1"),
    ],
)
@pytest.mark.parametrize("how", [[], ["dry_run=true"], ["hydra/launcher=joblib"]], ids=str)
def test_a_mistake_in_data_model_or_searched_keys_is_found_before_the_study_begins(sweep, words, told, how):
    code, text = sweep("name=s", "n_trials=1", "confirm_seeds=0", *words, *how, preflight=True)
    assert code == 1 and told in text and "Traceback" not in text, text
    assert not list(Path(".").rglob("study.json"))


def test_a_name_that_was_refused_is_free_for_a_study_that_is_prepared(sweep):
    words = ["name=s", "n_trials=1", "confirm_seeds=0"]
    assert sweep(*words, "batch_size=5000", preflight=True)[0] == 1
    code, text = sweep(*words, preflight=True)
    assert code == 0, text
    assert counts("s") == {("cnn", "search"): 1}


def test_an_arm_whose_runs_all_failed_is_no_success_though_first_points_are_left(sweep):
    code, text = sweep("name=s", "n_trials=2", "confirm_seeds=0", TOY_FAILS="cnn:0:search,cnn:1:search")
    assert code == 1
    assert "an arm has no trial that ran" in text
    code, text = sweep("name=s", "n_trials=2", "epochs=2")
    assert code == 1 and "epochs: was 3, now 2" in text and "rm -r outputs/s" in text


def test_a_refused_change_of_the_sampler_names_the_part_that_changed(sweep):
    assert sweep("name=s", "n_trials=1", "confirm_seeds=0")[0] == 0
    text = sweep("name=s", "n_trials=1", "confirm_seeds=0", "seed=7")[1]
    assert "sampler: seed: was 0, now 7" in text
    assert max(map(len, text.splitlines())) < 120


@pytest.mark.parametrize("url", ["nonsense", "postgres://me:secret@host/db"])
def test_a_study_whose_storage_cannot_be_opened_leaves_its_name_free(sweep, url):
    words = ["name=s", "n_trials=1", "confirm_seeds=0"]
    code, text = sweep(*words, HEADSTART_STORAGE=url)
    assert code == 1 and "postgresql+psycopg://" in text and "secret" not in text
    assert sweep(*words, "epochs=2")[0] == 0


def test_without_study_json_nobody_guesses_what_its_runs_were_made_with(sweep):
    words = ["name=s", "n_trials=1", "confirm_seeds=0"]
    assert sweep(*words)[0] == 0
    kept = Path("outputs/s/study.json").read_bytes()
    Path("outputs/s/study.json").unlink()
    code, text = sweep(*words, "epochs=2")
    assert code == 1 and "study.json is missing" in text
    assert not Path("outputs/s/study.json").exists()
    Path("outputs/s/study.json").write_bytes(kept)
    assert sweep(*words)[0] == 0
    Path("outputs/s/study.json").write_text("{}")
    assert "damaged" in sweep(*words)[1]


def test_of_a_grid_the_smaller_one_ends_with_its_settings_and_cuts_nobodys_budget(sweep):
    arms = 'hydra.sweeper.arms={tuned: ["model=cnn"], usual: ["model=cnn", "lr=1e-3"]}'
    code, text = sweep("name=s", "search=decades", arms, "n_trials=9", "confirm_seeds=0", "lr_low=1e-4")
    assert code == 0, text
    assert counts("s") == {("tuned", "search"): 4, ("usual", "search"): 1}
    assert "arm usual has 1 different setting, so 1 trial, not 9" in text


def test_a_worker_that_died_is_named(sweep, monkeypatch):
    monkeypatch.setattr("headstart.sweep.workers.can_fork", lambda: False)
    monkeypatch.setattr("headstart.sweep.workers.PROGRAM", [sys.executable, "-c", "raise SystemExit(3)"])
    code, text = sweep("name=s", "n_trials=1", "confirm_seeds=0", "jobs=2")
    assert code == 0 and "a worker ended with exit code 3; its log: outputs/s/worker-1.log" in text


def test_a_learning_rate_swept_linearly_over_decades_is_warned_about_once(sweep):
    words = ["name=s", "model=cnn,resnet18", "lr=interval(1e-5, 1e-1)", "n_trials=1", "confirm_seeds=0"]
    assert sweep(*words)[1].count("swept linearly") == 1


def test_choices_reach_the_runs_with_their_types(sweep):
    params = "+hydra.sweeper.params={clip_grad_norm: 'null,1.0', optimizer.fused: 'null,false', batch_size: '8,16'}"
    code, text = sweep("name=s", params, "lr=1e-3", "search=decades", "n_trials=9", "confirm_seeds=0")
    assert code == 0, text
    found = [store.read_json(path)["params"] for path in sorted(Path("outputs/s").rglob("run.json"))]
    values = itertools.product((None, 1.0), (None, False), (8, 16))
    assert found == [dict(zip(("clip_grad_norm", "optimizer.fused", "batch_size"), v, strict=True)) for v in values]


def test_a_glob_is_an_arm_for_each_option_that_is_called_so(sweep):
    code, text = sweep("name=s", "model=glob(cnn*)", "lr=1e-3", "n_trials=1", "confirm_seeds=0")
    assert code == 0, text
    assert counts("s") == {("cnn", "search"): 1, ("cnn3", "search"): 1}


def test_an_empty_variable_for_the_storage_means_that_it_is_not_set(sweep):
    code, text = sweep("name=s", "n_trials=1", "confirm_seeds=0", HEADSTART_STORAGE="")
    assert code == 0, text
    assert stored("s/cnn")


def test_a_dry_run_writes_nothing(sweep):
    code, text = sweep("name=s", "model=cnn,resnet18", "n_trials=4", "confirm_seeds=1", "dry_run=true")
    assert code == 0
    assert "2 arms (cnn, resnet18)" in text
    assert "0 of 10 runs exist" in text
    assert not list(Path(".").rglob("*.db"))
    assert not list(Path(".").iterdir())


@pytest.mark.parametrize("arms", ["model=cnn", "model=cnn,resnet18"])
def test_a_dry_run_fails_where_the_study_would(sweep, arms):
    """Weights that are not there: the same sentence, before anything is written."""
    words = ["name=s", arms, "model.weights=missing.safetensors", "n_trials=1", "confirm_seeds=0"]
    said = [sweep(*words, how, preflight=True) for how in ("dry_run=true", "dry_run=false")]
    assert said[0] == said[1] and said[0][0] == 1
    assert "model.weights='missing.safetensors' does not exist" in said[0][1]
    assert not Path("outputs/s/study.json").exists()


def test_a_dry_run_of_a_study_that_exists_counts_its_runs_and_changes_nothing(sweep):
    assert sweep("name=s", "n_trials=2", "confirm_seeds=0")[0] == 0
    before, trials = files_below(Path("outputs")), stored("s/cnn")
    assert "2 of 4 runs exist" in sweep("name=s", "n_trials=4", "confirm_seeds=0", "dry_run=true")[1]
    after = files_below(Path("outputs"))
    assert {f for f in after if after[f] != before.get(f)} <= {f"s/study.db{s}" for s in ("", "-shm", "-wal")}
    assert stored("s/cnn") == trials


def test_a_dry_run_neither_queues_an_arms_points_nor_gives_back_failed_trials_nor_makes_a_database(sweep):
    words = ["name=s", "n_trials=2", "confirm_seeds=0"]
    assert sweep(*words, TOY_FAILS="cnn:0:search")[0] == 0
    wide = "{overrides: ['model=cnn'], params: {lr: 'interval(1e-3, 1)'}, first_points: [{lr: 1.0}, {lr: 0.5}]}"
    plan = [*words, f"hydra.sweeper.arms={{cnn: ['model=cnn'], b: {wide}}}", "hydra.sweeper.retry_failed=true"]
    assert sweep(*plan, "dry_run=true")[0] == 0
    assert [r["state"] for r in rows("s")].count("FAILED") == 1
    assert not list(Path("outputs/s").rglob("result.failed*"))
    narrow = "{overrides: ['model=cnn'], params: {lr: 'interval(1e-5, 1e-2)'}, first_points: [{lr: 1e-4}]}"
    assert sweep(*words, f"hydra.sweeper.arms={{cnn: ['model=cnn'], b: {narrow}}}")[0] == 0
    assert [float(r["lr"]) <= 1e-2 for r in rows("s") if r["arm"] == "b"] == [True, True]
    for path in Path("outputs/s").glob("study.db*"):
        path.unlink()
    code, text = sweep(*words, "dry_run=true")
    assert code == 1 and "Put it back" in text
    assert not list(Path("outputs/s").glob("study.db*"))


def test_failures_are_kept_and_too_many_in_a_row_stop_the_sweep(sweep):
    broken = ",".join(f"cnn:{n}:search" for n in range(3))
    words = ["name=s", "n_trials=6", "confirm_seeds=1"]
    code, text = sweep(*words, TOY_FAILS=broken)
    assert code == 1
    assert "3 runs in a row failed" in text
    assert "the toy broke" in text
    log = Path(next(line.split(": ", 1)[1] for line in text.splitlines() if line.startswith("its log:")).strip())
    assert "RuntimeError: the toy broke" in log.read_text()
    assert sweep(*words)[0] == 0
    assert [r["state"] for r in rows("s")].count("FAILED") == 3
    assert {r["reason"] for r in rows("s") if r["state"] == "FAILED"} == {"the toy broke"}
    assert counts("s")["cnn", "search"] == 6  # failed ones count
    assert sweep(*words, "hydra.sweeper.retry_failed=true")[0] == 0
    assert [r["state"] for r in rows("s")].count("FAILED") == 0
    assert [r["number"] for r in rows("s") if r["phase"] == "search"] == [str(n) for n in range(6)]


def test_single_failures_do_not_stop_the_sweep(sweep):
    assert sweep("name=s", "n_trials=5", "confirm_seeds=1", TOY_FAILS="cnn:0:search,cnn:1:search,cnn:3:search")[0] == 0
    assert counts("s") == {("cnn", "search"): 5, ("cnn", "confirm"): 1}


def test_a_diverged_trial_is_a_result_that_is_never_selected(sweep):
    code, text = sweep("name=s", "lr=1e9,1e-3", "n_trials=4", "confirm_seeds=1", "search=random")
    assert code == 0, text
    assert {(r["lr"], r["state"]) for r in rows("s")} == {("1000000000.0", "DIVERGED"), ("0.001", "COMPLETE")}
    study = optuna.load_study(study_name="s/cnn", storage="sqlite:///outputs/s/study.db")
    assert {(t.state.name, t.user_attrs.get("reason") or None) for t in study.trials} == {
        ("PRUNED", "diverged"),
        ("COMPLETE", None),
    }


def test_of_a_search_only_the_best_trials_weights_stay(sweep):
    assert sweep("name=s", "n_trials=5", "confirm_seeds=1")[0] == 0
    kept = {str(p.parent.relative_to("outputs/s")) for p in Path("outputs/s").rglob("best.safetensors")}
    assert kept == {"cnn/search/002", "cnn/confirm/after-005/seed-1"}


def test_a_widened_range_is_resumed_as_it_is(sweep):
    words = ["name=s", "search=random", "search.extend_at_edge=true", "lr_low=1e-6", "lr_high=1e-5", "confirm_seeds=1"]
    words += ["hydra.sweeper.first_points=[{lr: 1e-5}]", "model=cnn,resnet18"]
    code, text = sweep(*words, "n_trials=3")
    assert code == 0, text
    found = counts("s")
    assert found["cnn", "search"] == found["resnet18", "search"] > 3
    runs = ran("s")
    assert sweep(*words, "n_trials=3")[0] == 0
    assert ran("s") == runs


def test_the_storages_password_is_in_no_file(sweep, tmp_path):
    url = f"sqlite:///{tmp_path}/elsewhere.db?password=hunter2"
    warnings.filterwarnings("ignore", message=".*password.*")
    sweep("name=s", "n_trials=1", "confirm_seeds=1", HEADSTART_STORAGE=url)
    written = files_below(Path("outputs"))
    assert "s/cnn/search/000/result.json" in written
    assert not [f for f, content in written.items() if b"hunter2" in content]


@pytest.mark.parametrize("search", ["tpe", "decades"])
def test_the_stock_sweeper_stays_usable(sweep, search):
    code, text = sweep("hydra/sweeper=optuna", f"search={search}", "name=stock", "n_trials=3", "hydra.sweeper.n_jobs=1")
    assert code == 0, text
    study = optuna.load_study(study_name="stock", storage="sqlite:///outputs/stock/study.db")
    assert [t.state.name for t in study.trials] == ["COMPLETE"] * 3
    found = {p.parent.name for p in Path("outputs/stock").rglob("result.json")}
    assert found == {"0", "1", "2"}
    if search == "decades":
        assert {t.params["lr"] for t in study.trials} <= {
            "0.1",
            "0.01",
            "0.001",
            "0.0001",
            "1e-05",
            0.1,
            1e-2,
            1e-3,
            1e-4,
            1e-5,
        }


def test_what_is_taken_from_the_stock_sweepers_insides_is_still_there():
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra_plugins.hydra_optuna_sweeper._impl import create_optuna_distribution_from_override
    from optuna.distributions import FloatDistribution

    override = OverridesParser.create().parse_override("lr=tag(log, interval(1e-4, 1e-1))")
    assert create_optuna_distribution_from_override(override) == FloatDistribution(1e-4, 1e-1, log=True)
    sampler = optuna.samplers.QMCSampler
    for name in ("_find_sample_id", "infer_relative_search_space"):
        assert callable(getattr(sampler, name))


def test_the_command_that_the_report_names_goes_on_with_the_study(sweep):
    typed = ['hydra.sweeper.arms={a: ["optimizer=adam"], b: ["optimizer=sgd"]}']
    code, _ = sweep(*typed, "n_trials=2", "confirm_seeds=1", "search.first_points=[{lr: 1e-3}]", "name=study")
    assert code == 0
    program, m, *words = shlex.split(store.read_json("outputs/study/study.json")["command"])
    assert (program, m, typed[0] in words) == ("headstart", "-m", True)
    before = rows("study")
    code, text = sweep(*[w for w in words if w not in SMALL])
    assert code == 0 and "6 of 6 runs exist" in text and rows("study") == before


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("hydra.sweeper.max_failure_rate=0.5", "max_consecutive_failures=3 in a row"),
        ("hydra.sweeper.custom_search_space=a.b", "write params or first_points per arm"),
    ],
)
def test_keys_of_the_stock_sweeper_that_mean_nothing_here_are_refused_with_the_one_that_does(
    sweep, tmp_path, word, said
):
    code, text = sweep(word, "name=study")
    assert code == 1 and said in text
    assert not list(tmp_path.rglob("study.*"))


def test_the_same_command_with_other_seeds_repeats_the_search(sweep):
    words = ["model=cnn,resnet18", "n_trials=6", "confirm_seeds=1", "threads=1"]
    for seed in (0, 10, 20):
        assert sweep(*words, f"seed={seed}", f"name=again_{seed}")[0] == 0
    study = headstart.load(*(f"outputs/again_{seed}" for seed in (0, 10, 20)))
    found = study.searches.set_index("search")
    assert found["repeats"].to_dict() == {"again/cnn": 3, "again/resnet18": 3}
    assert found["best_lr_low"].lt(found["best_lr_high"]).any()  # other seeds are other searches
