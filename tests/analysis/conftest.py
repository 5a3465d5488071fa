"""The study that the tests of this room begin with."""

import shutil
from pathlib import Path

import pytest

from analysis.helpers_analysis import A, B, confirm, describe_study, search


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Two arms, five trials and five seeds each: b is worse by 1.8 points and half as fast per epoch."""
    root = tmp_path_factory.mktemp("template") / "s"
    describe_study(root, "b", "a")
    for arm, scores, pace in (("a", A, 1.0), ("b", B, 2.0)):
        search(root, arm, pace=pace)
        confirm(root, arm, scores, pace=pace)
    return root


@pytest.fixture
def fair(template, tmp_path):
    """A copy of the template: to be made unfair."""
    return Path(shutil.copytree(template, tmp_path / "s"))
