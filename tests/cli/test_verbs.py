"""The table of verbs: each has a module and a line, a misspelt one is understood, and each ends with its exit code."""

from importlib import import_module

import pytest

from headstart.cli import verbs
from headstart.cli.verbs import VERBS, Verb, find_verb, meant_verb, run_verb, verbs_help
from headstart.errors import UserError

STUDIES = ("quickstart", "pretraining", "data_size")


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_has_a_parser_under_its_name_and_a_function(verb, capsys):
    module = import_module(verb.module)
    parser = module.make_parser(f"headstart {verb.name}")
    assert parser.prog == f"headstart {verb.name}" and parser.description and callable(module.run)
    assert "=" not in verb.name and len(f"  {verb.name}  {verb.does}") <= 100


def test_the_help_has_a_line_for_each_verb():
    lines = verbs_help().splitlines()
    assert [line.split(maxsplit=1) for line in lines[1:]] == [[verb.name, verb.does] for verb in VERBS]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("reprot", "report"),
        ("reports", "report"),
        ("Report", "report"),
        ("wieghts", "weights"),
        ("weight", "weights"),
        ("chace", "cache"),
        ("quickstrat", None),  # a study's name
        ("pretrainign", None),
        ("lr", None),
        ("outputs/quickstart", None),
        ("", None),
    ],
)
def test_a_misspelt_verb_is_told_from_a_study_and_from_anything_else(word, meant):
    assert meant_verb(word, STUDIES) == (None if meant is None else find_verb(meant))


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (None, 0, ""),
        (UserError("no"), 1, "headstart toy: no\n"),
        (FileNotFoundError(2, "No such file", "x"), 1, "headstart toy: [Errno 2] No such file: 'x'\n"),
    ],
)
def test_a_verb_ends_with_an_exit_code_and_a_sentence(raised, code, said, monkeypatch, capsys):
    from argparse import ArgumentParser
    from types import SimpleNamespace

    def run(arguments) -> None:
        print(arguments.word)
        if raised is not None:
            raise raised

    def make_parser(prog: str) -> ArgumentParser:
        parser = ArgumentParser(prog)
        parser.add_argument("word")
        return parser

    monkeypatch.setattr(verbs, "import_module", lambda name: SimpleNamespace(make_parser=make_parser, run=run))
    assert run_verb(Verb("toy", "does nothing", "nowhere"), ["hello"]) == code
    assert capsys.readouterr() == ("hello\n", said)
    with pytest.raises(SystemExit, match="2"):
        run_verb(Verb("toy", "does nothing", "nowhere"), [])
    assert "usage: headstart toy" in capsys.readouterr().err
