"""Hydra's complaints, said in one to three lines: what came, what was expected, what to type."""

import re
from functools import lru_cache

import pytest
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from config.helpers_config import composed
from headstart.config import understood
from headstart.config.explain import explain, explain_value, unknown_key, unknown_option

COMPLAINTS = [
    ("model=resnet81", r"model=resnet81 is unknown\. Did you mean resnet18\? Choose from air.* any network of timm"),
    ("data=cifar11", r"data=cifar11 is unknown\. Did you mean cifar10\? Choose from cifar10, .*folder, table$"),
    ("quickstart", r"'quickstart' is a study; start it by headstart -m experiments=quickstart"),
    ("lr", r"'lr' is not understood; write key=value"),
    ("lr=1e-3,1e-2", r"lr=1e-3,1e-2 is several values; add -m .*headstart -m lr=1e-3,1e-2"),
    ("epoch=3", r"epoch=\.\.\. is unknown\. Did you mean epochs\? Choose from arm, .*experiments"),
    ("lr=abc", r"^lr=abc: expected a number above 0$"),
    ("epochs=1.5", r"^epochs=1\.5: expected a whole number from 1 to 1000000$"),
    ("precision=fp8", r"^precision=fp8: expected auto, fp32 or bf16$"),
    ("deterministic=no", r"^deterministic=no: expected true or false$"),
    ("patience=soon", r"^patience=soon: expected a whole number from 1 to 1000000 or null$"),
    ("clip_grad_norm=choice(1,null)", r"choice\(\.\.\.\) takes no null, but a plain list does: clip_grad_norm=1,null$"),
    (
        "hydra.sweeper.params.a='choice(1,2)'",
        r"^hydra\.sweeper\.params\.a=.*: write \+hydra\.sweeper\.params\.a=.* further key$",
    ),
    (
        "hydra.sweeper.params.optimizer.weight_decay='tag(log,interval(1e-6,1e-2))'",
        r": write optimizer\.weight_decay=tag\(log,interval\(1e-6,1e-2\)\) to search a further key$",
    ),
    ("~nonsense", r"^~nonsense: there is no such key to take out; leave it out$"),
    ("~hydra", r"^~hydra: there is no such key to take out"),
    ("name='x", r"is not understood; write key=value, with quotes where"),
    ("lr=" + "{" * 30 + "x" * 500, r"^'lr=\{+x+\.\.\.' is not understood; write key=value"),
    ("model=/etc/passwd", r"^model=/etc/passwd is unknown\. Choose from airbench, cnn, "),
    (
        "hydra.sweeper.n_trial=3",
        r"^hydra\.sweeper\.n_trial=\.\.\. is unknown\. Did you mean hydra\.sweeper\.n_trials\?",
    ),
    ("budget.pruner={foo: 3}", r"^budget\.pruner\.foo=\.\.\. is unknown\. Choose from budget\.pruner\."),
    ("hydra/sweeper/sampler=gp", r"^search=tpe sets .* which gp has not; .*: search=random hydra/sweeper/sampler=gp "),
]


@pytest.mark.parametrize(("word", "said"), COMPLAINTS, ids=lambda text: text[:60])
def test_what_hydra_cannot_compose_is_explained(word, said):
    with pytest.raises(HydraException) as caught:
        composed(word)
    text = explain(caught.value, [word])
    assert re.search(said, text), text
    assert 1 <= len(text.splitlines()) <= 3


def test_an_arm_that_a_study_does_not_have_is_added_with_a_plus():
    """Hydra merges a mapping into the study's own, and names the setting before it as the one at fault."""
    with pytest.raises(HydraException) as caught:
        composed("experiments=quickstart", "hydra.sweeper.arms={a: []}", hydra=True)
    said = explain(caught.value, [])
    assert said == "arms=...: the study has no arm a to change; +arms=... adds arms to it, and ~arms.NAME takes one out"


def test_an_arm_that_a_study_does_not_have_is_not_taken_out():
    with pytest.raises(HydraException) as caught:
        composed("experiments=quickstart", *understood(["~arms.big"]), hydra=True)
    assert explain(caught.value, []) == "~arms.big: the study has no such arm to take out; leave it out"


def test_values_swept_where_hydra_takes_none_are_written_as_one_text():
    for word, said in {
        "+hydra.sweeper.params.batch_size=8,16": "write '+hydra.sweeper.params.batch_size=\"8,16\"'",
        "hydra.sweeper.params.optimizer.weight_decay=1,2": "write optimizer.weight_decay=1,2 to search it",
    }.items():
        error = HydraException(f"Sweeping over Hydra's configuration is not supported : '{word}'")
        assert explain(error, ["-m", word]) == f"{word}: {said}"


KEYS = [
    ("model.weigths", [], r"Did you mean model\.weights\? Choose from .*model\.freeze"),
    ("modle.freeze", [], r"^modle=\.\.\. is unknown\. Did you mean model\?"),
    ("train_size", [], r"Did you mean data\.train_size\?"),
    ("learning_rate", [], r"Did you mean lr\?"),
    ("momentum", [], r"Did you mean optimizer=sgd optimizer\.momentum\?"),
    ("momentum", ["optimizer=sgd"], r"Did you mean optimizer\.momentum\?"),
    ("features", ["model=sklearn,cnn"], r"Did you mean model\.features\?"),
    ("schedule.warmup", [], r"no such setting; choose another by schedule=constant, cosine, onecycle"),
    (
        "optimizer.betas",
        [],
        r"fused, optimizer\.weight_decay; \+optimizer\.betas=\.\.\. sets another.*torch\.optim\.Adam",
    ),
    ("lr.decay", [], r"^lr\.decay=\.\.\.: lr is one value without settings of its own; write lr=\.\.\.$"),
    ("model.weights.x", [], r"^model\.weights\.x=\.\.\.: model\.weights is one value"),
    (
        "budget.pruner.percentile",
        ["budget.pruner=null"],
        r"cannot be set: budget\.pruner=null leaves nothing of it; leave",
    ),
    ("data.root", ["~data.root"], r"cannot be set: ~data\.root leaves nothing of it; leave one of them out$"),
    ("optimizer.momentum", [], r"Did you mean optimizer=sgd optimizer\.momentum\? Choose from [^;]*$"),
    ("optimizer.nonsense", [], r"Choose from optimizer\.fused, optimizer\.weight_decay$"),
    ("model.lr", [], r"Did you mean lr\?"),
    ("hydra.swep.dir", [], r"^hydra\.swep=\.\.\. is unknown\. Did you mean hydra\.sweep\?"),
    ("hydra.launcher.n_job", ["hydra/launcher=joblib"], r"Did you mean hydra\.launcher\.n_jobs\? Choose from [^_]*_"),
    ("hydra.launcher.n_jobs", [], r"this hydra\.launcher has no settings; choose another by hydra/launcher="),
    ("hydra.job.name.x", [], r"^hydra\.job\.name\.x=\.\.\.: hydra\.job\.name is one value"),
    ("data.a.b.c", [], r"^data\.a=\.\.\. is unknown\. Choose from data\.class_weights, data\.classes"),
    ("hydra.searchpath.x", [], r"^hydra\.searchpath\.x=\.\.\.: hydra\.searchpath is one value"),
    ("hydra.job_logging.handlers.file.filename.x", [], r"handlers\.file\.filename is one value"),
    ("hydra.sweeper.sampler.gamma", [], r"\+hydra\.sweeper\.sampler\.gamma=\.\.\. sets another argument of optuna\."),
    ("freeze", ["model=nonsense"], r"headstart --cfg job shows the keys"),
]


@pytest.mark.parametrize(("key", "words", "said"), KEYS)
def test_beside_an_unknown_key_stand_those_that_there_are(key, words, said):
    assert re.search(said, unknown_key(key, words)), unknown_key(key, words)


# As other programs call it, or wrong by a letter.
OTHER_NAMES = """
pruner prunner percentile budget.prunner budget.pruner.percentil budget.pruner.x sampler search.sampler first_points
learning_rate lr_rate model.lr optimizer.learning_rate weight_decay wd optimizer.wd momentum optimizer.momentum betas
epoch max_epochs batchsize batch seeds n_seeds confirm_seed trials n_trial workers num_workers n_jobs gpu cuda
device_type train_size data.trainsize dataset root freeze pretrained weights model_name model.name model.pretrained
num_classes scheduler warmup schedule.warmup augment aug augmentation.p experiment study output_dir dropout
model.estimator.C model.search.x hydra.swep.dir hydra.sweeper.samplr hydra.run.dirr
"""


@pytest.mark.parametrize("key", OTHER_NAMES.split())
def test_a_hint_names_only_keys_that_there_are(key):
    """Whoever follows it is never sent back to where they came from."""
    said = unknown_key(key, [])
    guesses = re.findall(r"Did you mean (.*?)\?", said)
    listed = said.partition("Choose from ")[2].partition(";")[0]
    assert guesses or listed or "choose another by" in said, said
    for hint in filter(None, [*guesses, *listed.split(", ")]):
        *options, last = hint.split(" ")  # optimizer=sgd optimizer.momentum
        assert hint != key and _is_there(last.partition("=")[0], *options), f"{hint} of {said}"


@lru_cache
def _composed(*options: str):
    return composed(*options, hydra=True)


def _is_there(key: str, *options: str) -> bool:
    (parent, _, last), cfg = key.rpartition("."), _composed(*options)
    return key == "experiments" or last in (OmegaConf.select(cfg, parent) if parent else cfg)


def test_a_guess_is_made_only_where_something_is_alike():
    assert (
        unknown_option("data/cifar", ["cifar10"]) == "data=cifar is unknown. Did you mean cifar10? Choose from cifar10"
    )
    assert unknown_option("data/xyz", ["b", "a"]) == "data=xyz is unknown. Choose from a, b"
    said = unknown_option("hydra/launcher/ray", ["basic"])
    assert said == "hydra/launcher=ray needs a plugin that is not installed: pip install 'headstart[ray]'"
    assert unknown_option("hydra/launcher/rays", ["basic"]) == "hydra/launcher=rays is unknown. Choose from basic"


def test_a_value_that_cannot_be_read_is_named_with_its_key():
    with pytest.raises(OmegaConfBaseException) as caught:
        OmegaConf.to_container(composed("+data.extra=${nothing}").data, resolve=True)
    said = r"data\.extra: Interpolation key 'nothing' not found; headstart --cfg job shows values that work"
    assert re.fullmatch(said, explain_value(caught.value))
