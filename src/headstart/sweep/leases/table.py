"""The tables of leases beside Optuna's own, and every statement on them. All times are the server's.

A run's row has a token, which grows each time that the run is handed out: who has an older one is fenced off. So has a
study's, for its lock.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

# Two processes that begin at once would both make the tables; the first number that nobody else is likely to use.
MAKING = 4_857_301_112_358
TABLES = """
CREATE TABLE IF NOT EXISTS headstart_studies (name text PRIMARY KEY, token bigint NOT NULL, settings text);
CREATE TABLE IF NOT EXISTS headstart_leases (
    study text, run text, token bigint NOT NULL, owner text, expires timestamptz NOT NULL,
    machine text, folder text, place text, outcome text, digest text, val_size integer,
    PRIMARY KEY (study, run)
)
"""


class Key(NamedTuple):
    """A run in the table."""

    study: str  # name/arm, as Optuna's study; the name alone for what comes before the arms
    run: str  # its folder below that of the arm


class Here(NamedTuple):
    """Where a process works, for its row."""

    machine: str  # a boot of a machine
    folder: str  # of the study: an id that lies in it
    place: str  # host:path of it, for people


class Row(NamedTuple):
    """What the table says of a run."""

    study: str
    run: str
    alive: bool  # whether the lease has not run out
    machine: str | None
    folder: str | None
    place: str | None
    outcome: str | None  # state of its result; None of a run that has none yet
    digest: str | None
    val_size: int | None


COLUMNS = (
    "study, run, expires > clock_timestamp() AS alive, machine, folder, place, outcome, digest, val_size "
    "FROM headstart_leases"
)
RUN = "study = :study AND run = :run"
UNTIL = "clock_timestamp() + make_interval(secs => :seconds)"


def wait_for_making(connection: Connection) -> None:
    """Be the only process that makes tables, until the end of the transaction."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), dict(key=MAKING))


def make_tables(connection: Connection) -> None:
    """Make the tables where they are missing."""
    for statement in TABLES.split(";"):
        connection.execute(text(statement))


# ---- the lock of a study


def wait_for_lock(connection: Connection, key: int, seconds: float) -> None:
    """Have the lock until the end of the transaction, in which the server ends a session that is silent for so long."""
    connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = {max(1, round(1000 * seconds))}"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), dict(key=key))


def next_token_of_lock(connection: Connection, name: str) -> int:
    """The token of whoever has the lock now; from the commit on, all earlier ones are fenced off."""
    statement = (
        "INSERT INTO headstart_studies AS s (name, token) VALUES (:name, 1) "
        "ON CONFLICT (name) DO UPDATE SET token = s.token + 1 RETURNING token"
    )
    return connection.execute(text(statement), dict(name=name)).scalar_one()


def has_lock(connection: Connection, name: str, token: int) -> bool:
    """Whether it is the lock's last token, which it stays until the transaction ends."""
    statement = "SELECT 1 FROM headstart_studies WHERE name = :name AND token = :token FOR SHARE"
    return connection.execute(text(statement), dict(name=name, token=token)).first() is not None


def settings_of(connection: Connection, name: str) -> str | None:
    """What was kept of the study's settings."""
    statement = text("SELECT settings FROM headstart_studies WHERE name = :name")
    return connection.execute(statement, dict(name=name)).scalar()


def keep_settings(connection: Connection, name: str, settings: str) -> None:
    """Keep what a folder that joins the study has to agree with."""
    connection.execute(
        text("UPDATE headstart_studies SET settings = :settings WHERE name = :name"),
        dict(name=name, settings=settings),
    )


# ---- leases


def take(connection: Connection, key: Key, owner: str, seconds: float, here: Here, *, forced: bool) -> int | None:
    """Hand the run to `owner` and return its token; None where another's lease has not run out, unless `forced`."""
    statement = f"""
INSERT INTO headstart_leases AS l (study, run, token, owner, expires, machine, folder, place)
VALUES (:study, :run, 1, :owner, {UNTIL}, :machine, :folder, :place)
ON CONFLICT (study, run) DO UPDATE SET token = l.token + 1, owner = excluded.owner, expires = excluded.expires,
    machine = excluded.machine, folder = excluded.folder, place = excluded.place,
    outcome = NULL, digest = NULL, val_size = NULL
WHERE :forced OR l.expires <= clock_timestamp() RETURNING token"""
    values = key._asdict() | here._asdict() | dict(owner=owner, seconds=seconds, forced=forced)
    return connection.execute(text(statement), values).scalar()


def adopt(connection: Connection, key: Key, owner: str, seconds: float, machine: str) -> int | None:
    """The token of a run that `owner` has claimed, whose lease begins again; None where it was handed on."""
    statement = f"UPDATE headstart_leases SET expires = {UNTIL}, machine = :machine WHERE {RUN} AND owner = :owner"
    values = key._asdict() | dict(owner=owner, seconds=seconds, machine=machine)
    return connection.execute(text(f"{statement} RETURNING token"), values).scalar()


def renew(connection: Connection, key: Key, token: int, seconds: float) -> bool:
    """Have the lease begin again, even one that ran out while nobody wanted the run; whether the token still holds."""
    statement = text(f"UPDATE headstart_leases SET expires = {UNTIL} WHERE {RUN} AND token = :token")
    return connection.execute(statement, key._asdict() | dict(token=token, seconds=seconds)).rowcount == 1


def holds(connection: Connection, key: Key, token: int) -> bool:
    """Whether it is the run's last token, which it stays until the transaction ends."""
    statement = text(f"SELECT 1 FROM headstart_leases WHERE {RUN} AND token = :token FOR SHARE")
    return connection.execute(statement, key._asdict() | dict(token=token)).first() is not None


def free(connection: Connection, key: Key, token: int) -> None:
    """End the lease."""
    statement = text(f"UPDATE headstart_leases SET expires = clock_timestamp() WHERE {RUN} AND token = :token")
    connection.execute(statement, key._asdict() | dict(token=token))


def seize(connection: Connection, key: Key, *, forced: bool) -> bool:
    """Fence off whoever has the run, where the lease has run out or it is `forced`; whether nobody has it now."""
    statement = text(
        f"UPDATE headstart_leases SET token = token + 1, owner = NULL, expires = clock_timestamp() WHERE {RUN} "
        "AND (:forced OR expires <= clock_timestamp())"
    )
    seized = connection.execute(statement, key._asdict() | dict(forced=forced)).rowcount == 1
    found = row_of(connection, key)
    return seized or found is None or not found.alive


def end(connection: Connection, key: Key, result: Mapping[str, Any], here: Here, token: int | None = None) -> bool:
    """Note the run's result (outcome, digest, val_size), which lies here; False where the token holds no more."""
    if token is None:  # whoever has the study's lock notes what was found
        statement = """
INSERT INTO headstart_leases (study, run, token, expires, machine, folder, place, outcome, digest, val_size)
VALUES (:study, :run, 1, clock_timestamp(), :machine, :folder, :place, :outcome, :digest, :val_size)
ON CONFLICT (study, run) DO UPDATE SET folder = :folder, place = :place,
    outcome = :outcome, digest = :digest, val_size = :val_size"""
    else:
        statement = (
            "UPDATE headstart_leases SET outcome = :outcome, digest = :digest, val_size = :val_size, "
            f"folder = :folder, place = :place WHERE {RUN} AND token = :token"
        )
    values = key._asdict() | here._asdict() | dict(result) | dict(token=token)
    return connection.execute(text(statement), values).rowcount == 1


def reopen(connection: Connection, key: Key) -> None:
    """Forget who claimed the run, and its result."""
    statement = f"UPDATE headstart_leases SET owner = NULL, outcome = NULL, digest = NULL, val_size = NULL WHERE {RUN}"
    connection.execute(text(statement), key._asdict())


# ---- looking


def row_of(connection: Connection, key: Key) -> Row | None:
    """What the table says of a run."""
    found = connection.execute(text(f"SELECT {COLUMNS} WHERE {RUN}"), key._asdict()).first()
    return None if found is None else Row(*found)


def rows_at_work(connection: Connection, name: str) -> list[Row]:
    """The study's runs that are alive, and its confirmations: what a decision needs to know of."""
    statement = f"SELECT {COLUMNS} WHERE {OF_STUDY} AND (expires > clock_timestamp() OR starts_with(run, 'confirm/'))"
    return [Row(*row) for row in connection.execute(text(statement), _of_study(name))]


def rows_ended(connection: Connection, name: str) -> list[Row]:
    """The study's runs that have a result."""
    statement = f"SELECT {COLUMNS} WHERE {OF_STUDY} AND outcome IS NOT NULL ORDER BY study, run"
    return [Row(*row) for row in connection.execute(text(statement), _of_study(name))]


OF_STUDY = "(study = :name OR starts_with(study, :prefix))"  # no name of a study or an arm has a slash


def _of_study(name: str) -> dict[str, str]:
    return dict(name=name, prefix=f"{name}/")
