"""Folders of a study: the one in which it began, and those that were let in."""

import optuna
import pytest

from headstart.errors import UserError
from headstart.sweep.leases.folders import admit, own_id


@pytest.fixture
def study():
    return optuna.create_study(study_name="s/a")


def folder(tmp_path, name):
    (tmp_path / name).mkdir()
    return tmp_path / name


def test_a_folder_has_an_id_of_its_own_that_stays(tmp_path):
    here, there = folder(tmp_path, "here"), folder(tmp_path, "there")
    assert own_id(here) == own_id(here) != own_id(there)


def test_a_further_folder_is_let_in_once_and_stays_so(tmp_path, study):
    here, there, url = folder(tmp_path, "here"), folder(tmp_path, "there"), "postgresql+psycopg://me:secret@host/db"
    assert not admit(study, here, url, joins=False)
    with pytest.raises(UserError, match=r"another by name=(.|\n)*hydra\.sweeper\.elsewhere=join") as error:
        admit(study, there, url, joins=False)
    assert "secret" not in str(error.value)
    assert admit(study, there, url, joins=True)
    assert admit(study, there, url, joins=False) and not admit(study, here, url, joins=False)


def test_without_a_server_no_further_folder_is_let_in(tmp_path, study):
    admit(study, folder(tmp_path, "here"), "sqlite:///study.db", joins=True)
    with pytest.raises(UserError, match="another by name=") as error:
        admit(study, folder(tmp_path, "there"), "sqlite:///study.db", joins=True)
    assert "elsewhere" not in str(error.value)
