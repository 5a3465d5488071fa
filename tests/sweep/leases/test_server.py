"""What a process has of a server, and what it goes by."""

import time

import pytest

from headstart.errors import UserError
from headstart.sweep.leases.server import seconds_since_boot, server_of, this_machine
from sweep.postgres import needs_server


def test_a_server_that_is_not_there_is_named_without_its_password():
    with pytest.raises(UserError, match=r"somebody:\*\*\*@(.|\n)*PostgreSQL server, 11 or newer") as error:
        server_of("postgresql+psycopg://somebody:secret@127.0.0.1:1/none")
    assert "secret" not in str(error.value)


@needs_server
def test_a_process_has_one_server_by_url(postgres):
    assert server_of(postgres) is server_of(postgres)


def test_a_machine_has_one_name_and_a_clock_that_goes_on():
    assert this_machine() == this_machine() != ""
    began = seconds_since_boot()
    time.sleep(0.01)
    assert seconds_since_boot() > began
