"""The plan of a sweep, before anything is opened or written."""

import shlex
from pathlib import Path

import pytest

from headstart.config import expand_config_dir
from headstart.errors import UserError


def test_a_plan_holds_every_arm_with_its_own_configuration_and_writes_nothing(planned):
    plan = planned("name=s", "model=cnn,resnet18", "epochs=3", "n_trials=4")
    assert [arm.name for arm in plan.arms] == ["cnn", "resnet18"]
    assert plan.composed["resnet18"].model.name == "resnet18" and plan.composed["cnn"].epochs == 3
    assert (plan.n_trials, plan.folder, plan.epochs(), plan.notes()) == (4, Path("outputs/s"), {3}, [])
    assert plan.arm("cnn").overrides == ["model=cnn"] and plan.fixed == [
        "data=digits",
        "name=s",
        "epochs=3",
        "n_trials=4",
    ]
    assert list(Path().iterdir()) == []


def test_a_grid_is_cut_to_its_points_and_says_so(planned):
    plan = planned("search=decades", "lr_low=1e-3", "n_trials=9")
    assert [p["lr"] for p in plan.arms[0].first_points] == [1e-1, 1e-2, 1e-3]
    assert plan.n_trials == 3
    assert plan.notes() == ["every arm has 3 different settings, so 3 trials, not 9"]


def test_with_nothing_to_search_an_arm_is_one_trial(planned):
    assert planned("lr=1e-3", "n_trials=9").n_trials == 1


def test_a_list_is_searched_once_through_and_the_plan_knows(planned):
    plan = planned("lr=1e-3,1e-2,1e-3", "n_trials=6", "model=cnn,resnet18")
    assert (plan.n_trials, plan.facts()["settings"]) == (2, {"cnn": 2, "resnet18": 2})
    assert plan.notes() == ["every arm has 2 different settings, so 2 trials, not 6"]
    assert planned("n_trials=6").facts()["settings"] == {}


def test_a_space_smaller_than_the_budget_is_noted(planned):
    plan = planned('hydra.sweeper.arms={tuned: ["model=cnn"], usual: ["lr=1e-3"]}', "n_trials=4")
    assert plan.notes() == ["arm usual has 1 different setting, so 1 trial, not 4"]
    assert (plan.n_trials, plan.facts()["settings"]) == (4, {"usual": 1})


def test_unnamed_sweeps_are_named_by_what_they_are(planned):
    names = [planned(*words).config.name for words in ([], [], ["epochs=2"], ["n_trials=3"])]
    assert names[0] == names[1] == names[3] != names[2]
    assert names[0].startswith("adhoc-") and len(names[0]) == 14
    assert planned().folder == Path("outputs") / names[0]


def test_the_command_of_a_plan_names_the_sweep_and_is_enough_to_go_on_with_it(planned):
    plan = planned("model=cnn,resnet18", "epochs=2")
    assert plan.words() == ["data=digits", "model=cnn,resnet18", "epochs=2", f"name={plan.config.name}"]
    mode, limit = "hydra.mode=MULTIRUN", "hydra.sweeper.max_consecutive_failures=5"
    assert planned("name=s", mode, limit).words() == [limit, "data=digits", "name=s"]
    again = planned(*plan.words()[1:])
    assert (again.fingerprint, again.config.name) == (plan.fingerprint, plan.config.name)
    assert shlex.split(plan.facts()["command"]) == ["headstart", "-m", *plan.words()]


def test_a_folder_with_the_time_in_its_name_is_one_folder_for_all_processes_and_later(planned):
    plan = planned("name=s", "hydra.sweep.dir=outputs/${now:%Y-%m-%d_%H-%M-%S-%f}")
    assert plan.words()[0] == f"hydra.sweep.dir={plan.folder}" and plan.folder.parent == Path("outputs")
    assert planned("name=s", "hydra.sweep.dir=mine").words()[0] == "hydra.sweep.dir=mine"


def test_an_arm_has_epochs_where_all_its_trials_have_the_same(planned):
    assert [arm.epochs for arm in planned("model=cnn,logistic_regression", "epochs=4").arms] == [4, None]
    assert planned("epochs=range(20,31)").arms[0].epochs is None
    arms = planned('hydra.sweeper.arms={short: ["epochs=5"], long: ["epochs=7"]}').arms
    assert [arm.epochs for arm in arms] == [5, 7]


def test_trials_are_compared_when_their_own_warm_up_is_over(planned):
    plan = planned("schedule=constant,onecycle", "epochs=10")
    assert [arm.rungs for arm in plan.arms] == [(1, 2, 10), (3, 5, 10)]
    assert planned("schedule=onecycle", "schedule.warmup=interval(0.1,0.4)").arms[0].rungs == ()
    later = ["model.freeze=backbone_then_none", "model.unfreeze_epoch=3", "model=resnet18"]
    assert planned(*later, "epochs=10").arms[0].rungs == (3, 4, 10)
    assert planned(*later, "epochs=10", "model.unfreeze_epoch=range(2,5)").arms[0].rungs == ()


def test_what_the_report_wants_to_know_is_among_the_facts(planned):
    plan = planned("experiments=optimizer", "n_trials=3", "confirm_seeds=2", "budget.pruner=null")
    facts = plan.facts()
    assert (facts["experiment"], facts["n_trials"], facts["confirm_seeds"]) == ("optimizer", 3, 2)
    assert (facts["unpruned"], facts["sampler"]) == (True, plan.config.hydra.runtime.choices.search)
    assert facts["arm_order"] == [arm.name for arm in plan.arms] == list(facts["spaces"])
    assert facts["question"] == plan.question() and facts["question"][0].isupper()
    assert "reported" not in facts


def test_a_study_of_ones_own_says_its_question_and_its_command_names_the_folder(planned, monkeypatch, tmp_path):
    path = tmp_path / "mine/experiments/quickstart.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("# @package _global_\n# Is mine better?\nepochs: 3\n")
    (word,) = expand_config_dir(["--config-dir", "mine"])
    monkeypatch.setattr("sys.argv", ["headstart", word])
    plan = planned("name=s", "experiments=quickstart", word)
    assert (plan.question(), plan.composed["cnn"].epochs) == ("Is mine better?", 3)
    assert plan.words()[:2] == ["--config-dir", str(tmp_path / "mine")]
    path.rename(path.with_name("gone.yaml"))
    assert plan.question().startswith("What are features of the digits")  # ours is the one that is left


def test_the_figures_of_others_are_checked(planned):
    figure = "{arm: cnn, metric: nonsense, value: 1, source: them, note: ''}"
    with pytest.raises(UserError, match="metric=nonsense is unknown"):
        planned(f"reported=[{figure}]").facts()
    assert planned(f"reported=[{figure.replace('nonsense', 'test_mean')}]").facts()["reported"][0]["value"] == 1


def test_the_bounds_of_a_search_are_told_as_numbers(planned):
    lr = planned("lr_low=1e-4", "lr_high=1e-2").facts()["spaces"]["cnn"]["lr"]
    assert (lr["low"], lr["high"], lr["log"]) == (1e-4, 1e-2, True)


def test_a_mistake_in_an_arm_is_found_and_the_arm_named(planned):
    with pytest.raises(UserError, match=r"arm big: model=resnet81 is unknown. Did you mean resnet18"):
        planned('hydra.sweeper.arms={small: ["model=cnn"], big: ["model=resnet81"]}')
    with pytest.raises(UserError, match=r"^epochs=0: expected a whole number from 1"):
        planned('hydra.sweeper.arms={small: ["epochs=0"]}')


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("~lr", "~lr: a run has every key"),
        ("+foo=1", r"foo=\.\.\. is unknown\. Choose from arm"),
        ("lr", "arm a: 'lr' is not understood; write key=value"),
        ("lr=[1", r"arm a: 'lr=\[1' is not understood"),
    ],
)
def test_what_a_command_line_may_not_say_an_arm_may_not_either(override, said, planned):
    with pytest.raises(UserError, match=said):
        planned(f'hydra.sweeper.arms={{a: ["{override}"]}}')


def test_a_key_that_nothing_reads_is_no_axis_of_arms(planned):
    with pytest.raises(UserError, match=r"foo=\.\.\. is unknown"):
        planned("+foo=1,2")


def test_a_learning_rate_swept_linearly_over_decades_is_warned_about_once(planned, capsys):
    planned("model=cnn,resnet18", "lr=interval(1e-5, 1e-1)")
    assert capsys.readouterr().err.count("lr is swept linearly from 1e-05 to 0.1") == 1


@pytest.mark.filterwarnings("ignore::FutureWarning")  # Optuna's, of keys that go with its next version
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["budget.pruner.percentile=200"],
            r"^budget\.pruner: Percentile must be between 0 and 100",
        ),
        (["budget.pruner={_target_: optuna.pruners.PercentielPruner}"], r"PercentielPruner"),
        (["hydra.sweeper.sampler.prior_weight=0"], r"^hydra\.sweeper\.sampler can't draw .*divide by zero"),
        (["search=qmc", "hydra.sweeper.sampler.qmc_type=sobool"], r"^hydra\.sweeper\.sampler: The `qmc_type='sobool'`"),
    ],
)
def test_a_mistake_in_pruner_or_sampler_is_found_before_anything_is_written(words, told, planned):
    with pytest.raises(UserError, match=told):
        planned(*words)
    assert list(Path().iterdir()) == []


def test_a_study_of_models_that_are_fitted_in_one_go_plans_no_search_of_what_has_no_effect(planned):
    assert list(planned("model=logistic_regression", "lr=abc,1e-3").arms[0].space) == ["model.C"]


def test_models_that_are_fitted_in_one_go_have_no_epochs(planned):
    assert planned("model=logistic_regression").epochs() == set()
    assert planned("model=logistic_regression,cnn", "epochs=4").epochs() == {4}


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("epochs=range(20,31)", {20, 30}),
        ("epochs=int(interval(5, 9))", {5, 9}),
        ("epochs=3,7", {3, 7}),
        ('hydra.sweeper.arms={short: ["epochs=5"], long: ["epochs=7"]}', {5, 7}),
        ("+hydra.sweeper.params={epochs: 'choice(4,6,8)'}", {4, 6, 8}),
    ],
)
def test_epochs_are_those_of_the_arms_and_the_ends_of_what_is_searched(word, found, planned):
    assert planned(word).epochs() == found


def test_a_key_that_is_added_is_named_without_its_plus_in_what_the_report_reads(planned):
    facts = planned("+hydra.sweeper.params={+optimizer.eps: 'choice(1e-8,1e-6)'}").facts()
    assert list(facts["spaces"]["cnn"]) == ["lr", "optimizer.eps"]


@pytest.mark.parametrize(
    ("words", "looks"),
    [
        (["confirm_seeds=5"], [5]),
        (["confirm_seeds=auto"], [5, 7, 9, 11, 13, 15]),
        (["confirm_seeds=auto", "confirm_seeds_max=8"], [5, 7, 8]),
        (["confirm_seeds=auto", "confirm_seeds_max=3"], [3]),
        (["confirm_seeds=0"], [0]),
    ],
)
def test_a_plan_knows_with_how_many_seeds_its_arms_will_be_compared(words, looks, planned):
    plan = planned("name=s", "margin=0.5", *words)
    facts = plan.facts()
    assert plan.looks == facts["looks"] == looks
    assert (facts["planned_seeds"], facts["margin"]) == (looks[-1], 0.5)


def test_each_seed_has_its_fold_by_its_place_among_the_seeds(planned):
    plan = planned("model=cnn,linear", "data.folds=3", "seed=22", "confirm_seeds=4")
    assert [plan.fold_of(arm, seed) for arm in ("cnn", "linear") for seed in (23, 24, 25, 26)] == [0, 1, 2, 0] * 2
    assert plan.folds() == {"cnn": 3, "linear": 3}
    assert "4 seeds are no multiple of 3 folds: not every fold is used equally often" in plan.notes()
    assert planned("data.folds=3", "confirm_seeds=6").notes() == []
    assert planned("data.folds=5", "confirm_seeds=auto").notes()[0].startswith("7 or 9 or 11 or 13 seeds are no")
    assert planned().fold_of("cnn", 23) is None and planned().folds() == {}
    assert planned("data.folds=3,5").folds() == {"folds-3": 3, "folds-5": 5}


@pytest.mark.parametrize("words", [["data.fold=1"], ["data.fold=0,1"], ["data.fold=range(0,3)"]])
def test_which_fold_validates_is_not_a_sweeps_to_choose(words, planned):
    with pytest.raises(UserError, match=r"validated on fold 0, its confirmations on one fold after the other"):
        planned("data.folds=3", *words)
    with pytest.raises(UserError, match=r"arm cnn searches data.folds"):
        planned("data.folds=range(2,4)")
