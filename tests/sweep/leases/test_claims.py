"""What keeps a study's claims follows from its storage's URL."""

import pytest

from headstart.errors import OutsideFault
from headstart.sweep.leases import LostClaim, claims_of, has_server
from headstart.sweep.leases.by_database import DatabaseClaims
from headstart.sweep.leases.by_flock import FlockClaims


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("sqlite:///study.db", FlockClaims),
        ("sqlite://", FlockClaims),
        ("journal:////x/postgresql/study.log", FlockClaims),
        ("mysql+pymysql://me@host/db", FlockClaims),
        ("postgresql://me@host/db", DatabaseClaims),
        ("postgresql+psycopg://me@host/db", DatabaseClaims),
    ],
)
def test_a_postgresql_server_keeps_leases_and_all_else_has_locks_of_files(tmp_path, url, kind):
    assert type(claims_of("s", tmp_path, url, 60)) is kind
    assert has_server(url) == (kind is DatabaseClaims)
    assert list(tmp_path.iterdir()) == []  # nothing is opened yet


def test_a_lost_claim_is_no_result_of_the_run_that_lost_it():
    assert issubclass(LostClaim, OutsideFault)
