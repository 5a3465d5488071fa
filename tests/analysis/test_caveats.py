"""What has to be said beside a verdict is said, under its kind."""

import shutil

from analysis.helpers_analysis import SPACE, confirm, describe_study, result_of, run, said, search
from headstart.analysis.caveats import NOT_CONVERGED, CaveatKind
from headstart.analysis.comparison import compare
from headstart.store import read_json, read_run, write_json

SHORT = f"{NOT_CONVERGED} in 100 iterations"


def test_what_has_to_be_said_beside_a_verdict_is_said(fair):
    found = compare(fair)
    assert said(found, "seeds vary initial weights", "not the search", "luck")
    assert said(found, "read 10 times: 10 by confirmations")
    assert said(found, "a: 1 of 5 search trials ended DIVERGED")
    assert not said(found, "unfinished") and not said(found, "earlier choice") and not said(found, "weights of")


def test_what_the_choice_of_test_images_alone_moves_is_said(tmp_path):
    describe_study(tmp_path, "a", confirm_seeds=3)
    search(tmp_path, "a")
    confirm(tmp_path, "a", [90.2] * 3, images=1000)
    assert said(compare(tmp_path), "±1.84 points (95 %, 1,000 test images)")


def test_weights_from_a_file_are_not_called_imagenets(fair):
    run(fair, "source", arm="source", phase="source")
    for arm, weights in (("a", "/x/s/source/best.safetensors"), ("b", "mine/model.pth")):
        for folder in fair.glob(f"{arm}/search/*"):
            result_of(folder, weights=weights)
    found = compare(fair)
    assert said(found, "weights of a are our own", "source run", "not ImageNet's")
    assert said(found, "weights of b are a file", "model.pth", "not called ImageNet's")
    for folder in fair.glob("b/search/*"):
        result_of(folder, weights="timm/resnet18.a1_in1k")
    assert not said(compare(fair), "weights of b")


def test_a_reading_of_the_test_split_by_a_search_trial_is_reported(fair):
    result_of(fair / "a/search/001", test_reads=1)
    assert said(compare(fair), "which they never should")


def test_a_caveat_has_a_kind_and_reads_as_its_sentence(fair):
    (fair / "b/search/004/result.json").unlink()
    found = {caveat.kind: caveat for caveat in compare(fair).caveats}
    assert str(found[CaveatKind.UNFINISHED]).startswith("The study is unfinished: 9 of 10 search trials")
    assert str(found[CaveatKind.TEST_READS]) == "The test split was read 10 times: 10 by confirmations."
    assert found[CaveatKind.TEST_READS].said_of("s").kind is CaveatKind.TEST_READS
    assert str(found[CaveatKind.TEST_READS].said_of("s")).startswith("s: The test split")
    assert CaveatKind.FORBIDDEN_READS not in found and CaveatKind.SINGLE_RUNS not in found


def test_of_an_unfinished_study_whose_command_nobody_knows_none_is_said_to_go_on(fair):
    (fair / "b/search/004/result.json").unlink()
    assert said(compare(fair), "unfinished", "The same command goes on: headstart -m name=s")
    study = read_json(fair / "study.json")
    write_json(fair / "study.json", study | dict(command=None))
    (caveat,) = said(compare(fair), "unfinished")
    assert caveat.text.endswith("confirmations have ended.")


def test_a_fit_that_was_cut_short_is_said_with_its_reason(fair):
    write_json(fair / "a/confirm/002/seed-1/result.json", read_run(fair / "a/confirm/002/seed-1") | dict(reason=SHORT))
    (caveat,) = (caveat for caveat in compare(fair).caveats if caveat.kind is CaveatKind.NOT_CONVERGED)
    assert str(caveat) == f"a: 1 confirmation {SHORT}; a longer fit might score otherwise."


def lost(fair, **values):
    """The study with an arm whose trials all led nowhere."""
    for folder in fair.glob("b/search/*"):
        (folder / "epochs.csv").unlink(missing_ok=True)
        result_of(folder, **(dict(state="CHANCE", val_accuracy=20.0, reason="20.00 % is guessed") | values))
    return [str(c) for c in compare(fair).caveats if c.kind is CaveatKind.DEAD_END]


def test_an_arm_that_led_nowhere_says_why_and_which_two_commands_may_help(fair):
    assert not [c for c in compare(fair).caveats if c.kind is CaveatKind.DEAD_END]
    (text,) = lost(fair, val_size=14, batch_size=32, epochs=4, steps=8)
    assert text == (
        "b: none of its trials may be selected (5 CHANCE). The best: 20.00 % is guessed. Try headstart -m "
        "data.folds=3 name=s_again or headstart -m batch_size=16 epochs=160 name=s_again"
    )

    (text,) = lost(fair, val_size=14, batch_size=32, epochs=4, steps=8, folds=3, fold=0)
    assert "validation_size" not in text and "Try headstart -m batch_size=16 epochs=160" in text  # no key beside folds


def test_a_search_that_diverged_is_sent_to_lower_rates_and_one_with_pictures_and_steps_on(fair):
    (text,) = lost(fair, state="DIVERGED", val_accuracy=None, val_size=500, epochs=4, batch_size=32)
    assert "(5 DIVERGED). Their loss became NaN or infinite. Try headstart -m lr_low=1e-07 lr_high=1e-04 " in text
    (text,) = lost(fair, val_size=500, epochs=400, batch_size=1, steps=20_000)
    assert "headstart -m epochs=800 name=s_again or headstart -m lr_low=1e-6 lr_high=1 name=s_again" in text


def test_an_arm_of_a_study_that_was_fitted_to_a_time_may_need_more_of_it(fair):
    describe_study(fair, "a", "b", name="s", command="headstart -m minutes=10 name=s", minutes=10)
    (text,) = lost(fair, val_size=14, batch_size=32, epochs=4, steps=8)
    again = ("headstart -m minutes=30 name=s_again", "headstart -m minutes=10 data.folds=3 name=s_again")
    assert text.endswith(f"Try {' or '.join(again)}")


def test_an_arm_that_is_still_searched_is_no_dead_end(fair):
    (fair / "b/search/004/result.json").unlink()
    for folder in sorted(fair.glob("b/search/*"))[:4]:
        result_of(folder, state="CHANCE", val_accuracy=20.0)
    assert not [c for c in compare(fair).caveats if c.kind is CaveatKind.DEAD_END]


def test_a_way_out_is_none_that_the_study_would_refuse_or_that_changes_nothing(fair):
    values = dict(val_size=14, batch_size=32, epochs=4)
    long = "n" * 64
    command = f"headstart -m name={long} hydra.sweep.dir=here data.validation_size=14"
    own = {"a": {"epochs": 8}, "b": {"epochs": 4}}
    describe_study(fair, "b", "a", name=long, command=command, arms=own, spaces={"a": SPACE, "b": {}})
    (text,) = lost(fair, **values)
    assert "Try" not in text  # epochs are the arm's own, its rate is fixed, and so is the split
    same = {"a": {"epochs": 4}, "b": {"epochs": 4}}
    describe_study(fair, "b", "a", name=long, command=command, arms=same, spaces={"a": SPACE, "b": {}})
    (text,) = lost(fair, **values)
    name = f"{'n' * 50}_again"
    assert text.endswith(f"Try headstart -m data.validation_size=14 batch_size=16 epochs=160 name={name}")


def test_single_runs_of_one_network_on_different_data_are_named(tmp_path):
    for name, data, score in (("1", "pets", 70.0), ("2", "digits", 90.0)):
        run(tmp_path, name, arm="cnn", phase="run", study=None, data=data, val_accuracy=score, seed=0)
    (caveat,) = (c for c in compare(tmp_path).caveats if c.kind is CaveatKind.NOT_PAIRED)
    assert str(caveat) == "cnn is told of digits; its runs on pets are not compared with it."


def test_runs_that_ended_in_other_folders_are_missed_until_they_are_copied_and_no_winner_is_named(fair):
    study = read_json(fair / "study.json")
    write_json(fair / "study.json", study | dict(places={"b/search/004": "node7:/x/s", "b/search/003": "node8:/x/s"}))
    kept = shutil.move(fair / "b/search/004", fair.parent / "kept")
    found = compare(fair)
    assert said(
        found, "unfinished here: 9 of 10 search trials", "1 run has ended in node7:/x/s: copy it into this folder"
    )
    assert not said(found, "The same command goes on")
    assert "results of 1 run lie in other folders" in found.verdicts[0]
    shutil.move(kept, fair / "b/search/004")
    assert not said(compare(fair), "unfinished")
    assert "other folders" not in compare(fair).verdicts[0]
