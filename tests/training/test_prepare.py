"""What a run is made of before it trains, and what is refused while it is made."""

import json
import subprocess
import sys

import pytest
import torch
from conftest import configured

from headstart.data import normalise, sources
from headstart.errors import UserError
from headstart.models import builders
from headstart.training import Lines, prepare
from headstart.training.prepare import prepare_run


@pytest.fixture
def prepared(tmp_path):
    """`prepared(*overrides)` is what would train that run."""
    threads = torch.get_num_threads()
    yield lambda *overrides: prepare_run(configured(*overrides), tmp_path, Lines(1))
    torch.set_num_threads(threads)


def test_auto_and_null_become_what_is_in_use(prepared, tmp_path):
    settings = prepared("device=cpu", "patience=3", "seed=2").settings
    assert settings.device == torch.device("cpu") and settings.precision in ("fp32", "bf16")
    assert settings.compile is False
    assert (settings.image_size, settings.patience, settings.seed, settings.clip_grad_norm) == (32, 3, 2, None)
    assert list(tmp_path.iterdir()) == []  # nothing is written


def test_images_have_the_size_that_is_asked_for_else_the_models_else_their_own(prepared):
    assert prepared("image_size=16", "model=fan", "+model.image_size=24").settings.image_size == 16
    assert prepared("model=fan", "+model.image_size=24").settings.image_size == 24
    assert prepared("model=fan").settings.image_size == 32


def test_a_run_is_identified_with_the_precision_that_it_computes_in(prepared):
    made = prepared("precision=auto")
    expected = configured().config_hash(precision=made.settings.precision, compile=False)
    assert made.identity == expected == prepared(f"precision={made.settings.precision}").identity


def test_a_run_goes_on_in_the_precision_in_which_it_began(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    depthwise = ["model=timm", "model.name=test_efficientnet", "image_size=32"]
    new = prepared(*depthwise)
    assert new.settings.precision == "fp32" and prepared("model=cnn").settings.precision == "bf16"
    (tmp_path / "run.json").write_text(json.dumps(dict(precision="bf16")))  # as older versions began it
    assert prepared(*depthwise).settings.precision == "bf16"
    assert prepared(*depthwise).identity != new.identity
    assert prepared(*depthwise, "precision=fp32").identity == new.identity
    (tmp_path / "run.json").write_text(json.dumps(dict(precision=["odd"])))
    assert prepared(*depthwise).settings.precision == "fp32"


def test_filters_that_whiten_come_from_the_training_images_unless_the_weights_have_them(prepared, tmp_path):
    made = prepared("model=airbench", "image_size=16")
    images = normalise(made.train.pictures(slice(None)), made.settings.mean, made.settings.std, size=16)
    with torch.no_grad():
        answers = torch.nn.functional.conv2d(images, made.network.whitening.weight)[:, :12].transpose(0, 1).flatten(1)
    spread = answers @ answers.T / answers.shape[1]
    assert spread.diag().max() == pytest.approx(1, abs=0.01) and (spread - spread.diag().diag()).abs().max() < 0.01
    weights = tmp_path / "weights.safetensors"
    made.network.whitening.weight.zero_()
    weights.write_bytes(made.weights_file("airbench", "model=airbench"))
    kept = prepared("model=airbench", "image_size=16", f"model.weights={weights}").network.whitening.weight
    assert torch.count_nonzero(kept) == 0


def test_a_whole_run_imports_neither_torchs_compiler_nor_libraries_of_networks(tmp_path):
    words = ["data.train_size=100", "batch_size=50", "epochs=1", "model=cnn", f"hydra.run.dir={tmp_path}/run"]
    script = (
        "import sys\nfrom headstart.cli.main import main\n"
        f"sys.argv = ['headstart', 'data=digits', *{words}]\n"
        "try:\n    main()\nfinally:\n"
        "    print([m for m in ('torch._dynamo', 'timm', 'torchvision') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "[]"), done.stderr


MISTAKES = [
    (["batch_size=101"], r"^batch_size=101 is larger than the 100 training images"),
    (["schedule=cosine", "schedule.warmup=long"], r"^schedule\.warmup=long: expected a number from 0 below 1$"),
    (["augmentation=crop_flip", "augmentation.padding=big"], r"^augmentation\.padding=big: expected a whole number"),
    (["optimizer.weight_decay=-1"], r"^optimizer=adam is refused: Invalid weight_decay value: -1$"),
    (["+optimizer.foreach=true", "optimizer.fused=true"], r"^optimizer=adam is refused: .*fused.*foreach"),
    (["optimizer=sgd", "optimizer.momentum=0"], r"^optimizer=sgd is refused: Nesterov"),
    (["augmentation._target_=headstart.data.augmentation.erase"], r"^augmentation=none is refused: erase\(\) got"),
    (["schedule._target_=headstart.data.augmentation.none"], r"^schedule=constant is refused: none\(\) missing"),
    (
        ["model._target_=headstart.data.sources.digits"],
        r"^model\.\w+=\.\.\. is no setting of headstart\.data\.sources\.digits",
    ),
]


@pytest.mark.parametrize(("overrides", "said"), MISTAKES, ids=str)
def test_a_mistake_in_a_part_is_found_before_training(overrides, said, prepared):
    with pytest.raises(UserError, match=said):
        prepared(*overrides)


def test_where_nobody_says_how_many_pictures_a_step_has_their_number_does_and_the_record_has_it(prepared):
    made = prepared("batch_size=null", "data.train_size=100")
    assert made.settings.batch_size == made.facts()["batch_size"] == 8
    assert prepared("batch_size=null", "data.train_size=1000").settings.batch_size == 32
    assert prepared("batch_size=100", "data.train_size=100").facts()["batch_size"] == 100


SINGLE = "batch_size=1"


@pytest.mark.parametrize(
    "words",
    [["model=resnet9"], ["model=resnet9", "model.freeze=backbone_then_none", "model.unfreeze_epoch=2"]],
    ids=str,
)
def test_one_picture_at_a_time_is_refused_where_batches_are_normalised(words, prepared):
    with pytest.raises(UserError, match=r"^batch_size=1: the network's batch normalisation needs two pictures or more"):
        prepared(SINGLE, *words)
    assert prepared("batch_size=2", *words).settings.batch_size == 2


@pytest.mark.parametrize("words", [["model=cnn"], ["model=resnet18", "model.freeze=backbone"]], ids=str)
def test_one_picture_at_a_time_is_enough_where_nothing_is_normalised_by_its_batch(words, prepared):
    assert prepared(SINGLE, *words).settings.batch_size == 1


def test_a_model_that_nothing_here_trains_is_refused(prepared, monkeypatch):
    def something(**_):
        return object()

    something.__module__ = "headstart.models.builders"
    monkeypatch.setattr(builders, "cnn", something)
    with pytest.raises(UserError, match=r"model\._target_=headstart\.models\.builders\.cnn makes a object, which"):
        prepared()


def test_a_data_set_is_made_once_for_all_runs_of_a_process(run, monkeypatch):
    prepare._dataset.cache_clear()
    made, digits = [], sources.digits

    def counting(**options):
        made.append(options)
        return digits(**options)

    counting.__module__ = "headstart.data.sources"
    monkeypatch.setattr(sources, "digits", counting)
    run("data.train_size=110")
    run("data.train_size=110", "lr=0.01")
    run("data.train_size=120")
    assert [options["train_size"] for options in made] == [110, 120]
    prepare._dataset.cache_clear()
