"""Before a study begins: what is made once, and what is said of mistakes."""

import pytest
import torch
from data.helpers_data import draw_image, make_tree

from headstart.config import read_run_config
from headstart.errors import UserError
from headstart.store import keep_listing, write_json
from headstart.sweep.preflight import configurations_to_check, measured_paces, run_preflight, stand_ins
from headstart.training import Lines, prepare, prepare_run

SOURCE = 'hydra.sweeper.source={overrides: ["epochs=1"]}'


@pytest.fixture
def prepared(monkeypatch):
    """The configurations that a preflight prepared; one with 13 epochs is refused."""
    found = []

    def prepare(run_config, *_):
        found.append(run_config)
        if run_config.values.epochs == 13:
            raise UserError("13 epochs bring bad luck")

    monkeypatch.setattr("headstart.training.prepare_run", prepare)
    return found


def test_one_point_of_each_arm_is_checked_and_the_source_before_them(planned):
    cfgs = configurations_to_check(planned("name=s", "model=cnn,resnet18", "lr_high=1e-2", SOURCE))
    assert list(cfgs) == ["source", "arm cnn", "arm resnet18"]
    assert cfgs["source"].cfg.epochs == 1
    assert (cfgs["arm resnet18"].cfg.model.name, cfgs["arm resnet18"].cfg.lr) == ("resnet18", 1e-2)


EVERY_VALUE = [
    ("{batch_size: 'choice(8,0)'}", "batch_size: batch_size=0: expected a whole number from 1"),
    ("{batch_size: 'choice(8,many)'}", "batch_size: batch_size=many: expected a whole number from 1"),
    ("{batch_size: 'int(interval(8,2000000))'}", "batch_size: batch_size=2000000: expected a whole number from 1"),
    ("{label_smoothing: 'interval(0,1)'}", "label_smoothing: label_smoothing=1.*: expected a number from 0 below 1"),
    ("{clip_grad_norm: 'null,0'}", "clip_grad_norm: clip_grad_norm=0.*: expected a number above 0 or null"),
    ("{precision: 'fp32,fp8'}", "precision: precision=fp8: expected auto, fp32 or bf16"),
    ("{deterministic: 'true,no'}", "deterministic: deterministic=no: expected true or false"),
    ("{optimizer.fused: 'null,xxx'}", "optimizer.fused: optimizer.fused=xxx: expected true, false or null"),
    (
        "{model.freeze: 'none,all'}",
        "model.freeze: model.freeze=all: expected none, backbone, backbone_then_none or backbone_until:N",
    ),
    (
        "{augmentation.padding: 'range(0,601,100)'}",
        "augmentation.padding: augmentation.padding=600: expected .* to 512",
    ),
    ("{+optimizer.betas: '1,2'}", "betas.*: expected a list of 2 values"),
]


@pytest.mark.parametrize(("params", "told"), EVERY_VALUE)
def test_every_choice_and_both_ends_of_a_range_are_values_of_their_keys(params, told, planned):
    with pytest.raises(UserError, match=f"^arm cnn.*{told}"):
        configurations_to_check(planned(f"+hydra.sweeper.params={params}"))


@pytest.mark.parametrize(
    "params",
    [
        "{clip_grad_norm: 'null,1.0', optimizer.fused: 'null,false', batch_size: 'choice(8,16)'}",
        "{epochs: 'range(20,31)', label_smoothing: 'interval(0,0.2)', +optimizer.eps: 'choice(1e-8,1e-6)'}",
    ],
)
def test_a_space_of_values_that_keys_have_passes(params, planned):
    assert list(configurations_to_check(planned(f"+hydra.sweeper.params={params}"))) == ["arm cnn"]


@pytest.mark.parametrize(("word", "value"), [("lr=1e-3,0", "0.*"), ("lr=-1,1e-3", "-1.*"), ("lr=1e-3,abc", "abc")])
def test_what_is_no_learning_rate_is_not_searched(word, value, planned):
    with pytest.raises(UserError, match=f"^arm cnn searches lr: lr={value}: expected a number above 0$"):
        configurations_to_check(planned(word))


def record(folder, **facts):
    folder.mkdir(parents=True)
    write_json(folder / "run.json", {})
    write_json(folder / "result.json", dict(state="COMPLETE", val_accuracy=50.0) | facts)


def test_what_has_all_its_runs_is_not_checked_again(planned):
    plan = planned("name=s", "model=cnn,resnet18", "n_trials=1", "confirm_seeds=1", SOURCE)
    for folder in ("source", "cnn/search/000", "cnn/confirm/after-001/seed-1", "resnet18/search/000"):
        record(plan.folder / folder)
    assert list(configurations_to_check(plan)) == ["arm resnet18"]


def test_a_study_goes_on_with_the_pictures_and_weights_that_it_began_with(planned):
    plan = planned("name=s", "n_trials=2", "data.train_size=100", "batch_size=32")
    run_preflight(configurations_to_check(plan))
    record(plan.folder / "cnn/search/000", data_sha256="0" * 64, train_size=130)
    with pytest.raises(
        UserError, match=r"the study began with other pictures \(data_sha256 was 0{12}, now .*130, now 100"
    ):
        run_preflight(configurations_to_check(plan))


def test_a_study_on_changed_files_is_refused_with_the_difference_counted(planned, tmp_path):
    root = make_tree(tmp_path / "pictures", {"cat": 12, "dog": 12})
    words = ["name=s", "data=folder", f"data.root={root}", f"data.cache={tmp_path / 'cache'}", "data.size=12"]
    plan = planned(*words, "batch_size=4", "epochs=1")
    (check,) = configurations_to_check(plan).values()
    began = read_run_config(check.cfg, check.cfg.hydra.runtime.choices)
    data = prepare_run(began.with_values(device="cpu"), tmp_path, Lines(1)).data
    record(plan.folder / "cnn/search/000", data_sha256=data.sha256, data_files=data.files.key)
    keep_listing(plan.folder, data.files)
    run_preflight(configurations_to_check(plan))
    for seed, name in enumerate(("cat/900.png", "cat/901.png", "dog/900.png", "dog/004.png"), 900):
        draw_image(seed).save(root / name)
    (root / "cat/003.png").unlink()
    prepare._dataset.cache_clear()  # as in a new process
    counted = r"other pictures .*: 3 added, 1 gone, 1 changed of 24 files "
    named = r"\(added: cat/900\.png, cat/901\.png, dog/900\.png; gone: cat/003\.png; changed: dog/004\.png\)"
    with pytest.raises(UserError, match=counted + named + "; put them back"):
        run_preflight(configurations_to_check(plan))


def test_what_a_search_varies_is_checked_as_the_run_that_has_ended_had_it(planned):
    plan = planned("name=s", "model=cnn", '+hydra.sweeper.params={data.train_size: "choice(50,100)"}')
    record(plan.folder / "cnn/search/000", state="COMPLETE", params={"data.train_size": 100, "lr": 0.01})
    (check,) = configurations_to_check(plan).values()
    assert (check.cfg.data.train_size, check.cfg.lr) == (100, 0.01)


def test_an_arm_that_starts_from_the_source_is_composed_and_no_more(planned):
    arms = 'hydra.sweeper.arms={random: ["model=cnn"], pretrained: ["model=cnn", "model.weights=source"]}'
    assert list(configurations_to_check(planned("name=s", SOURCE, arms))) == ["source", "arm random"]
    with pytest.raises(UserError, match=r"arm pretrained: .*nonsense"):
        wrong = arms.replace('"model.weights=source"]', '"model.weights=source", "nonsense=1"]')
        configurations_to_check(planned("name=s", SOURCE, wrong))


def test_runs_are_prepared_on_the_cpu(planned, prepared):
    run_preflight(configurations_to_check(planned("name=s", "device=cuda", "precision=bf16", "compile=on")))
    (run_config,) = prepared
    values = run_config.values
    assert (values.device, values.precision, values.compile) == ("cpu", "fp32", "off")
    assert run_config.choices["model"] == "cnn"


def test_a_mistake_names_its_arm_where_there_are_several(planned, prepared):
    several = planned("name=s", 'hydra.sweeper.arms={good: ["epochs=2"], bad: ["epochs=13"]}')
    with pytest.raises(UserError, match=r"^arm bad: 13 epochs bring bad luck$"):
        run_preflight(configurations_to_check(several))
    with pytest.raises(UserError, match=r"^13 epochs bring bad luck$"):
        run_preflight(configurations_to_check(planned("name=s", "epochs=13")))


def test_a_value_that_is_still_to_be_given_is_asked_for(planned, prepared):
    with pytest.raises(UserError, match=r"model\.name is not given"):
        run_preflight(configurations_to_check(planned("name=s", "model=timm")))
    assert prepared == []


def test_a_plan_for_another_machine_is_checked_and_not_timed(planned):
    checks = configurations_to_check(
        planned("name=s", "model=cnn", "device=cuda", "data.train_size=20", "batch_size=4")
    )
    assert measured_paces(checks, elsewhere=True) == {}
    assert set(measured_paces({k: replace_device(c) for k, c in checks.items()}, elsewhere=False)) == {"arm cnn"}


def replace_device(check):
    check.cfg.device = "cpu"
    return check


def test_memory_that_does_not_suffice_for_a_step_is_a_sentence_in_a_plan(planned, monkeypatch):
    def step(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    checks = configurations_to_check(planned("name=s", "model=cnn", "data.train_size=20", "batch_size=4"))
    monkeypatch.setattr("headstart.training.trainer.NetworkTrainer.step", step)
    with pytest.raises(UserError, match=r"^arm cnn: out of GPU memory"):
        measured_paces(checks, elsewhere=False)


def test_what_is_timed_for_an_arm_from_the_sources_weights_has_random_ones(planned):
    arms = 'hydra.sweeper.arms={random: ["model=cnn"], pretrained: ["model=cnn", "model.weights=source"]}'
    plan = planned("name=s", "lr_high=1e-2", SOURCE, arms)
    found = stand_ins(plan)
    assert list(found) == ["arm pretrained"]
    cfg = found["arm pretrained"].cfg
    assert (cfg.model.weights, cfg.lr) == (None, 1e-2)
    (plan.folder / "source").mkdir(parents=True)
    (plan.folder / "source" / "best.safetensors").touch()
    assert stand_ins(plan) == {}  # from now on it is the arm itself
