"""What `minutes=` may choose, and the sentences for what can't be meant."""

import pytest

from headstart.errors import UserError
from headstart.sweep.minutes.asked import fixed_of, frame_of, refuse_unfit, sized, too_short
from headstart.timing import Pace, Size, TooShortError

PACE = Pace((2.0,) * 10, 0.0, 0.1, 0.0)


def frame(plan, **paces):
    return frame_of(plan, {f"arm {name}": pace for name, pace in paces.items()}, before=5.0, busy=1.0)


@pytest.mark.parametrize(
    ("words", "fixed"),
    [
        ([], {}),
        (["epochs=10"], {"epochs": 10}),
        (["n_trials=7", "confirm_seeds=2"], {"n_trials": 7, "confirm_seeds": 2}),
        (["hydra.sweeper.n_trials=7"], {"n_trials": 7}),
        (["experiments=quickstart"], {}),  # whose file says how many, and nobody typed it
        (['hydra.sweeper.arms={a: ["model=cnn", "epochs=4"], b: ["model=cnn"]}'], {"epochs": 10}),
        (["+hydra.sweeper.params={epochs: 'choice(2,7)'}"], {"epochs": 7}),
        (["model=logistic_regression"], {"epochs": 1}),
    ],
)
def test_what_was_typed_and_epochs_of_an_arms_own_are_not_chosen(words, fixed, planned):
    assert fixed_of(planned("name=s", "minutes=3", *words)) == fixed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["budget=quick"], "budget=quick and minutes=3 both say how much is spent"),
        (["confirm_seeds=auto"], "confirm_seeds=auto takes as many seeds as it needs, minutes=3 as many as fit"),
        (["epochs=4", "n_trials=5", "confirm_seeds=3"], "epochs, n_trials and confirm_seeds are all given"),
        (["model=logistic_regression", "n_trials=5", "confirm_seeds=3"], "choose: n_trials and confirm_seeds are all"),
        (["hydra/launcher=submitit_slurm"], "the runs are on other machines"),
    ],
)
def test_what_cannot_be_fitted_is_a_sentence(words, told, planned):
    with pytest.raises(UserError, match=told):
        refuse_unfit(planned("name=s", "minutes=3", *words))


def test_the_arms_are_timed_each_and_what_could_not_be_is_like_the_others(planned):
    of = frame(planned("name=s", "minutes=3", "model=cnn,logistic_regression", "jobs=2"), cnn=PACE)
    assert list(of.arms) == ["cnn", "logistic_regression"] and of.jobs == 2
    assert of.arms["cnn"].pace == PACE and not of.arms["cnn"].own_epochs
    one_fit = of.arms["logistic_regression"]
    assert one_fit.own_epochs and one_fit.pace.epochs == (PACE.whole,)
    assert (of.epochs, of.before, of.most_seeds) == (10, 5.0, 15)


@pytest.mark.parametrize(
    ("words", "may_halve", "prunes", "halving"),
    [
        ([], True, True, None),
        (["halving=null"], False, True, None),  # typed
        (["halving=4"], False, False, 4.0),
        (["budget.pruner=null"], False, False, None),
        (["experiments=quickstart"], False, False, None),  # whose file wants all trials whole
        (["budget.pruner.percentile=35"], False, True, None),
        (["+hydra.sweeper.params={epochs: 'choice(2,7)'}"], False, True, None),  # nothing to compare them by
    ],
)
def test_halving_is_chosen_only_where_nobody_said_what_stops_trials(words, may_halve, prunes, halving, planned):
    of = frame(planned("name=s", "minutes=3", *words))
    assert (of.may_halve, of.prunes, of.halving) == (may_halve, prunes, halving)


def test_epochs_are_never_fewer_than_a_network_stands_still(planned):
    assert (
        frame(
            planned("name=s", "minutes=3", "model=cnn", "model.freeze=backbone_then_none", "model.unfreeze_epoch=6")
        ).least_epochs
        == 6
    )


def test_the_source_run_comes_out_of_the_time(planned):
    plan = planned("name=s", "minutes=3", "experiments=quickstart")
    of = frame_of(plan, {"source": PACE, "arm random": PACE}, before=5.0, busy=1.0)
    assert of.before == pytest.approx(5 + PACE.whole)


def test_too_little_time_names_what_is_needed_and_what_would_make_it_less(planned):
    error = TooShortError(Size(3, 5, 3), 250.0)
    quick = Pace((1.0,), 0, 0, 0)
    plan = planned("name=s", "minutes=3", "experiments=quickstart")
    said = str(too_short(plan, error, frame(plan, random=PACE, frozen=quick)))
    assert "minutes=3 is too short: the smallest plan, 5 trials x 3 epochs and 3 seeds for each of 2 arms" in said
    assert "takes about 4.2 minutes here; give minutes=5" in said
    assert said.endswith("data.train_size=..., image_size=...")  # of two arms none can be left out
    busy = frame_of(plan, {"arm random": PACE, "arm frozen": quick}, before=5.0, busy=1.8)
    assert "4.2 minutes here (this machine is busy: 1.8 times as long); give" in str(too_short(plan, error, busy))
    plan = planned("name=s", "minutes=3", "experiments=augmentation")
    said = str(too_short(plan, error, frame(plan, flip=PACE, none=quick)))
    assert said.endswith("image_size=..., leave an arm out ('~arms.flip' takes longest)")
    plan = planned("name=s", "minutes=3", "model=cnn,resnet18,resnet9")
    assert "fewer arms (resnet18 takes longest)" in str(too_short(plan, error, frame(plan, resnet18=PACE, cnn=quick)))
    plan = planned("name=s", "minutes=3")
    assert "arm" not in str(too_short(plan, error, frame(plan, cnn=PACE)))


def test_a_size_in_words(planned):
    assert sized(planned("name=s"), Size(1, 5, 3)) == "5 trials x 1 epoch and 3 seeds"
    halved = Size(10, 8, 4, halved=True)
    expected = "8 trials x 10 epochs, the best third of them to the end, and 4 seeds for each of 2 arms"
    assert sized(planned("name=s", "model=cnn,resnet18"), halved) == expected


def test_on_a_busy_machine_all_takes_longer_but_a_second_does_not_speak_for_minutes(planned):
    calm, busy, mad = (
        frame_of(planned("name=s", "minutes=3"), {"arm cnn": PACE}, before=5.0, busy=times) for times in (1.0, 1.5, 9.0)
    )
    assert (busy.factor, busy.after) == (pytest.approx(1.5 * calm.factor), pytest.approx(1.5 * calm.after))
    assert (mad.factor, mad.after) == (2 * calm.factor, 2 * calm.after)
