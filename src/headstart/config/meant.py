"""The command line as other programs would have it: what can only mean one thing is taken, the rest is answered.

An answer names the command that was meant, with all of its words.
"""

import os
import shlex
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from headstart.config.grammar import key_of, override_value
from headstart.config.groups import groups, options
from headstart.config.network_names import library_of
from headstart.config.schema import KEYS
from headstart.config.search_path import as_typed
from headstart.errors import UserError

TRAIN = ("train", "fit")  # verbs of other programs for what headstart does without one
# Hydra's flags, and those behind which a word of their own stands.
VALUED = ("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd")
FLAGS = (*VALUED, "--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun", "-m", "--info")
FLAGS += ("-i", "--shell-completion", "-sc", "--experimental-rerun")
RENAMED = {
    "arch": "model",
    "architecture": "model",
    "aug": "augmentation",
    "batch": "batch_size",
    "batchsize": "batch_size",
    "bs": "batch_size",
    "checkpoint": "model.weights",
    "ckpt": "model.weights",
    "data_dir": "data.root",
    "data_path": "data.root",
    "dataset": "data",
    "experiment": "experiments",
    "freeze": "model.freeze",
    "image_dir": "data.root",
    "img_size": "image_size",
    "imgsz": "image_size",
    "learning_rate": "lr",
    "max_epochs": "epochs",
    "n_epochs": "epochs",
    "num_epochs": "epochs",
    "opt": "optimizer",
    "root": "data.root",
    "scheduler": "schedule",
    "study": "experiments",
    "train_size": "data.train_size",
    "trials": "n_trials",
    "wd": "optimizer.weight_decay",
    "weight_decay": "optimizer.weight_decay",
    "weights": "model.weights",
}  # keys by the names that other programs give them
# Values that are paths, which may hold what Hydra's grammar would have in quotes.
PATHS = ("data.root", "data.cache", "model.weights", "resume", "hydra.run.dir", "hydra.sweep.dir")
ARMS = ("arms", "hydra.sweeper.arms")
ANSWERS = {
    ("infer", "classify"): "pictures are classified by headstart predict MODEL PICTURES...",
    ("eval", "test", "validate"): "a run reads its test split itself, once, at its end; on other pictures, headstart "
    "evaluate MODEL DATA",
    ("sweep", "study", "tune", "search", "compare"): "a study is started by headstart -m experiments=NAME, a sweep of "
    "your own by headstart -m model=cnn,resnet18",
}  # verbs of other programs that headstart has not


def understood(words: Sequence[str]) -> list[str]:
    """The words as Hydra takes them, of those that were typed.

    `train` in front is left out, paths get the quotes that they need, and inline arms may be written without any.
    Raises UserError for words that other programs take, with the command that was meant.
    """
    left = list(words[1:] if words and words[0] in TRAIN else words)
    found, wrong = [], []
    while left:
        word = left.pop(0)
        if word in VALUED:
            found += [word, *left[:1]]
            del left[:1]
        elif word.startswith("-") and word.strip("-") and word.partition("=")[0] not in FLAGS:
            apart = "=" not in word and left and "=" not in left[0] and not left[0].startswith("-")
            given = [word, left.pop(0)] if apart else [word]
            found += _undashed(given)
            wrong.append(f"{' '.join(given)}: settings are written key=value, without dashes")
        else:
            meant, why = _meant(word)
            found += meant
            wrong += [f"{word}: {why}"] if why else []
    found = [_with_quotes(_arms(word)) for word in found]
    if wrong:
        raise UserError(f"{wrong[0]}. Did you mean {shlex.join(['headstart', *as_typed(found)])}?")
    return found


def _undashed(given: Sequence[str]) -> list[str]:
    """[`batch_size=32`] of `--batch-size 32`. Raises UserError for flags that nobody can tell the meaning of."""
    name, equals, value = given[0].lstrip("-").partition("=")
    key = name.replace("-", "_")
    key = RENAMED.get(key, key)
    if key in ("v", "vv", "verbose", "debug"):
        raise UserError(f"{given[0]} is no flag; hydra.verbose=true says more, and --version which headstart this is")
    if not _is_key(key) or not (equals or given[1:]):
        raise UserError(
            f"{given[0]} is no flag; settings are written key=value, without dashes, such as lr=1e-3; "
            "headstart --help lists them and the flags"
        )
    return _meant(f"{key}={value if equals else given[1]}")[0]


def _is_key(key: str) -> bool:
    return key.partition(".")[0] in (*KEYS, *groups(), "hydra")


def _meant(word: str) -> tuple[list[str], str]:
    """What a word means to headstart, and why it is not understood as it is; "" where it is."""
    key, equals, value = word.partition("=")
    if not equals:
        return _alone(word)
    if key in RENAMED and key not in KEYS:
        meant, _ = _meant(f"{RENAMED[key]}={value}")
        return meant, f"{key} is called {RENAMED[key]} here"
    if key.lstrip("+") == "data.allow_duplicates":
        meant = "data.duplicates=keep" if value.lower() == "true" else "data.duplicates=refuse"
        return [meant], f"is now {meant}"
    if key == "data" and _is_path(value):
        why = "data= takes the name of a source, and a path goes into data.root="
        return ["data=folder", f"data.root={value}"], why
    if key == "model" and value not in options("model") and (found := library_of(value)) is not None:
        library, name = found
        return [f"model={library}", f"model.name={name}"], f"{name} is a network of {library}, which has no file here"
    if key == "model" and _is_path(value):
        raise UserError(
            f"{word}: model= takes the name of a network; give it and model.weights={value} beside it. headstart "
            f"weights describe {shlex.quote(value)} says which networks it fits"
        )
    return [word], ""


def _alone(word: str) -> tuple[list[str], str]:
    """The same of a word without `=`, where a verb or a folder of pictures may be meant."""
    for verbs, answer in ANSWERS.items():
        if word in verbs:
            raise UserError(f"{word!r} is no verb: {answer}")
    if _is_path(word) and not word.startswith("-") and os.path.isdir(os.path.expanduser(word)):
        return ["data=folder", f"data.root={word}"], "this is a folder, which is named by data.root="
    return [word], ""


def _is_path(value: str) -> bool:
    return (
        "/" in value or value in (".", "..", "~") or (value not in groups() and os.path.isdir(value) and "." in value)
    )


# ------------------------------------------------------------------------------------------------------------- quotes


def _with_quotes(word: str) -> str:
    """The word, its value in quotes where it is a path that Hydra's grammar does not take as it is; ~ is the home."""
    key, equals, value = word.partition("=")
    if not equals or key.lstrip("+") not in PATHS or parses(word):
        return word
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return word  # for Hydra to refuse
    return f"{key}={QuotedString(os.path.expanduser(value), Quote.double).with_quotes()}"


def parses(word: str) -> bool:
    """Whether Hydra's grammar takes the word."""
    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        return False
    return True


# ---------------------------------------------------------------------------------------------------------- inline arms


def _arms(word: str) -> str:
    """`hydra.sweeper.arms={cnn:["model=cnn"],big:["model=resnet18"]}` of `arms={cnn: model=cnn, big: model=resnet18}`.

    Hydra's grammar wants quotes around what has an equals sign in it, inside those of the shell. One arm of a study is
    taken out by `~arms.cnn`, and told other overrides by `arms.cnn=model=cnn3`.
    """
    before, equals, value = word.partition("=")
    typed = key_of(word)
    for short in ARMS:
        if typed == short or typed.startswith(f"{short}."):
            break
    else:
        return word
    arm = typed.removeprefix(short).removeprefix(".")
    key = before.replace(typed, f"{ARMS[1]}.{arm}" if arm else ARMS[1], 1)
    if not equals:
        return key
    if _has_lists(f"{key}={value}"):
        return f"{key}={value}"
    meant = _overrides_of(value.strip()) if arm else _arms_of(value)
    return f"{key}={override_value(meant) if meant else value}"  # or for Hydra to refuse


def _arms_of(value: str) -> dict[str, list[str]] | None:
    """The overrides of each arm in `{cnn: model=cnn, big: [model=resnet18, lr=0.1]}`; None: it is no such thing."""
    if not (value.startswith("{") and value.endswith("}")):
        return None
    arms: dict[str, list[str]] = {}
    for part in split_outside(value[1:-1], ","):
        name, colon, body = part.partition(":")
        if not colon or "=" in name:  # a further override of the same arm
            name, body = next(reversed(arms), ""), part
        overrides = _overrides_of(body.strip())
        if not name.strip() or overrides is None:
            return None
        arms.setdefault(name.strip(" \"'"), []).extend(overrides)
    return arms


def _overrides_of(body: str) -> list[str] | None:
    """What `model=cnn`, `model=cnn lr=0.1` or `[model=cnn, lr=0.1]` gives one arm; None: it is none of these."""
    inside = split_outside(body[1:-1], ",") if body.startswith("[") and body.endswith("]") else [body]
    overrides = [text.strip("\"'") for item in inside for text in split_outside(item, " ")]
    return overrides if body and all("=" in text for text in overrides) else None


def _has_lists(word: str) -> bool:
    """Whether Hydra reads arms in it as they are configured: each a list of overrides, or a mapping."""
    if not parses(word):
        return False
    value = OverridesParser.create().parse_override(word).value()
    return not isinstance(value, dict) or not any(isinstance(arm, str) for arm in value.values())


def split_outside(text: str, separator: str) -> list[str]:
    """The parts of a text between separators that are outside of all brackets and quotes, without what is empty."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote or letter in "\"'":
            quote = "" if letter == quote else quote or letter
        depth += (letter in "([{") - (letter in ")]}") if not quote else 0
        if letter == separator and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]
