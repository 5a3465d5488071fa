"""The plan of a sweep, before anything is opened or written."""

import shlex
from pathlib import Path

import pytest

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
    assert plan.notes() == ["the grid has 3 points: that many trials an arm, not 9"]


def test_with_nothing_to_search_an_arm_is_one_trial(planned):
    assert planned("lr=1e-3", "n_trials=9").n_trials == 1


def test_a_space_smaller_than_the_budget_is_noted(planned):
    plan = planned('hydra.sweeper.arms={tuned: ["model=cnn"], usual: ["lr=1e-3"]}', "n_trials=4")
    assert plan.notes() == ["arm usual has only 1 different settings to try: some of its trials repeat"]


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


def test_what_the_report_wants_to_know_is_among_the_facts(planned):
    plan = planned("experiments=optimizer", "n_trials=3", "confirm_seeds=2", "budget.pruner=null")
    facts = plan.facts()
    assert (facts["experiment"], facts["n_trials"], facts["confirm_seeds"]) == ("optimizer", 3, 2)
    assert (facts["unpruned"], facts["sampler"]) == (True, plan.config.hydra.runtime.choices.search)
    assert facts["arm_order"] == [arm.name for arm in plan.arms] == list(facts["spaces"])
    assert facts["question"] == plan.question() and facts["question"][0].isupper()
    assert "reported" not in facts


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
    with pytest.raises(UserError, match="epochs=0 is too small"):
        planned('hydra.sweeper.arms={small: ["epochs=0"]}')


def test_a_learning_rate_swept_linearly_over_decades_is_warned_about(planned, capsys):
    planned("lr=interval(1e-5, 1e-1)")
    assert "swept linearly from 1e-05 to 0.1" in capsys.readouterr().err


def test_models_that_are_fitted_in_one_go_have_no_epochs(planned):
    assert planned("model=logistic_regression").epochs() == set()
    assert planned("model=logistic_regression,cnn", "epochs=4").epochs() == {4}
