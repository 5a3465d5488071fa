"""What identifies a run, and the command line that repeats it."""

import shlex
from dataclasses import replace

import pytest
from omegaconf import OmegaConf

from config.helpers_config import composed, read
from headstart.config.command import changes_from_defaults, command_line, config_hash


def test_hash_ignores_what_describes_and_sees_what_changes_a_run():
    plain = read().config_hash()
    assert plain == read("name=other", "keep=all", "n_trials=3", "device=cpu", "jobs=2", "threads=1").config_hash()
    for change in ("lr=2e-3", "seed=1", "model=resnet18", "data.train_size=5000", "optimizer.weight_decay=0.1"):
        assert read(change).config_hash() != plain


def test_checkpoints_of_earlier_versions_go_on():
    """Hashes of what was written before there were folds, duplicates and a rule for batches."""
    assert read("data=digits", "batch_size=128").config_hash() == "33b1678c1e3bf4de"
    assert read("data=folder", "batch_size=128").config_hash() == "0feeb0a15a56956c"
    assert read("data=folder", "batch_size=128", "data.duplicates=keep").config_hash() != "0feeb0a15a56956c"


def test_the_hash_leaves_out_where_data_is_read_from_and_sees_what_was_settled():
    values = read().values
    elsewhere = replace(values, data=values.data | {"root": "/data", "cache": "/cache", "download": False})
    assert config_hash(elsewhere) == config_hash(values)
    assert config_hash(values, precision="bf16") != config_hash(values, precision="fp32")


def changes(*overrides: str) -> list[str]:
    run = read(*overrides)
    return changes_from_defaults(run.written, run.choices)


def test_changes_are_those_from_the_defaults_groups_first():
    words = ["model=resnet18", "schedule=cosine", "data.train_size=500", "lr=0.01", "+optimizer.betas=[0.8,0.99]"]
    assert sorted(changes(*words)) == sorted(words)
    assert changes(*words)[:2] == ["model=resnet18", "schedule=cosine"]
    assert changes() == changes("name=x", "keep=all", "n_trials=3", "search=random", "model=cnn") == []


def test_a_study_is_in_them_by_its_content_alone():
    assert "epochs=20" in changes("experiments=quickstart")
    assert not [word for word in changes("experiments=quickstart") if "quickstart" in word]


@pytest.mark.parametrize(("phase", "said"), [("search", ["phase=search"]), ("confirm", []), ("source", [])])
def test_a_run_that_did_not_read_the_test_split_does_not_when_it_is_repeated(phase, said):
    assert changes(f"phase={phase}") == said


def test_the_search_space_of_a_model_is_a_sweeps():
    assert changes("model=logistic_regression", "model.search=null") == ["model=logistic_regression"]


def test_words_are_quoted_for_a_shell_and_ignored_keys_left_out():
    words = ["model=cnn", "data.classes=[0,1]", "+optimizer.betas=[0.8,0.99]", "lr=0.1"]
    assert command_line(words, {"lr", "optimizer"}) == "headstart model=cnn 'data.classes=[0,1]'"


def test_the_command_composes_to_the_same_settings():
    words = ["experiments=quickstart", "model=resnet18", "data.classes=[1,3]", "label_smoothing=0.1", "seed=3"]
    again = read(*shlex.split(read(*words).command(threads=2))[1:])
    assert again.values.threads == 2
    assert again.config_hash() == read(*words).config_hash()
    assert OmegaConf.to_container(composed("seed=3"))["seed"] == again.values.seed


def test_batch_norm_is_in_the_hash_where_it_is_fixed_and_leaves_others_as_they_were():
    plain, fixed = (read("model=resnet18", *words) for words in ([], ["model.batch_norm=fixed"]))
    older = replace(plain.values, model={k: v for k, v in plain.values.model.items() if k != "batch_norm"})
    assert config_hash(older) == plain.config_hash() != fixed.config_hash()


def test_folds_are_in_the_hash_and_the_command_and_leave_others_as_they_were():
    plain = read().values
    older = replace(plain, data={k: v for k, v in plain.data.items() if k not in ("folds", "fold")})
    assert config_hash(older) == config_hash(plain)
    hashes = {read(*words).config_hash() for words in ([], ["data.folds=3"], ["data.folds=3", "data.fold=1"])}
    assert len(hashes) == 3
    assert changes("data.folds=3", "data.fold=1") == ["data.folds=3", "data.fold=1"]


def test_worse_pictures_identify_a_run_and_its_command_where_they_are_asked_for():
    assert read("corruptions=true").config_hash() != read().config_hash() == read("corruptions=false").config_hash()
    assert "corruptions=true" in read("corruptions=true").command() and "corruptions" not in read().command()
