"""What a study fixed when it began."""

import pytest

from headstart.errors import UserError
from headstart.store import read_json, write_json
from headstart.sweep.fingerprint import PROTOCOL_VERSION, record_fingerprint, refuse_changes


def fingerprint(**changes):
    return {"common": {"sampler.seed": 0}, "arms": {"cnn": {"epochs": 10, "data.train_size": None} | changes}}


def test_changed_settings_are_refused_key_by_key_and_new_arms_are_not(tmp_path):
    record_fingerprint(tmp_path, fingerprint())
    before = (tmp_path / "study.json").read_bytes()
    with pytest.raises(UserError) as error:
        record_fingerprint(tmp_path, fingerprint(epochs=20, **{"data.train_size": 500}))
    assert "epochs: was 10, now 20" in str(error.value)
    assert "data.train_size: was null, now 500" in str(error.value)
    with pytest.raises(UserError, match="epochs: was 10, now 20"):
        refuse_changes(tmp_path, fingerprint(epochs=20))
    assert (tmp_path / "study.json").read_bytes() == before
    added = fingerprint()
    added["arms"]["resnet18"] = {"epochs": 10}
    record_fingerprint(tmp_path, added)
    record_fingerprint(tmp_path, fingerprint())  # an arm left out stays recorded
    assert set(read_json(tmp_path / "study.json")["arms"]) == {"cnn", "resnet18"}


def test_a_grid_whose_steps_were_added_up_in_binary_goes_on(tmp_path):
    key = "first points"
    record_fingerprint(tmp_path, fingerprint(**{key: [{"drop": 3 * 0.3, "optimizer": "sgd"}]}))
    record_fingerprint(tmp_path, fingerprint(**{key: [{"drop": 0.9, "optimizer": "sgd"}]}))
    for other in ([{"drop": 0.9001, "optimizer": "sgd"}], [{"drop": 0.9, "optimizer": "adam"}], [], None):
        with pytest.raises(UserError, match=key):
            record_fingerprint(tmp_path, fingerprint(**{key: other}))


def test_what_the_report_knows_of_an_arm_stays_when_a_later_command_leaves_the_arm_out(tmp_path):
    both = fingerprint() | dict(spaces={"cnn": {"lr": {}}, "big": {"lr": {}}}, arm_order=["big", "cnn"], n_trials=5)
    both |= dict(settings={"big": 3})
    record_fingerprint(tmp_path, both)
    record_fingerprint(tmp_path, fingerprint() | dict(spaces={"cnn": {"lr": {}}}, arm_order=["cnn"], n_trials=12))
    found = read_json(tmp_path / "study.json")
    assert (set(found["spaces"]), found["arm_order"], found["n_trials"]) == ({"cnn", "big"}, ["big", "cnn"], 12)
    assert found["settings"] == {"big": 3}


def test_what_determines_results_is_fixed_and_nothing_else(planned):
    before = planned().fingerprint
    free = ["n_trials=3", "confirm_seeds=7", "threads=3", "jobs=2", "device=cpu", "+data.root=elsewhere", "name=other"]
    for word in free:
        assert planned(word).fingerprint == before, word
    fixed = ["epochs=3", "batch_size=8", "seed=1", "split_seed=1", "lr_low=1e-4", "budget.pruner=null", "search=random"]
    fixed += ["data.train_size=500", "optimizer=sgd", "model.weights=file.safetensors", "lr=1e-3,1e-2"]
    for word in fixed:
        assert planned(word).fingerprint != before, word


def test_what_is_searched_is_fixed_as_a_space_and_not_as_a_value(planned):
    arm = planned("+hydra.sweeper.params.batch_size='choice(8,16)'").fingerprint["arms"]
    (keys,) = arm.values()
    assert not {"lr", "optimizer.lr", "batch_size"} & set(keys)
    assert keys["search space"]["batch_size"].startswith("CategoricalDistribution(choices=(8, 16))")
    assert keys["first points"][0] == {"lr": 0.1}


def test_keys_without_effect_on_an_arms_model_are_left_out(planned):
    plan = planned("model=cnn,logistic_regression")
    assert "epochs" in plan.fingerprint["arms"]["cnn"]
    assert not {"epochs", "batch_size", "precision"} & set(plan.fingerprint["arms"]["logistic_regression"])


def test_protocol_3_began_with_confirmations_that_repeat_the_choice_and_4_with_trials_that_pause(planned):
    assert planned().fingerprint["common"]["protocol"] == PROTOCOL_VERSION == 4
    assert planned().fingerprint["common"]["confirm"] == "search"
    assert planned("confirm=best").fingerprint["common"]["confirm"] == "best"


def test_a_study_that_came_to_nothing_may_be_removed(tmp_path):
    record_fingerprint(tmp_path, fingerprint())
    run_dir = tmp_path / "cnn" / "search" / "000"
    run_dir.mkdir(parents=True)
    for state, advised in (("FAILED", True), ("COMPLETE", False)):
        write_json(run_dir / "result.json", dict(state=state, val_accuracy=1.0))
        with pytest.raises(UserError) as error:
            refuse_changes(tmp_path, fingerprint(epochs=20))
        assert (f"rm -r {tmp_path}" in str(error.value)) == advised


def test_nobody_guesses_what_runs_were_made_with(tmp_path):
    refuse_changes(tmp_path, fingerprint())  # nothing there yet
    (tmp_path / "cnn" / "search" / "000").mkdir(parents=True)
    write_json(tmp_path / "cnn" / "search" / "000" / "result.json", dict(state="COMPLETE"))
    with pytest.raises(UserError, match=r"study\.json is missing"):
        refuse_changes(tmp_path, fingerprint())
    whole = dict(common={}, arms={}, spaces={}, arm_order=[])
    damaged = [
        [],
        dict(common={}),
        *(whole | {key: 3} for key in whole),
        whole | dict(arms=dict(cnn=[1])),
        whole | dict(arm_order=[[1]]),
    ]
    for content in damaged:
        write_json(tmp_path / "study.json", content)
        with pytest.raises(UserError, match="damaged: it lacks common or arms"):
            refuse_changes(tmp_path, fingerprint())


def test_of_many_changes_the_first_are_shown_and_one_that_arms_share_once(tmp_path):
    arms = {name: {f"key{n}": 0 for n in range(20)} for name in ("a", "b")}
    record_fingerprint(tmp_path, dict(common={}, arms=arms))
    changed = {name: dict.fromkeys(keys, 1) for name, keys in arms.items()}
    with pytest.raises(UserError) as error:
        refuse_changes(tmp_path, dict(common={}, arms=changed))
    assert [line.strip() for line in str(error.value).splitlines()[1:-1]] == [
        f"key{n}: was 0, now 1" for n in range(12)
    ]


def looks(*at):
    return fingerprint() | dict(looks=list(at), planned_seeds=at[-1])


def test_what_was_looked_at_stays_known_once_there_was_something_to_see(tmp_path):
    record_fingerprint(tmp_path, looks(5))
    record_fingerprint(tmp_path, looks(3, 9))  # nothing has been confirmed yet: another plan
    found = read_json(tmp_path / "study.json")
    assert (found["looks"], found["planned_seeds"]) == ([3, 9], 9)
    confirmation = tmp_path / "cnn/confirm/after-005/seed-1"
    confirmation.mkdir(parents=True)
    write_json(confirmation / "result.json", dict(state="COMPLETE"))
    record_fingerprint(tmp_path, looks(5, 7, 15))
    found = read_json(tmp_path / "study.json")
    assert (found["looks"], found["planned_seeds"]) == ([3, 5, 7, 9, 15], 9)


@pytest.mark.parametrize(("confirmed", "expected"), [(5, [5, 7, 9]), (6, [5, 7, 9]), (8, [5, 9])])
def test_no_look_is_put_in_where_there_are_seeds_already(tmp_path, confirmed, expected):
    record_fingerprint(tmp_path, looks(5))
    for seed in range(confirmed):
        confirmation = tmp_path / f"cnn/confirm/after-005/seed-{seed}"
        confirmation.mkdir(parents=True)
        write_json(confirmation / "result.json", dict(state="COMPLETE"))
    record_fingerprint(tmp_path, looks(3, 5, 7, 9))
    assert read_json(tmp_path / "study.json")["looks"] == expected


@pytest.mark.parametrize("damaged", [None, [5, None], 7, "x"])
def test_looks_that_somebody_damaged_are_planned_anew(tmp_path, damaged):
    record_fingerprint(tmp_path, looks(5))
    (tmp_path / "cnn/confirm/after-005/seed-1").mkdir(parents=True)
    write_json(tmp_path / "cnn/confirm/after-005/seed-1/result.json", dict(state="COMPLETE"))
    write_json(tmp_path / "study.json", read_json(tmp_path / "study.json") | dict(looks=damaged, planned_seeds=damaged))
    record_fingerprint(tmp_path, looks(5, 7))
    assert read_json(tmp_path / "study.json")["looks"] == [5, 7]


def test_folds_are_fixed_as_all_of_the_data_is_and_a_study_without_goes_on_as_it_was(planned):
    (plain,), (folded,) = (planned(*words).fingerprint["arms"].values() for words in ([], ["data.folds=3"]))
    assert not {"data.folds", "data.fold"} & plain.keys() and plain["data.validation_size"] == 0.2
    assert (folded["data.folds"], folded["data.fold"], folded["data.validation_size"]) == (3, 0, None)


WHOLE = ["data=folder", "data.folds=null"]  # a plan that looks at no picture


def test_a_study_on_a_folder_of_pictures_goes_on_though_duplicates_were_said_otherwise(tmp_path, planned):
    plain, kept = (planned(*WHOLE, *words).fingerprint for words in ([], ["data.duplicates=keep"]))
    (name,) = plain["arms"]
    for said in ({"data.allow_duplicates": False}, {"data.duplicates": None}):
        write_json(tmp_path / "study.json", plain | dict(arms={name: plain["arms"][name] | said}))
        refuse_changes(tmp_path, plain)
        with pytest.raises(UserError, match=r"  data\.duplicates: was \(not there\), now keep\n"):
            refuse_changes(tmp_path, kept)
    write_json(
        tmp_path / "study.json", plain | dict(arms={name: plain["arms"][name] | {"data.allow_duplicates": True}})
    )
    with pytest.raises(UserError, match=r"data\.allow_duplicates: was True"):
        refuse_changes(tmp_path, kept)


def test_a_study_of_before_batch_norm_could_be_chosen_goes_on(tmp_path, planned):
    words = ["model=resnet18", "model.weights=x.safetensors"]
    plain, fixed = (planned(*words, *more).fingerprint for more in ([], ["model.batch_norm=fixed"]))
    (name,) = plain["arms"]
    assert "model.batch_norm" not in plain["arms"][name]
    for said in ({}, {"model.batch_norm": "learn"}):  # as the first versions with it wrote
        write_json(tmp_path / "study.json", plain | dict(arms={name: plain["arms"][name] | said}))
        refuse_changes(tmp_path, plain)
        with pytest.raises(UserError, match=r"  model\.batch_norm: was \(not there\), now fixed\n"):
            refuse_changes(tmp_path, fixed)


def test_worse_pictures_are_fixed_where_they_are_asked_for_alone(planned):
    asked, plain = (planned(*words).fingerprint["arms"]["cnn"] for words in (["corruptions=true"], []))
    assert asked["corruptions"] is True and "corruptions" not in plain


def test_a_study_with_a_batch_size_of_before_is_told_how_it_goes_on(tmp_path):
    record_fingerprint(tmp_path, fingerprint(batch_size=128))
    with pytest.raises(UserError, match=r"with batch_size=128 typed it goes on with the batches it began with$"):
        refuse_changes(tmp_path, fingerprint(batch_size=None))
    with pytest.raises(UserError, match=r"or start another by name=\.\.\. \(none of its runs [^)]*\)$"):
        refuse_changes(tmp_path, fingerprint(batch_size=64))
    refuse_changes(tmp_path, fingerprint(batch_size=128))


@pytest.mark.parametrize(("sizes", "goes_on"), [([], True), ([30, 500], True), ([14, 14], False)])
def test_a_study_on_a_folder_begun_with_a_tenth_goes_on_where_that_is_the_split_of_now(
    tmp_path, planned, sizes, goes_on
):
    now, typed = (planned(*WHOLE, *words).fingerprint for words in ([], ["data.validation_size=null"]))
    (name,) = now["arms"]
    assert now["arms"][name]["data.validation_size"] == "auto" and typed["arms"][name]["data.validation_size"] is None
    write_json(tmp_path / "study.json", typed)  # as it was by default
    for number, size in enumerate(sizes):
        folder = tmp_path / name / "search" / f"{number:03d}"
        folder.mkdir(parents=True)
        write_json(folder / "run.json", {"val_images": size})
    refuse_changes(tmp_path, typed)
    if goes_on:
        refuse_changes(tmp_path, now)
        return
    with pytest.raises(
        UserError, match=r"with data\.validation_size=null typed it goes on with the split it began with"
    ):
        refuse_changes(tmp_path, now)


def test_a_weighted_loss_is_another_one_than_before_it_was_divided_by_the_number_of_pictures(planned, tmp_path):
    plain, weighted = (planned(*words).fingerprint for words in ([], ["data.class_weights=balanced"]))
    (name,) = plain["arms"]
    assert "loss" not in plain["arms"][name]
    before = {key: value for key, value in weighted["arms"][name].items() if key != "loss"}
    write_json(tmp_path / "study.json", weighted | dict(arms={name: before}))
    with pytest.raises(UserError, match=r"  loss: was \(not there\), now divided by the number of pictures\n"):
        refuse_changes(tmp_path, weighted)
