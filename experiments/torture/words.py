"""2,000 hostile names, and 60 targets that no configuration may call, given to every key that takes such a thing.

Wanted of each: taken where it is one, else refused in words; nothing executed, nothing written but below outputs/.
"""

import random
import shutil
import string
from collections.abc import Callable, Iterator
from pathlib import Path

import batches
from batches import KEYS, REFUSED, TAKEN, is_wanted  # noqa: F401
from commands import answer, fault_of

from headstart.errors import UserError
from headstart.store import valid_name

NAMES, TARGETS = 2_000, 720  # cases: of the targets every one in every place
CANARY = "executed"
TINY = (
    "data=digits",
    "data.train_size=100",
    "epochs=1",
    "batch_size=50",
    "threads=1",
    "augmentation=none",
    "model=cnn",
)
SEEDS_OF_NAMES = (
    *(
        "../../x",
        "/tmp/x",
        "a/b",
        "..",
        ".",
        "",
        " ",
        "~",
        "~root",
        "-m",
        "--help",
        "a b",
        "a\nb",
        "a\tb",
        "\x1b[31mred",
        "\x00",
    ),
    *(
        "CON",
        "NUL",
        "a.",
        "a" * 64,
        "a" * 65,
        "a" * 5_000,
        "ß",
        "é",
        "é",
        "日本語",
        "\u202eevil",
        "\ufeff",
        "💥",
        "a\u0300",
    ),
    *(
        "null",
        "nan",
        "true",
        "1e309",
        "0x10",
        "-1",
        "=1+1",
        "@SUM(A1)",
        "+1",
        "|cmd",
        "<b>x</b>",
        "<script>",
        "&amp;",
        "{x}",
    ),
    *(
        "${oc.env:HOME}",
        "${now:%Y}",
        "${lr}",
        "${",
        "$(touch executed)",
        "`touch executed`",
        "; touch executed",
        "%s%n",
        "\\",
    ),
    *(
        "'",
        '"',
        "'; DROP TABLE trials; --",
        "a,b",
        "[a]",
        "a=b",
        "a:b",
        "*",
        "?",
        "tables",
        "plots",
        "search",
        "study.json",
    ),
)
PLACES = (
    "name=",
    "arm=",
    "hydra.sweep.dir=outputs/",
    "arms={%s: model=cnn, b: model=cnn lr=0.1}",
    "name=%s -m",
    "model=",
)
CALLED = (
    *(
        "os.system",
        "os.popen",
        "os.execv",
        "os.mkdir",
        "os.makedirs",
        "posix.system",
        "subprocess.run",
        "subprocess.Popen",
    ),
    *("subprocess.getoutput", "builtins.eval", "builtins.exec", "builtins.open", "builtins.__import__", "eval", "open"),
    *(
        "pathlib.Path.touch",
        "pathlib.Path",
        "shutil.rmtree",
        "shutil.copy",
        "importlib.import_module",
        "runpy.run_path",
    ),
    *(
        "pickle.loads",
        "pickle.load",
        "torch.load",
        "torch.hub.load",
        "torch.hub.load_state_dict_from_url",
        "torch.save",
    ),
    *(
        "torch.jit.load",
        "torch.ops.load_library",
        "torch.utils.cpp_extension.load_inline",
        "torch.compile",
        "joblib.load",
    ),
    *(
        "timm.create_model",
        "timm.models.load_state_dict",
        "timm.optim.create_optimizer",
        "timm.optim.optim_factory.os.system",
    ),
    *(
        "torch.optim.adam.torch.load",
        "torch.optim.Optimizer.load_state_dict",
        "torch.optim.lr_scheduler.LambdaLR",
        "numpy.load",
    ),
    *(
        "sklearn.utils.os.system",
        "sklearn.datasets.fetch_file",
        "sklearn.datasets.fetch_openml",
        "sklearn.tree.export_graphviz",
    ),
    *(
        "sklearn.externals.joblib.load",
        "sklearn.utils.estimator_html_repr",
        "sklearn.datasets.load_files",
        "sklearn.base.os",
    ),
    *(
        "hydra.utils.instantiate",
        "hydra.utils.call",
        "hydra.main",
        "hydra_plugins.hydra_optuna_sweeper.config.os.system",
    ),
    *(
        "optuna.storages.RDBStorage",
        "optuna.samplers.os.system",
        "optuna.pruners.PatientPruner.__init__",
        "optuna.load_study",
    ),
    *("headstart.store.files.write_atomically", "headstart.store.write_atomically", "headstart.cli.main.main"),
    *("headstart.data.sources.Path", "headstart.data.sources.image_folder.shutil.rmtree", "logging.FileHandler"),
    *(
        "headstart.models.builders.cnn.__wrapped__",
        "headstart.training.schedules.math.exp",
        "logging.config.dictConfig",
    ),
)
KEYS_OF_TARGETS = (
    *("optimizer._target_=", "schedule._target_=", "augmentation._target_=", "data._target_=", "model._target_="),
    *("model=sklearn model.estimator._target_=", "-m hydra.sweeper.sampler._target_=", "-m budget.pruner._target_="),
    *("-m hydra.launcher._target_=", "+hydra.callbacks.x._target_=", "hydra.job_logging.handlers.file.class="),
    "+hydra.job_logging.handlers.file.()=",
)


def attempts(work: Path, seed: int) -> Iterator[tuple[tuple[str, int], Callable[[], dict[str, object]]]]:
    """Every batch and what tries it."""
    yield from batches.attempts(work, 0, TARGETS, ("target",), try_target, size=48)
    yield from batches.attempts(work, seed, NAMES, ("name",), try_name, size=50)


def try_name(work: Path, kind: str, seed: int) -> str:
    """Type one where a study, an arm, a folder or a model is named."""
    rng = random.Random(f"{seed} {kind}")
    name, place = _name(rng), rng.choice(PLACES)
    words = (place if "%s" in place else place + "%s").split(" ") if "{" not in place else [place]
    words = [word.replace("%s", name) for word in words]
    reads_otherwise = name.startswith(("${", "+"))  # what it stands for, or a number
    return _typed(work, words, is_name=None if reads_otherwise else _is_name(name))


def try_target(work: Path, kind: str, seed: int) -> str:
    """Have a configuration name one."""
    key, target = KEYS_OF_TARGETS[seed % len(KEYS_OF_TARGETS)], CALLED[seed // len(KEYS_OF_TARGETS) % len(CALLED)]
    *words, last = key.split(" ")
    return _typed(work, [*words, last + target, *_arguments(last, work)], is_name=None)


def _arguments(key: str, work: Path) -> list[str]:
    """What the called would need to do harm."""
    node = key.removesuffix("=").rpartition(".")[0].lstrip("+")
    return [f"+{node}.{name}={work / CANARY}" for name in ("path", "filename")]


def _typed(work: Path, words: list[str], is_name: bool | None) -> str:
    folder = work / "typed"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    before = set(work.iterdir())
    is_sweep = "-m" in words or any(word.startswith("arms=") for word in words)
    given = [*(["-m", "dry_run=true"] if is_sweep else []), *TINY, *(word for word in words if word != "-m")]
    try:
        code, text = answer(folder, *given)
    except ValueError as error:  # no process can be given such a word
        return REFUSED if "null" in str(error) else str(error)
    made = {path for place in (work, folder) for path in place.rglob(CANARY)} | (set(work.iterdir()) - before)
    strange = [path for path in folder.iterdir() if path.name != "outputs"]
    if made or strange:
        return f"{words}: made {[*made, *strange]}"
    if fault := fault_of(code, text):
        return f"{words}: {fault}"
    if is_name is False and code == 0 and any("=" in word and not word.startswith("model") for word in words):
        return f"{words}: taken"
    return TAKEN if code == 0 else REFUSED


def _name(rng: random.Random) -> str:
    """One of the seeds, or two of them put together, or any characters."""
    how = rng.randrange(3)
    if how == 0:
        return rng.choice(SEEDS_OF_NAMES)
    if how == 1:
        return rng.choice(SEEDS_OF_NAMES)[:40] + rng.choice(SEEDS_OF_NAMES)
    return "".join(rng.choice(string.printable + "äλ中\u200b") for _ in range(rng.randint(1, 70)))


def _is_name(text: str) -> bool:
    try:
        return bool(valid_name(text))
    except UserError:
        return False
