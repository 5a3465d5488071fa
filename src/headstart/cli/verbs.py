"""The verbs of the command line, a line each: which one was typed or meant, and its module called."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

from headstart.cli.console import refuse
from headstart.errors import UserError


@dataclass(frozen=True)
class Verb:
    """A word that may stand first behind `headstart`; its module has `make_parser(prog)` and `run(arguments)`.

    `run` returns an exit code, or None for 0.
    """

    name: str
    does: str  # in a line of `headstart --help`
    module: str  # imported when the verb is typed


VERBS = (
    Verb("data", "what is in a folder of pictures, and what a study would make of it", "headstart.cli.data"),
    Verb("report", "collate runs into tables, plots and a page", "headstart.cli.report"),
    Verb("weights", "take a trained network out of a run, or look at a weights file", "headstart.cli.weights"),
    Verb("predict", "say what is on pictures, by a trained network", "headstart.cli.predict"),
    Verb("evaluate", "how good a trained network is on other labelled pictures", "headstart.cli.evaluate"),
    Verb("explain", "where on pictures networks saw what they said", "headstart.cli.explain"),
    Verb("export", "a trained network as ONNX, for torch or timm alone, with a model card", "headstart.cli.export"),
    Verb("serve", "a trained network behind HTTP, with a page to drop pictures on", "headstart.cli.serve"),
    Verb("cache", "list or remove what is kept on disk for all runs", "headstart.cli.cache"),
)


def find_verb(word: str) -> Verb | None:
    """The verb of this name, if there is one."""
    return next((verb for verb in VERBS if verb.name == word), None)


def meant_verb(word: str, others: Iterable[str]) -> Verb | None:
    """The verb that a misspelt word is most like, unless it is more like one of the `others`, or like nothing."""
    close = get_close_matches(word.lower(), [*(verb.name for verb in VERBS), *others], n=1)
    return find_verb(close[0]) if close else None


def run_verb(verb: Verb, words: list[str]) -> int:
    """Do what the words behind the verb say; return the exit code. What argparse refuses ends with SystemExit(2)."""
    command = f"headstart {verb.name}"
    module = import_module(verb.module)
    arguments = module.make_parser(command).parse_args(words)
    try:
        code = module.run(arguments)
    except UserError as error:
        return refuse(str(error), command)
    except OSError as error:
        if error.filename is None:
            raise  # to `main`, as of stdout
        return refuse(str(error), command)
    return code or 0


def verbs_help() -> str:
    """The verbs with a line each."""
    width = max(len(verb.name) for verb in VERBS)
    lines = [f"  {verb.name:<{width}}  {verb.does}" for verb in VERBS]
    return "\n".join(["headstart VERB ...  (`headstart VERB --help` explains each)", *lines])
