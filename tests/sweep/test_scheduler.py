"""What a study hands out: equal budgets, nothing twice, nothing lost. Runs are made up, storage and folders real."""

import math
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.pruners import NopPruner, PercentilePruner, SuccessiveHalvingPruner
from optuna.samplers import QMCSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from headstart import store as records
from headstart.errors import UserError, summary
from headstart.sweep.fingerprint import check_fingerprint, refuse_changes
from headstart.sweep.scheduler import EXTENDING, WAIT, Study
from headstart.sweep.storage import open_storage, without_password
from headstart.sweep.study_state import Arm
from headstart.sweep.trial import OWNER, Reporter, number_of, state_of

LR = {"lr": FloatDistribution(1e-5, 1e-1, log=True)}
DECADES = [{"lr": v} for v in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)]
EPOCHS = 3


def random_sampler(seed):
    return RandomSampler(seed)


def qmc_sampler(seed):
    return QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)


def tpe_sampler(seed):
    return TPESampler(seed=seed, multivariate=True, constant_liar=True)


def open_study(place: Path, arms=("a", "b"), points=DECADES, space=LR, **changes) -> Study:
    settings = dict(
        name="s", folder=place / "s", url=f"journal:///{place}/study.log", n_trials=6, confirm_seeds=0, seed=0,
        make_sampler=random_sampler, pruner=NopPruner(),
    )  # fmt: skip
    arms = [a if isinstance(a, Arm) else Arm(a, [], space, [dict(p) for p in points]) for a in arms]
    return Study(arms=arms, **(settings | changes))


def accuracy(params, epoch=EPOCHS):
    return 90 - 9 * abs(math.log10(params.get("lr", 1e-3)) + 3) - 5 / epoch


def finish(study: Study, claim, *, told=True, value=None, **result) -> None:
    """What a job leaves when it ends: reports, result.json last, then the study is told (unless killed there)."""
    reporter = None
    if claim.kind != "source":
        name, searching = f"{study.name}/{claim.arm}", claim.kind == "search"
        reporter = Reporter(name, study.url, claim.number, study.pruner, reports=searching)
    state, reason, epoch = "COMPLETE", "", 0
    for epoch in range(1, EPOCHS + 1):
        if reporter and (reason := reporter.report(accuracy(claim.params, epoch), epoch)):
            state = "PRUNED"
            break
    value = accuracy(claim.params, epoch) if value is None else value
    facts = dict(state=state, reason=reason or "", val_accuracy=value, epochs_run=epoch) | result
    for name in ("best.safetensors", "predictions.npz"):
        (claim.run_dir / name).write_bytes(b"x")
    records.write_json(claim.run_dir / "run.json", dict(arm=claim.arm, number=claim.number, params=claim.params))
    records.write_json(claim.run_dir / "result.json", facts)
    if reporter and told:
        reporter.tell(claim.run_dir, value)


def work(study: Study, limit=1000, **result) -> list[tuple]:
    """Run what the study hands out, as one sweeper would; returns (kind, arm, number, seed) in order."""
    done = []
    while len(done) < limit and (claim := study.claim()) is not None:
        assert claim != WAIT
        finish(study, claim, **result)
        study.settle(claim)
        claim.release()
        done.append((claim.kind, claim.arm, claim.number, claim.seed))
    return done


def table(study: Study) -> dict[str, list[tuple]]:
    """Number, state, parameters and value of every trial that was begun, by arm."""
    return {
        arm.name: [
            (number_of(t), state_of(t), t.params, t.value)
            for t in study.trials(arm.name)
            if t.state != TrialState.WAITING
        ]
        for arm in study.arms
    }


def test_arms_get_equal_budgets_in_turn(tmp_path):
    done = work(open_study(tmp_path, n_trials=4))
    assert done == [("search", arm, number, None) for number in range(4) for arm in "ab"]


def test_a_study_that_is_complete_hands_out_nothing(tmp_path):
    work(open_study(tmp_path))
    assert work(open_study(tmp_path)) == []


def test_below_the_number_of_first_points_the_first_of_them_run_and_the_rest_when_the_total_is_raised(tmp_path):
    work(open_study(tmp_path, n_trials=2))
    study = open_study(tmp_path, n_trials=7)
    assert [(a, n) for _, a, n, _ in work(study)] == [(a, n) for n in range(2, 7) for a in "ab"]
    assert [p["lr"] for _, _, p, _ in table(study)["a"]][:5] == [p["lr"] for p in DECADES]


@pytest.mark.parametrize("sampler", [random_sampler, qmc_sampler, tpe_sampler])
def test_a_raised_total_runs_the_difference_and_gives_what_one_go_gives(tmp_path, sampler):
    work(open_study(tmp_path / "two", n_trials=12, make_sampler=sampler))
    raised = open_study(tmp_path / "two", n_trials=15, make_sampler=sampler)
    assert len(work(raised)) == 2 * 3
    once = open_study(tmp_path / "one", n_trials=15, make_sampler=sampler)
    work(once)
    assert table(raised) == table(once)


@pytest.mark.parametrize("sampler", [random_sampler, qmc_sampler, tpe_sampler])
def test_a_large_seed_is_a_seed(tmp_path, sampler):
    study = open_study(tmp_path, make_sampler=sampler, points=[], n_trials=2, seed=2**32 - 10)
    assert len({params["lr"] for _, _, params, _ in (work(study), table(study))[1]["a"]}) == 2


@pytest.mark.parametrize("sampler", [random_sampler, qmc_sampler])
def test_draws_are_the_same_in_every_arm_and_none_repeats_a_first_point_or_another_draw(tmp_path, sampler):
    study = open_study(tmp_path, n_trials=29, make_sampler=sampler)
    work(study)
    values = {arm: [p["lr"] for _, _, p, _ in rows] for arm, rows in table(study).items()}
    assert values["a"] == values["b"]
    assert len({round(math.log10(v), 6) for v in values["a"]}) == 29


def test_quasi_random_draws_cover_categories_too(tmp_path):
    space = LR | {"model.C": CategoricalDistribution([1, 2, 3])}
    study = open_study(tmp_path, points=[], space=space, make_sampler=qmc_sampler, n_trials=8)
    work(study)
    assert {p["model.C"] for _, _, p, _ in table(study)["a"]} == {1, 2, 3}


@pytest.mark.parametrize("sampler", [random_sampler, qmc_sampler, tpe_sampler])
@pytest.mark.parametrize("cut", ["before suggesting", "in mid-trial", "result told to nobody"])
def test_a_study_interrupted_anywhere_ends_as_an_undisturbed_one(tmp_path, sampler, cut, monkeypatch):
    space = LR | {"model.width": FloatDistribution(0, 1)}
    settings = dict(points=[DECADES[0] | {"model.width": 0.5}], space=space, n_trials=6, make_sampler=sampler)
    whole = open_study(tmp_path / "whole", **settings)
    work(whole)
    for _ in range(12):
        study = open_study(tmp_path / "cut", **settings)
        work(study, limit=1)
        if cut == "before suggesting":
            with monkeypatch.context() as patch:
                patch.setattr("headstart.sweep.scheduler.sampler_for", lambda *_: 1 / 0)
                if study._started("b") < 6:
                    with pytest.raises(ZeroDivisionError):
                        study.claim()
        elif (claim := study.claim()) is not None:
            if cut == "result told to nobody":
                finish(study, claim, told=False)
            claim.release()  # as the kernel does when the process dies
    study = open_study(tmp_path / "cut", **settings)
    work(study)
    assert table(study) == table(whole)


def test_tpe_models_as_soon_as_the_first_points_are_done(tmp_path):
    drawn = {}
    for count in (5, 3):
        study = open_study(
            tmp_path / str(count), arms=["a"], points=DECADES[:count], make_sampler=tpe_sampler, n_trials=count + 1
        )
        work(study)
        drawn[count] = table(study)["a"][-1][2]["lr"]
        plain = optuna.create_study(sampler=RandomSampler(count), direction="maximize")
        assert drawn[count] != pytest.approx(plain.ask(LR).params["lr"])
    assert abs(math.log10(drawn[5]) + 3) < 1  # near the best of the first points


def test_a_dead_trial_that_left_a_result_is_told_and_not_run_again(tmp_path):
    study = open_study(tmp_path, arms=["a"], n_trials=2)
    claim = study.claim()
    finish(study, claim, told=False)
    claim.release()
    assert [n for _, _, n, _ in work(open_study(tmp_path, arms=["a"], n_trials=2))] == [1]
    assert table(study)["a"][0][3] == pytest.approx(accuracy(claim.params))


def test_a_dead_trial_with_a_damaged_result_runs_again(tmp_path):
    study = open_study(tmp_path, arms=["a"], n_trials=1)
    claim = study.claim()
    finish(study, claim, told=False)
    claim.release()
    (claim.run_dir / "result.json").write_bytes(b'{"state": "COMP')
    assert work(study) == [("search", "a", 0, None)]


def test_what_a_living_process_works_on_is_left_to_it(tmp_path):
    study, other = (open_study(tmp_path, arms=["a"], n_trials=1) for _ in "ab")
    claim = study.claim()
    assert other.claim() == WAIT
    claim.release()
    assert other.claim().number == 0


def test_confirmations_are_paired_start_after_the_search_and_rise_by_the_difference(tmp_path):
    done = work(open_study(tmp_path, confirm_seeds=2))
    assert done[-4:] == [("confirm", arm, 2, seed) for seed in (1, 2) for arm in "ab"]
    assert work(open_study(tmp_path, confirm_seeds=5)) == [("confirm", a, 2, s) for s in (3, 4, 5) for a in "ab"]


def test_a_raised_budget_that_changes_the_best_is_confirmed_anew_and_the_old_confirmations_stay(tmp_path):
    first = open_study(tmp_path, arms=["a"], n_trials=2, confirm_seeds=1)
    assert work(first)[-1] == ("confirm", "a", 1, 1)
    second = open_study(tmp_path, arms=["a"], n_trials=5, confirm_seeds=1)
    assert work(second)[-1] == ("confirm", "a", 2, 1)
    assert (first.run_dir("a", 1, 1) / "result.json").exists()


def test_only_complete_trials_are_selected(tmp_path):
    study = open_study(tmp_path, arms=["a"], n_trials=4, confirm_seeds=1)
    for ending in (
        dict(value=50.0),
        dict(value=99.0, state="CHANCE"),
        dict(value=98.0, state="PRUNED", reason="pruned"),
        dict(value=97.0, state="DIVERGED", reason="loss"),
    ):
        claim = study.claim()
        finish(study, claim, **ending)
        study.settle(claim)
        claim.release()
    assert [s for _, s, _, _ in table(study)["a"]] == ["COMPLETE", "CHANCE", "PRUNED", "DIVERGED"]
    assert number_of(study.best("a")) == 0
    assert [t.user_attrs.get("reason") for t in study.trials("a")][:4] == [None, "chance", "pruner", "diverged"]


def test_an_arm_without_a_complete_trial_is_not_confirmed(tmp_path):
    assert all(k == "search" for k, *_ in work(open_study(tmp_path, confirm_seeds=2), state="CHANCE", reason="chance"))


def test_of_a_search_only_the_best_keeps_its_weights_and_confirmations_all(tmp_path):
    study = open_study(tmp_path, arms=["a"], confirm_seeds=2)
    work(study)
    kept = sorted(str(p.relative_to(study.folder)) for p in study.folder.rglob("best.safetensors"))
    assert kept == [f"a/{w}/best.safetensors" for w in ("confirm/002/seed-1", "confirm/002/seed-2", "search/002")]
    kept_all = open_study(tmp_path / "all", arms=["a"], keep="all")
    work(kept_all)
    assert len(list(kept_all.folder.rglob("predictions.npz"))) == 6


def test_weights_left_by_a_sweeper_that_died_before_deleting_them_go_at_the_next_call(tmp_path):
    study = open_study(tmp_path, arms=["a"], n_trials=3)
    work(study, limit=2)
    claim = study.claim()
    finish(study, claim)
    claim.release()
    work(study)
    assert len(list(study.folder.rglob("best.safetensors"))) == 1


def test_failed_trials_count_and_are_given_back_under_their_own_numbers_when_asked(tmp_path):
    settings = dict(arms=["a"], n_trials=3, confirm_seeds=1)
    study = open_study(tmp_path, **settings)
    assert len(work(study, state="FAILED", reason="broken", val_accuracy=None)) == 3
    assert work(open_study(tmp_path, **settings)) == []
    again = open_study(tmp_path, retry_failed=True, **settings)
    assert work(again) == [*(("search", "a", n, None) for n in range(3)), ("confirm", "a", 2, 1)]
    assert [p["lr"] for _, _, p, _ in table(again)["a"]] == [1e-1, 1e-2, 1e-3]
    assert len(list(again.folder.glob("a/search/*/result.failed-1.json"))) == 3
    more = open_study(tmp_path, **settings | dict(n_trials=7))
    work(more)
    fresh = open_study(tmp_path / "fresh", **settings | dict(n_trials=7))
    work(fresh)
    assert table(more) == table(fresh)


def test_failed_confirmations_are_given_back_too(tmp_path):
    settings = dict(arms=["a"], n_trials=3, confirm_seeds=1)
    study = open_study(tmp_path, **settings)
    work(study, limit=3)
    assert len(work(study, state="FAILED", reason="broken")) == 1
    assert work(open_study(tmp_path, **settings)) == []
    assert work(open_study(tmp_path, retry_failed=True, **settings)) == [("confirm", "a", 2, 1)]


@pytest.mark.parametrize("kind", ["search", "confirm"])
def test_a_run_whose_process_dies_again_and_again_is_failed_in_the_end(tmp_path, kind):
    study = open_study(tmp_path, arms=["a"], n_trials=1, confirm_seeds=1)
    if kind == "confirm":
        work(study, limit=1)
    states = []
    for _ in range(3):
        claim = study.claim()
        assert claim.kind == kind
        states.append(study.settle(claim, RuntimeError("killed")))
        claim.release()
    assert states[-1] == "FAILED"
    result = records.read_run(claim.run_dir)
    assert (result["state"], result["arm"], result["phase"]) == ("FAILED", "a", kind)
    assert "died 3 times" in result["reason"]
    assert study.claim() is None


def test_a_job_that_waited_in_a_queue_finds_that_its_run_was_given_away(tmp_path):
    study = open_study(tmp_path, arms=["a"], n_trials=1)
    claim = study.claim()
    assert (claim.run_dir / OWNER).read_text() == study.owner
    claim.release()
    other = open_study(tmp_path, arms=["a"], n_trials=1)
    with other.locked():
        other._give_back_dead("a")
    assert not (claim.run_dir / OWNER).exists()
    other.claim()
    assert (claim.run_dir / OWNER).read_text() == other.owner != study.owner


# ---- pruning

PRUNERS = [
    SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
    PercentilePruner(12.5, n_startup_trials=5, n_warmup_steps=2),  # the default
]
by_pruner = pytest.mark.parametrize("pruner", PRUNERS, ids=lambda pruner: type(pruner).__name__)


@by_pruner
def test_first_points_are_never_pruned_and_bad_draws_are(pruner, tmp_path):
    study = open_study(tmp_path, arms=["a"], n_trials=20, pruner=pruner)
    work(study)
    states = [s for _, s, _, _ in table(study)["a"]]
    assert states[:5] == ["COMPLETE"] * 5
    assert "PRUNED" in states[5:]
    pruned = next(t for t in study.trials("a") if t.state == TrialState.PRUNED)
    assert pruned.user_attrs["reason"] == "pruner"
    assert records.read_run(study.run_dir("a", number_of(pruned)))["epochs_run"] < EPOCHS
    assert pruned.value == pruned.intermediate_values[pruned.last_step]  # TPE learns from it


@by_pruner
def test_a_decision_to_prune_that_a_kill_cut_off_is_taken_again(pruner, tmp_path):
    settings = dict(arms=["a"], n_trials=20, pruner=pruner)
    whole = open_study(tmp_path / "whole", **settings)
    work(whole)
    study = open_study(tmp_path / "cut", **settings)
    while (claim := study.claim()) is not None:
        # Killed after each report: successive halving has left its mark on the trial, the decision is lost.
        for epoch in range(1, EPOCHS + 1):
            reporter = Reporter("s/a", study.url, claim.number, pruner, reports=True)
            reporter.report(accuracy(claim.params, epoch), epoch)
            claim.release()
            claim = study.claim()
            if Reporter("s/a", study.url, claim.number, pruner, reports=True).report(
                accuracy(claim.params, epoch), epoch
            ):
                break
        finish(study, claim)
        study.settle(claim)
        claim.release()
    assert table(study) == table(whole)


def test_a_step_that_is_stored_is_not_stored_again(tmp_path):
    study = open_study(tmp_path, arms=["a"], n_trials=1)
    study.claim()
    for value in (10.0, 20.0):  # warnings are errors here, and Optuna warns of a second report
        Reporter("s/a", study.url, 0, NopPruner(), reports=True).report(value, 1)
    assert study.find("a", 0).intermediate_values == {1: 10.0}


# ---- the edge rule

NARROW = {"lr": FloatDistribution(1e-5, 1e-3, log=True)}


def test_a_best_at_the_edge_widens_the_range_and_every_arm_pays_the_same(tmp_path):
    arms = [Arm("a", [], NARROW, [{"lr": 1e-4}]), Arm("b", [], LR, [{"lr": 1e-3}])]
    settings = dict(arms=arms, n_trials=8, extend_at_edge=True, confirm_seeds=1)
    study = open_study(tmp_path, **settings)
    done = work(study)
    counts = {a: sum(k == "search" and x == a for k, x, _, _ in done) for a in "ab"}
    extensions = study.studies["a"].user_attrs["extensions"]
    assert [(e["side"], e["low"], round(e["high"], 9)) for e in extensions] == [("high", 1e-5, 1e-2)]
    assert counts == {"a": 8 + 4, "b": 8 + 4}
    assert {"lr": extensions[0]["high"]} in [p for _, _, p, _ in table(study)["a"]]
    assert [k for k, *_ in done[-2:]] == ["confirm", "confirm"]  # not before the range is settled
    assert "extensions" not in study.studies["b"].user_attrs
    assert work(open_study(tmp_path, **settings)) == []
    assert len(work(open_study(tmp_path, **settings | dict(n_trials=9)))) == 2


@pytest.mark.parametrize("arm", ["a", "b"])
def test_a_kill_while_ranges_are_widened_changes_nothing(tmp_path, arm, monkeypatch):
    low = {"lr": FloatDistribution(1e-2, 1e-1, log=True)}  # the best of both lies at the lower bound
    settings = dict(arms=[Arm(a, [], low, [{"lr": 1e-2}]) for a in "ab"], n_trials=3, extend_at_edge=True)
    undisturbed = open_study(tmp_path / "whole", **settings)
    work(undisturbed)

    study, queue = open_study(tmp_path / "cut", **settings), Study._enqueue

    def killed(self, optuna_study, point):
        queue(self, optuna_study, point)
        if optuna_study.study_name == f"s/{arm}":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Study, "_enqueue", killed)
        with pytest.raises(KeyboardInterrupt):
            work(study)
    again = open_study(tmp_path / "cut", **settings)
    work(again)
    assert table(again) == table(undisturbed)
    assert len(table(again)["a"]) > 3
    assert not (again.folder / EXTENDING).exists()


def test_a_range_is_widened_twice_at_most(tmp_path):
    far = {"lr": FloatDistribution(1e-9, 1e-8, log=True)}
    study = open_study(tmp_path, arms=[Arm("a", [], far, [{"lr": 1e-8}])], n_trials=4, extend_at_edge=True)
    work(study)
    assert len(study.studies["a"].user_attrs["extensions"]) == 2


def test_without_the_rule_nothing_is_widened(tmp_path):
    study = open_study(tmp_path, arms=[Arm("a", [], NARROW, [])])
    assert len(work(study)) == 6


def test_no_confirmation_starts_while_a_running_trial_may_still_widen_the_range(tmp_path):
    study, other = (open_study(tmp_path, n_trials=2, extend_at_edge=True, confirm_seeds=1) for _ in "ab")
    work(study, limit=3)
    claim = other.claim()
    assert study.claim() == WAIT
    claim.release()


# ---- the source run


def test_the_source_runs_once_before_the_arms(tmp_path):
    done = work(open_study(tmp_path, n_trials=1, source=True))
    assert done == [("source", "source", None, None), ("search", "a", 0, None), ("search", "b", 0, None)]


def test_a_source_that_failed_stops_the_study_until_it_is_asked_to_try_again(tmp_path):
    study = open_study(tmp_path, source=True)
    claim = study.claim()
    finish(study, claim, state="FAILED", reason="no disk")
    claim.release()
    with pytest.raises(UserError, match="no disk"):
        study.claim()
    assert open_study(tmp_path, source=True, retry_failed=True).claim().kind == "source"


def test_a_source_whose_weights_are_gone_stops_the_study(tmp_path):
    study = open_study(tmp_path, n_trials=1, source=True)
    work(study, limit=1)
    (study.source_dir / "best.safetensors").unlink()
    with pytest.raises(UserError, match="are gone"):
        study.claim()


# ---- what was fixed


def fingerprint(**changes):
    return {"common": {"sampler.seed": 0}, "arms": {"cnn": {"epochs": 10, "data.train_size": None} | changes}}


def test_changed_settings_are_refused_key_by_key_and_new_arms_are_not(tmp_path):
    check_fingerprint(tmp_path, fingerprint())
    before = (tmp_path / "study.json").read_bytes()
    with pytest.raises(UserError) as error:
        check_fingerprint(tmp_path, fingerprint(epochs=20, **{"data.train_size": 500}))
    assert "epochs: was 10, now 20" in str(error.value)
    assert "data.train_size: was None, now 500" in str(error.value)
    with pytest.raises(UserError, match="epochs: was 10, now 20"):
        refuse_changes(tmp_path, fingerprint(epochs=20))
    assert (tmp_path / "study.json").read_bytes() == before
    added = fingerprint()
    added["arms"]["resnet18"] = {"epochs": 10}
    check_fingerprint(tmp_path, added)
    check_fingerprint(tmp_path, fingerprint())  # an arm left out stays recorded
    assert set(records.read_json(tmp_path / "study.json")["arms"]) == {"cnn", "resnet18"}


def test_what_the_report_knows_of_an_arm_stays_when_a_later_command_leaves_the_arm_out(tmp_path):
    both = fingerprint() | dict(spaces={"cnn": {"lr": {}}, "big": {"lr": {}}}, arm_order=["big", "cnn"], n_trials=5)
    check_fingerprint(tmp_path, both)
    check_fingerprint(tmp_path, fingerprint() | dict(spaces={"cnn": {"lr": {}}}, arm_order=["cnn"], n_trials=12))
    found = records.read_json(tmp_path / "study.json")
    assert (set(found["spaces"]), found["arm_order"], found["n_trials"]) == ({"cnn", "big"}, ["big", "cnn"], 12)


def test_trials_of_another_folders_study_are_not_taken_over(tmp_path):
    work(open_study(tmp_path))
    with pytest.raises(UserError, match="another by name="):
        open_study(tmp_path, folder=tmp_path / "elsewhere")


def test_runs_whose_storage_was_deleted_are_not_taken_for_those_of_a_new_one(tmp_path):
    study = open_study(tmp_path, arms=["a"])
    claim = study.claim()
    finish(study, claim)
    claim.release()
    open_study(tmp_path, arms=["a", "b"])
    open_storage.cache_clear()
    (tmp_path / "study.log").unlink()
    with pytest.raises(UserError, match=r"s/a holds runs that the storage .* knows nothing of(.|\n)*name=\.\.\."):
        open_study(tmp_path, arms=["a", "b"])


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("the mistake\nthe way out"), "the mistake"),
        (RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA"), "CUDA error: out of memory"),
        (RuntimeError("Error(s) in loading ResNet:\n\tMissing key(s)"), "Error(s) in loading ResNet: Missing key(s)"),
        (KeyError(), "KeyError"),
    ],
)
def test_an_error_in_one_line_says_what_is_wrong(error, line):
    assert summary(error) == line


@pytest.mark.parametrize("key", ["password", "PASSWD"])
def test_a_password_among_the_options_of_a_url_is_hidden_too(key):
    assert without_password(f"postgresql+psycopg://h/db?user=me&{key}=hunter2&x=1").endswith(f"user=me&{key}=***&x=1")


def test_a_storage_that_cannot_be_opened_is_named_without_its_password(tmp_path):
    with pytest.raises(UserError, match=r"somebody:\*\*\*@") as error:
        open_storage("postgresql+psycopg://somebody:secret@127.0.0.1:1/none")
    assert "secret" not in str(error.value)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't be opened"):
        open_storage(f"sqlite:///{tmp_path}/file/study.db")
