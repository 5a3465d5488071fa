"""What was typed and can't be meant is refused, before Hydra reads it and once Hydra has composed it."""

import pytest

from config.helpers_config import composed
from headstart.config.overrides import check_typed, check_words, quote_names
from headstart.errors import UserError

WORDS = [
    ("--lr 1e-3", r"--lr is not understood; write lr=\.\.\. without dashes"),
    ("--model.weights=imagenet", r"write model\.weights=\.\.\."),
    ("--experiments=quickstart", r"write experiments=\.\.\."),
    ("model=cnn.yaml", r"model=cnn\.yaml is unknown\. Did you mean cnn\?"),
    ("model=[cnn,fan]", r"model=\[cnn,fan\] is unknown"),
    ("-m model=cnn,null", r"model=null is unknown"),
    ("~lr", r"~lr: a run has every key; for none write lr=null"),
    ("=1", r"^'=1' is not understood; write key=value"),
    ("+=1", r"is not understood; write key=value"),
    ("~", r"^'~' is not understood; write key=value"),
    ("a" * 300 + "=1", r"^a+\.\.\. is not understood: no key is so long$"),
    ("model=" + "a" * 300, r"^model=a+\.\.\. is unknown\. Choose from airbench, cnn"),
    ("hydra/launcher=" + "a" * 300, r"^hydra/launcher=a+\.\.\.: expected the name of an option$"),
    ("lr=" + "[" * 5000 + "]" * 5000, r"^lr=\[+\.\.\. is not understood: its brackets are nested more than 50 levels"),
    ("halving=" + "9" * 400, r"^halving=9+\.\.\. is not understood: no number has more than 300 digits$"),
    ("-m lr=interval(1," + "9_" * 300 + "9)", r"no number has more than 300 digits$"),
    ("data.root=", r"^data\.root=: expected a folder, such as data\.root=some/folder$"),
    ("hydra.run.dir=''", r"^hydra\.run\.dir='': expected a folder"),
    ("-m hydra.sweep.dir=", r"^hydra\.sweep\.dir=: expected a folder"),
    ("resume=", r"^resume=: expected a folder"),
    ("data=1", r"data=1 is unknown\. Choose from cifar10"),
    ("model=true", r"model=true is unknown\. Choose from airbench, cnn"),
    ("schedule=", r"schedule= is unknown\. Choose from constant"),
    ("hydra/launcher=null", r"hydra/launcher=null: expected the name of an option"),
    ("~data", r"~data: a run has every key; for none write another option"),
    ("~patience", r"~patience: a run has every key; for none write patience=null"),
    ("-m search=tpe,random", r"the arms of a study share search"),
    ("-m model=cnn model=fan", r"model is given twice; write model=cnn,fan"),
    ("--multirun lr=1e-3 lr=1e-2", r"lr is given twice; write lr=1e-3,1e-2"),
]


@pytest.mark.parametrize(("words", "said"), WORDS, ids=lambda text: text[:40])
def test_words_that_hydra_stumbles_over_are_refused(words, said):
    with pytest.raises(UserError, match=said):
        check_words(words.split())


def test_other_words_are_left_to_hydra():
    check_words(["-m", "--cfg", "job", "--config-dir=mine", "model=cnn,fan", "lr=1e-3", "epoch=3", "nonsense"])
    check_words(["~data.root", "+a=1", "-", "--", "data.classes=" + "[" * 50 + "]" * 50, "model.weights="])
    check_words(["lr=1e-3", "lr=1e-2"])  # a single run's last word wins
    check_words(["-m", "model=glob(cnn*)", "hydra/launcher=joblib", "~model.search"])


@pytest.mark.parametrize("name", ["2024_01", "true", "1e3", "007", "nan", "0x1", "pretraining_5000", "a-b.c", "1.50"])
def test_a_name_stays_the_text_that_was_typed(name):
    cfg = composed(*quote_names([f"name={name}", f"arm={name}", "lr=1e-3"]))
    assert (cfg.name, cfg.arm) == (name, name)


def test_no_name_and_names_that_are_no_single_word_are_left_to_hydra():
    words = ["name=null", "name=a,b", "name=../x", "arm='<b>'", 'name="2024_01"', "batch_size=2_000", "-m"]
    assert quote_names(words) == words


SINGLE = [
    ("+epoch=3", r"epoch=\.\.\. is unknown\. Did you mean epochs\?"),
    ("optimizer.lr=0.1", r"the learning rate of every optimizer is set by lr="),
    ("phase=confirm", r"started by a study, never by hand"),
    ("name=../x", r"name"),
    ("arm='<b>'", r"name"),
    ("n_trials=3", r"n_trials=3 belongs to a sweep; add -m"),
    ("search=random", r"search=random belongs to a sweep"),
    ("hydra.sweeper.n_jobs=2", r"belongs to a sweep"),
    ("hydra/sweeper=optuna", r"hydra/sweeper=optuna belongs to a sweep"),
    ("budget.pruner=null", r"budget\.pruner=null belongs to a sweep"),
    ("experiments=quickstart", r"experiments=quickstart belongs to a sweep"),
    ("model=timm", r"model\.name is not given"),
]
SWEEP = [
    ("name=comparison", r"that folder of outputs/ is for reports on several studies"),
    ("resume=somewhere", r"a sweep goes on when its command is given again"),
]


@pytest.mark.parametrize(("word", "said"), SINGLE)
def test_what_cannot_be_meant_of_a_single_run_is_refused(word, said):
    with pytest.raises(UserError, match=said):
        check_typed(composed(word, hydra=True), multirun=False)


@pytest.mark.parametrize(("word", "said"), SWEEP)
def test_what_cannot_be_meant_of_a_sweep_is_refused(word, said):
    with pytest.raises(UserError, match=said):
        check_typed(composed(word, hydra=True), multirun=True)


@pytest.mark.parametrize("word", ["seed=1,2", "split_seed=range(1,3)"])
def test_seeds_are_not_searched_over(word):
    cfg = composed(hydra=True)
    cfg.hydra.overrides.task = [word]  # Hydra composes a sweep without what is swept
    with pytest.raises(UserError, match=r"seeds are not searched over; confirm_seeds=5"):
        check_typed(cfg, multirun=True)


def test_what_is_meant_passes():
    check_typed(composed("model=resnet18", "lr=1e-2", "phase=search", "name=mine", hydra=True), multirun=False)
    check_typed(composed("model=timm", "seed=1", "n_trials=3", "search=random", hydra=True), multirun=True)
