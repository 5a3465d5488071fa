"""Before a study begins: what is made once, and what is said of mistakes."""

import pytest

from headstart.errors import UserError
from headstart.store import write_json
from headstart.sweep.preflight import configurations_to_check, run_preflight

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
