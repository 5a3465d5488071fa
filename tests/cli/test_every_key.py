"""Every key of the configuration with values of every kind: taken where they mean something, else refused in words.

The keys are those of the configuration files and of the sweeper; what each may take is written here by hand.
"""

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from omegaconf import DictConfig
from PIL import Image

from cli.helpers_cli import tiny
from headstart.config.groups import groups, options
from headstart.sweep.storage import close_storages

WAYS = ("run", "plan", "sweep")
VALUES = ("", "-1", "0", "abc", "nan", "inf", "1e309", "[1]", "{a:1}", "null", "true")
NAMES = "0 1e309 abc inf nan null true"  # texts that a folder may be called; null: no name
TAKES = {
    **dict.fromkeys(["name", "arm"], NAMES),
    **dict.fromkeys(["seed", "split_seed", "data.split_seed", "label_smoothing", "confirm_seeds"], "0"),
    **dict.fromkeys(["batch_size", "image_size", "clip_grad_norm", "patience", "threads", "reported"], "null"),
    **dict.fromkeys(["deterministic", "tf32", "cudnn_benchmark", "dry_run", "corruptions"], "true"),
    **dict.fromkeys(
        ["data.classes", "data.train_size", "data.validation_size", "data.folds", "data.test_size"], "null"
    ),
    "data.fold": "0",
    "data.cache": "abc null",
    "data.class_weights": "null",
    "data.duplicates": "null",
    **dict.fromkeys(["model.weights", "model.unfreeze_epoch", "model.features", "model.cv"], "null"),
    **dict.fromkeys(["augmentation._partial_", "optimizer._partial_", "schedule._partial_"], "true"),
    **dict.fromkeys(["optimizer.weight_decay", "augmentation.magnitude", "model.alpha"], "0"),
    **dict.fromkeys(["schedule.warmup", "schedule.start", "schedule.end"], "0"),
    **dict.fromkeys(["optimizer.nesterov", "model.scale"], "true"),
    **dict.fromkeys(["model.search", "model.search.params", "model.search.first_points"], "null"),
    **dict.fromkeys(["model.max_depth", "model.max_leaf_nodes", "model.max_features"], "null"),
    **dict.fromkeys(["budget.pruner", "search.first_points", "hydra.sweeper.pruner"], "null"),
    **dict.fromkeys(["hydra.sweeper.params", "hydra.sweeper.arms", "hydra.sweeper.source"], "null"),
    **dict.fromkeys(
        ["budget.pruner.percentile", "budget.pruner.n_startup_trials", "budget.pruner.n_warmup_steps"], "0"
    ),
    **dict.fromkeys(["search.extend_at_edge", "hydra.sweeper.extend_at_edge", "hydra.sweeper.retry_failed"], "true"),
    **dict.fromkeys(["hydra.sweep.dir", "hydra.run.dir"], "-1 0 1e309 abc inf nan true"),
    "model.flip_averaging": "true",
    "optimizer.fused": "null true",
    "augmentation.padding": "0",
    "model.estimator.early_stopping": "true",
    "hydra.sweeper.confirm_seeds": "0",
    **dict.fromkeys(["margin", "minutes"], "null"),
    **dict.fromkeys(["hydra.sweeper.first_points", "hydra.sweeper.elsewhere", "hydra.sweeper.sync"], "null"),
    "hydra.sweeper.custom_search_space": " null",
    "hydra.mode": "null",
    "hydra.sweeper.sampler.seed": "0 null",
    "hydra.sweeper.sampler.n_startup_trials": "0",
    **{f"hydra.sweeper.sampler.{key}": "true" for key in ("multivariate", "group", "constant_liar")},
    "hydra.sweeper.sampler.warn_independent_sampling": "null true",
    **{f"hydra.sweeper.sampler.consider_{key}": "null true" for key in ("prior", "magic_clip", "endpoints")},
    **{f"hydra.sweeper.sampler.{key}": "null" for key in ("prior_weight", "constraints_func")},
}
MAY = {
    **{"model.alpha": {"[1]"}, "model.max_features": {"0"}},  # scikit-learn's own rules, which change with its version
    "model.keep_classifier": {"true"},  # of some networks' weights
    "augmentation.padding": {"null"},  # of those that crop or not
    "optimizer.momentum": {"0"},  # which Nesterov's form needs in torch's SGD
    "model.search.params": {"null"},  # of a model whose file brings no first points for them
}
OF_SWEEPS = (
    "n_trials",
    "confirm",
    "margin",
    "minutes",
    "jobs",
    "dry_run",
    "lr_low",
    "lr_high",
    "search",
    "budget",
    "hydra.sweep",
    "hydra/s",
)
FURTHER = ["hydra/launcher", "hydra/sweeper", "hydra/sweeper/sampler", "hydra.sweep.dir", "hydra.run.dir", "hydra.mode"]
ELSEWHERE = ("data=cifar10", "data=cifar100")  # as data=digits, but for a download
SMALL = {"model=resnet50v2_head": ["image_size=32", "model.weights=null"]}  # its published ones have to be fetched
SMALL |= {"data=table": ["data.root=data/labels.csv"]}


def keys_of(node: DictConfig, within: str) -> Iterator[str]:
    for name in node:
        key, value = f"{within}{name}", node._get_node(name)
        yield key
        if isinstance(value, DictConfig) and not value._is_none() and not value._is_missing():
            yield from keys_of(value, f"{key}.")


def cases() -> list[tuple[str, tuple[str, ...]]]:
    """Every key once for each function that takes it, and the options that it needs."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    with initialize_config_module("headstart.conf"):
        whole = compose("config", ["data=digits", "augmentation=none"], return_hydra_config=True)
        nodes = [("", whole, ()), ("hydra.sweeper.", whole.hydra.sweeper, ())]
        for group, option in ((g, o) for g in groups() if g != "experiments" for o in options(g)):
            if (word := f"{group}={option}") not in ELSEWHERE:
                node = compose("config", ["data=digits", word])[group]
                nodes += [(f"{group}.", node, (word,))] if isinstance(node, DictConfig) else []
        for within, node, words in nodes:
            target = str(node.get("_target_", ""))
            for key in keys_of(node, within):
                if not key.startswith("hydra.") or key.startswith("hydra.sweeper."):
                    found.setdefault((key, target if words else ""), words)
    return [(key, words) for (key, _), words in found.items()] + [(key, ()) for key in (*groups(), *FURTHER)]


CASES = cases()


def wrong(command, key: str, words: tuple[str, ...], value: str, way: str) -> list[str]:
    """What is wrong with the answer to a value, typed for a single run, a plan or a sweep that does one trial."""
    typed = tiny(*words, *(more for word in words for more in SMALL.get(word, [])))
    typed = [word for word in typed if word.partition("=")[0] != key]
    if way != "run":
        more = ["-m", "n_trials=1", "confirm_seeds=0", *(["dry_run=true"] if way == "plan" else ["epochs=1"])]
        typed = [word for word in typed if way == "plan" or word != "epochs=2"]
        typed = [*(word for word in more if word.partition("=")[0] != key), *typed]
    typed += [f"{key}={value}"]
    meant = not key.startswith(OF_SWEEPS) if way == "run" else key != "hydra.run.dir"
    takes = value in (TAKES.get(key, "no").split(" ") if meant else [])
    for path in Path().iterdir():  # what the command before has left
        if path.name != "data":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    close_storages()
    try:
        code, _, said = command(*typed)
    except Exception as error:
        return [f"{' '.join(typed)}: a traceback\n{error!r}"]
    if value in MAY.get(key, ()) or ((code == 0) == takes and (takes or _is_clear(said))):
        return []
    return [f"{' '.join(typed)}: {code}, where it is {'right' if takes else 'nonsense'}\n{said}"]


def _is_clear(said: str) -> bool:
    return "headstart: " in said and len(said.splitlines()) <= 10


def of_a_test(number: int) -> list[tuple[str, tuple[str, ...], str, str]]:
    """A share of the campaign: each key with one value and in one way, other ones in every share."""
    return [
        (key, words, VALUES[(place + number) % len(VALUES)], WAYS[(place + number // len(VALUES)) % 2])
        for place, (key, words) in enumerate(CASES)
    ]


pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # Optuna's, of keys that go with its next version


@pytest.fixture(autouse=True)
def pictures(tmp_path, monkeypatch):
    """What data=folder and data=table read."""
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path / "data"))
    random = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(100):
            pixels = random.integers(256, size=(8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{number}.png")
    rows = [f"{name}/{number}.png,{name}" for name in "ab" for number in range(100)]
    (tmp_path / "data" / "labels.csv").write_text("\n".join(["path,label", *rows]))


@pytest.mark.parametrize("part", range(8))
def test_a_value_is_taken_where_it_means_something_and_else_refused_in_words(command, part):
    faults = [fault for case in of_a_test(0)[part::8] for fault in wrong(command, *case)]
    assert not faults, "\n".join(faults)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(16))
@pytest.mark.parametrize("way", WAYS)
def test_all_values_in_all_places(command, part, way):
    cases = itertools.product(CASES[part::16], VALUES)
    faults = [fault for (key, words), value in cases for fault in wrong(command, key, words, value, way)]
    assert not faults, "\n".join(faults)
