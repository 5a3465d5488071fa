"""What the documents say is what the code does."""

import re

from conftest import ROOT

from headstart import comparison, config, reported, tables


def test_outputs_readme_holds_the_data_dictionary():
    assert set(tables.TABLES) >= {"trials", "epochs", "arms", "pairs", "ledger", "reported"}, (comparison, reported)
    assert tables.dictionary_markdown().strip() in (ROOT / "outputs" / "README.md").read_text()


def test_readme_is_short_and_names_only_options_that_exist():
    text = (ROOT / "README.md").read_text()
    assert text.count("\n") <= 200
    for group in ("search", "budget", "model", "experiments"):
        for values in re.findall(rf"\b{group}=([a-z0-9_,]+)", text):
            assert set(values.split(",")) <= set(config.options(group)), f"{group}={values}"


def test_every_study_is_listed_and_begins_with_its_question_and_command():
    listed = (ROOT / "experiments" / "README.md").read_text()
    for study in config.options("experiments"):
        lines = (config.experiments_folder() / f"{study}.yaml").read_text().splitlines()
        question = lines[1].removeprefix("# ")
        assert lines[0] == "# @package _global_" and question.endswith("?"), study
        assert lines[2].startswith("# make sweep"), study
        assert question in listed, study


def test_makefile_help_names_every_target(tmp_path):
    text = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    described = re.findall(r"^([a-z]+):.*## ", text, re.MULTILINE)
    assert sorted(phony.split()) == sorted(described)
