"""Hydra's complaints, said in one to three lines: what came, what was expected, what to type."""

import re

import pytest
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from config.helpers_config import composed
from headstart.config.explain import explain, explain_value, unknown_key, unknown_option

COMPLAINTS = [
    ("model=resnet81", r"model=resnet81 is unknown\. Did you mean resnet18\? Choose from cnn, .* any network of timm"),
    ("data=cifar11", r"data=cifar11 is unknown\. Did you mean cifar10\? Choose from cifar10, .*folder$"),
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
        "hydra.sweeper.n_trial=3",
        r"^hydra\.sweeper\.n_trial=\.\.\. is unknown\. Did you mean hydra\.sweeper\.n_trials\?",
    ),
    ("hydra/sweeper/sampler=gp", r"^search=tpe sets .* which gp has not; .*: search=random hydra/sweeper/sampler=gp "),
]


@pytest.mark.parametrize(("word", "said"), COMPLAINTS)
def test_what_hydra_cannot_compose_is_explained(word, said):
    with pytest.raises(HydraException) as caught:
        composed(word)
    text = explain(caught.value, [word])
    assert re.search(said, text), text
    assert 1 <= len(text.splitlines()) <= 3


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
    ("lr.decay", [], r"^lr=\.\.\. is unknown"),
    ("freeze", ["model=nonsense"], r"headstart --cfg job shows the keys"),
]


@pytest.mark.parametrize(("key", "words", "said"), KEYS)
def test_beside_an_unknown_key_stand_those_that_there_are(key, words, said):
    assert re.search(said, unknown_key(key, words)), unknown_key(key, words)


def test_a_guess_is_made_only_where_something_is_alike():
    assert (
        unknown_option("data/cifar", ["cifar10"]) == "data=cifar is unknown. Did you mean cifar10? Choose from cifar10"
    )
    assert unknown_option("data/xyz", ["b", "a"]) == "data=xyz is unknown. Choose from a, b"


def test_a_value_that_cannot_be_read_is_named_with_its_key():
    with pytest.raises(OmegaConfBaseException) as caught:
        OmegaConf.to_container(composed("+data.extra=${nothing}").data, resolve=True)
    said = r"data\.extra: Interpolation key 'nothing' not found; headstart --cfg job shows values that work"
    assert re.fullmatch(said, explain_value(caught.value))
