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
    assert cfgs["source"].epochs == 1
    assert (cfgs["arm resnet18"].model.name, cfgs["arm resnet18"].lr) == ("resnet18", 1e-2)


def test_what_has_a_run_is_not_checked_again(planned):
    plan = planned("name=s", "model=cnn,resnet18", SOURCE)
    for folder in ("source", "cnn/search/000"):
        (plan.folder / folder).mkdir(parents=True)
        write_json(plan.folder / folder / "result.json", dict(state="COMPLETE", val_accuracy=50.0))
        write_json(plan.folder / folder / "run.json", {})
    assert list(configurations_to_check(plan)) == ["arm resnet18"]


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
