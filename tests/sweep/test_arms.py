"""From what a person types to arms and search spaces."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from headstart.errors import UserError
from headstart.sweep.arms import build_arms, replace_overrides, sort_overrides, with_models_search

LOG = "tag(log, interval(1e-5, 1e-1))"
PARAMS = {"lr": LOG}


def arms(*typed, configured=None, params=PARAMS, first_points="decades"):
    return build_arms(configured, sort_overrides(list(typed), params), first_points, "cnn")


def shown(found):
    return {a.name: a.overrides for a in found}


def test_with_neither_arms_nor_lists_the_sweep_is_one_arm_with_the_decades_first():
    (arm,) = arms("epochs=3")
    assert (arm.name, arm.overrides) == ("cnn", [])
    assert arm.space == {"lr": FloatDistribution(1e-5, 1e-1, log=True)}
    assert arm.first_points == [{"lr": v} for v in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)]


def test_comma_lists_become_arms_by_their_product():
    assert shown(arms("model=cnn,resnet18", "optimizer=adam,sgd")) == {
        "cnn-adam": ["model=cnn", "optimizer=adam"],
        "cnn-sgd": ["model=cnn", "optimizer=sgd"],
        "resnet18-adam": ["model=resnet18", "optimizer=adam"],
        "resnet18-sgd": ["model=resnet18", "optimizer=sgd"],
    }


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (
            "data.train_size=500,null",
            {"train_size-500": ["data.train_size=500"], "train_size-null": ["data.train_size=null"]},
        ),
        ("data.classes=[0,1],[2,3]", {"classes-0-1": ["data.classes=[0,1]"], "classes-2-3": ["data.classes=[2,3]"]}),
        ("batch_size=choice(32,64)", {"batch_size-32": ["batch_size=32"], "batch_size-64": ["batch_size=64"]}),
        ("precision=fp32,bf16", {"precision-fp32": ["precision=fp32"], "precision-bf16": ["precision=bf16"]}),
        ("+optimizer.eps=1e-8,1", {"eps-1e-08": ["+optimizer.eps=1e-08"], "eps-1": ["+optimizer.eps=1"]}),
    ],
)
def test_lists_of_values_are_named_by_their_key(typed, expected):
    assert shown(arms(typed)) == expected


def test_a_list_for_a_key_that_is_searched_narrows_the_search():
    (arm,) = arms("lr=1e-2,1e-3")
    assert arm.space == {"lr": CategoricalDistribution([1e-2, 1e-3])}


@pytest.mark.parametrize(
    ("typed", "key", "expected"),
    [
        ("lr=interval(1e-3, 1e-2)", "lr", FloatDistribution(1e-3, 1e-2)),
        ("lr=tag(log, interval(1e-3, 1e-2))", "lr", FloatDistribution(1e-3, 1e-2, log=True)),
        ("batch_size=int(interval(8, 64))", "batch_size", IntDistribution(8, 64)),
        ("batch_size=range(8, 33, 8)", "batch_size", IntDistribution(8, 32, step=8)),
        ("model.dropout=range(0.0, 0.4, 0.1)", "model.dropout", FloatDistribution(0.0, 0.3, step=0.1)),
    ],
)
def test_intervals_and_ranges_are_searched_inside_each_arm(typed, key, expected):
    for arm in arms(typed, "model=cnn,resnet18"):
        assert arm.space[key] == expected


def test_a_learning_rate_that_is_typed_is_not_searched():
    (arm,) = arms("lr=1e-2")
    assert (arm.space, arm.first_points) == ({}, [])


BATCH = PARAMS | {"batch_size": "choice(8,16,32)"}


def test_one_value_beside_a_search_that_was_asked_for_is_refused():
    with pytest.raises(
        UserError, match=r"^batch_size=8: hydra\.sweeper\.params searches batch_size; .* batch_size=A,B$"
    ):
        arms("batch_size=8", params=BATCH)
    (arm,) = arms("lr=1e-2", "batch_size=8,16", params=BATCH)
    assert arm.space == {"batch_size": CategoricalDistribution([8, 16])}


def test_a_glob_is_every_option_that_is_called_so():
    assert shown(arms("model=glob(cnn*)")) == {"cnn": ["model=cnn"], "cnn3": ["model=cnn3"]}
    assert list(shown(arms("optimizer=glob(*,exclude=sgd)"))) == ["adam", "adamw", "muon"]


@pytest.mark.parametrize("typed", ["model=glob(zzz*)", "lr=glob(1*)", "data.classes=glob(*)"])
def test_a_glob_that_nothing_is_called_by_is_refused(typed):
    with pytest.raises(UserError, match="no option of a config group is called so; headstart --help lists them"):
        arms(typed)


def test_a_key_that_is_added_is_searched_and_named_without_its_plus():
    (arm,) = arms(params={"+optimizer.eps": "choice(1e-8,1e-6)"})
    assert arm.space == {"+optimizer.eps": CategoricalDistribution([1e-8, 1e-6])}
    (arm,) = arms("+optimizer.eps=interval(1e-8, 1e-6)", params={})
    assert arm.space == {"+optimizer.eps": FloatDistribution(1e-8, 1e-6)}


@pytest.mark.parametrize("typed", ["seed=0,1,2", "split_seed=0,1", "seed=range(5)"])
def test_seeds_are_not_swept(typed):
    with pytest.raises(UserError, match="confirm_seeds=5"):
        arms(typed)


def test_an_arms_own_params_and_first_points_replace_the_common_ones():
    own = dict(overrides=["model=lr"], params={"model.C": "tag(log, interval(1e-4, 1))"}, first_points=[{"model.C": 1}])
    found = {a.name: a for a in arms(configured={"cnn": ["model=cnn"], "lr": own})}
    assert found["lr"].space == {"model.C": FloatDistribution(1e-4, 1.0, log=True)}
    assert found["lr"].first_points == [{"model.C": 1.0}]
    assert isinstance(found["lr"].first_points[0]["model.C"], float)
    assert list(found["cnn"].space) == ["lr"]
    no_points = arms(configured={"lr": own | {"first_points": []}})
    assert no_points[0].first_points == []


def test_an_arm_that_sets_a_searched_key_does_not_search_it():
    found = {a.name: a.space for a in arms(configured={"a": ["lr=1e-3"], "b": ["model=cnn"]})}
    assert found["a"] == {}
    assert list(found["b"]) == ["lr"]


def test_configured_arms_are_crossed_with_lists():
    found = arms("data.train_size=50,500", configured={"cnn": ["model=cnn"]})
    assert [a.name for a in found] == ["cnn-train_size-50", "cnn-train_size-500"]


@pytest.mark.parametrize(
    ("configured", "words"),
    [
        (["model=cnn"], "expected {cnn:"),
        ("cnn", "expected {cnn:"),
        ({"cnn": "model=cnn"}, 'expected \\["model=cnn"\\]'),
        ({"cnn": None}, 'expected \\["model=cnn"\\]'),
        ({"cnn": {"model": "cnn"}}, "expected"),
        ({"cnn": {"overrides": "model=cnn"}}, "expected"),
        ({"cnn": {"overrides": [{"model": "cnn"}]}}, "arm cnn"),
        ({"cnn": ["model=cnn,resnet18"]}, "is a sweep"),
        ({"a b": ["model=cnn"]}, "cannot be a name"),
        ({"../x": ["model=cnn"]}, "cannot be a name"),
        ({"cnn": {"overrides": [], "params": {"lr": "interval(1"}}}, "params"),
        ({"cnn": {"overrides": [], "params": 3}}, "arm cnn: params=3: expected a mapping or null"),
        ({"cnn": {"overrides": [], "params": {"model": "cnn,fan"}}}, "options of model can't be searched"),
        ({"cnn": {"overrides": [], "params": {"seed": "1,2"}}}, "seeds are not searched over"),
        ({"cnn": {"overrides": [], "first_points": "half"}}, "arm cnn: first_points=half: expected decades, a list"),
        ({"cnn": {"overrides": [], "first_points": [1e-3]}}, "arm cnn: first_points=.*: expected decades, a list"),
        ({"cnn": {"overrides": [], "params": PARAMS, "first_points": [{"lr": 5}]}}, "not in the search space"),
        ({"cnn": {"overrides": [], "params": PARAMS, "first_points": [{"C": 1}]}}, "not in the search space"),
    ],
)
def test_malformed_arms_are_explained(configured, words):
    with pytest.raises(UserError, match=words):
        arms(configured=configured)


def test_what_an_arm_sets_itself_cannot_be_typed_as_well():
    with pytest.raises(UserError, match="sets model itself"):
        arms("model=resnet18", configured={"cnn": ["model=cnn"]})


def test_arms_with_the_same_name_are_refused():
    with pytest.raises(UserError, match="share a name"):
        arms("data.classes=[0,1],[0-1]")


# ---- a model that brings its own search

SEARCH = {"params": {"model.C": "tag(log, interval(1e-4, 1))"}, "first_points": [{"model.C": 1}, {"model.C": 1e-2}]}
IDLE = {"lr", "epochs"}


def with_search(*typed, configured=None, search=SEARCH, unused=IDLE, params=PARAMS):
    sorted_ = sort_overrides(list(typed), params, search["params"] if search else ())
    (arm,) = build_arms(configured, sorted_, "decades", "logistic")
    return with_models_search(arm, search, sorted_, unused)


def test_a_models_own_search_takes_the_place_of_the_learning_rate():
    arm = with_search("epochs=3")
    assert arm.space == {"model.C": FloatDistribution(1e-4, 1.0, log=True)}
    assert arm.first_points == [{"model.C": 1.0}, {"model.C": 1e-2}]
    assert with_search("epochs=3", unused=()).space == arm.space  # a network may bring one, too


@pytest.mark.parametrize(
    ("typed", "space", "points"),
    [
        ("model.C=0.5", {}, []),
        ("model.C=0.5,0.01", {"model.C": CategoricalDistribution([0.5, 0.01])}, [{"model.C": 0.01}]),
        (
            "model.C=tag(log, interval(1e-3, 1e-1))",
            {"model.C": FloatDistribution(1e-3, 1e-1, log=True)},
            [{"model.C": 0.01}],
        ),
    ],
)
def test_what_is_typed_wins_over_a_models_own_search(typed, space, points):
    arm = with_search(typed)
    assert (arm.space, arm.first_points) == (space, points)


def test_what_has_no_effect_on_a_model_is_not_searched():
    assert list(with_search("lr=1e-2,1e-3", "epochs=int(interval(1, 9))").space) == ["model.C"]
    assert with_search("lr=1e-2,1e-3", search=None).space == {}
    assert list(with_search("lr=1e-2,1e-3", unused=()).space) == ["model.C", "lr"]  # typed for a network


def test_a_studys_params_are_searched_beside_a_models_own():
    arm = with_search(params=PARAMS | {"model.tol": "choice(1e-3,1e-4)"})
    assert list(arm.space) == ["model.C", "model.tol"]


def test_an_arms_own_params_win_over_its_models_search_and_may_name_nothing_idle():
    own = {"overrides": ["model=logistic"], "params": {"model.tol": "choice(1e-3,1e-4)"}}
    assert list(with_search(configured={"a": own}).space) == ["model.tol"]
    with pytest.raises(UserError, match="arm a: lr of its params has no effect"):
        with_search(configured={"a": own | {"params": PARAMS}})


def test_an_override_of_an_arm_ends_the_search_of_that_key():
    assert with_search(configured={"a": ["model=logistic", "model.C=1"]}).space == {}


def test_a_malformed_search_of_a_model_is_explained():
    given = sort_overrides([], {})
    with pytest.raises(UserError, match=r"^model\.search=5: expected a mapping or null"):
        with_models_search(build_arms(None, given, None, "a")[0], 5, given, ())


def test_a_first_point_that_is_none_of_the_choices_is_refused():
    with pytest.raises(UserError, match="not in the search space"):
        arms(params={"lr": "choice(1e-2,1e-3)"}, first_points=[{"lr": 5}])


def test_later_overrides_replace_earlier_ones_of_the_same_key():
    assert replace_overrides(["model=cnn", "+a=1", "lr=1"], ["model=resnet18", "a=2"]) == [
        "lr=1",
        "model=resnet18",
        "a=2",
    ]


LONG = "/data/weights/of/a/colleague/who/nests/folders/deeply/and/names/them/well"


def test_an_arm_named_by_a_long_path_is_called_by_its_end():
    found = arms(f"model.weights=null,{LONG}/first.safetensors,{LONG}/second.pth")
    assert list(shown(found)) == ["weights-null", "weights-first.safetensors", "weights-second.pth"]
    assert shown(found)["weights-second.pth"] == [f"model.weights={LONG}/second.pth"]


def test_paths_with_the_same_end_and_long_texts_are_cut_and_told_apart():
    names = list(shown(arms(f"model.weights={LONG}/a/best.pth,{LONG}/b/best.pth,{'x' * 90}")))
    assert len(set(names)) == 3 and all(len(name) <= 40 for name in names)
    assert names == list(shown(arms(f"model.weights={LONG}/a/best.pth,{LONG}/b/best.pth,{'x' * 90}")))


def test_a_product_of_long_names_still_names_a_folder():
    words = [f"model.{key}={'a' * 38},{'b' * 38}" for key in ("name", "weights")]
    names = list(shown(arms(*words)))
    assert len(set(names)) == 4 and all(len(name) <= 64 for name in names)


def test_the_message_on_an_arms_name_is_about_arms():
    with pytest.raises(UserError, match=r"'a b' cannot be a name: [^$]*such as arms=\{cnn_64px: model=cnn\}\.$"):
        arms(configured={"a b": ["model=cnn"]})
