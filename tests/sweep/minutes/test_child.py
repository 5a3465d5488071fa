"""Work in a process of its own: its answer, its mistakes, and its death."""

import os
import threading

import pytest

from headstart.errors import UserError
from headstart.sweep.minutes import child
from headstart.sweep.minutes.child import in_child


@pytest.fixture(autouse=True)
def forks(monkeypatch):
    monkeypatch.setattr(child, "can_fork", lambda: True)  # pytest's own threads hold nothing that is used here


def refuse():
    raise UserError("out of luck")


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_the_answer_comes_from_another_process():
    assert in_child(lambda: ("a", os.getpid()), forks=True)[1] != os.getpid()
    assert in_child(os.getpid, forks=False) == os.getpid()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_mistake_there_is_one_here_and_a_death_is_a_sentence():
    with pytest.raises(UserError, match="out of luck"):
        in_child(refuse, forks=True)
    with pytest.raises(UserError, match="exit code 9"):
        in_child(lambda: os._exit(9), forks=True)


def test_where_nothing_can_be_forked_it_is_done_here(monkeypatch):
    monkeypatch.undo()
    beside = threading.Event()
    thread = threading.Thread(target=beside.wait)
    thread.start()
    assert in_child(os.getpid, forks=True) == os.getpid()
    beside.set()
    thread.join()
