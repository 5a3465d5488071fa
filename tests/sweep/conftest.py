"""What the tests of sweeps share: whole sweeps in this process, and plans of those that are not run."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import toy
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig

from headstart.sweep.plan import Plan, make_plan
from headstart.sweep.scheduler import Scheduler
from headstart.sweep.settings import read_settings
from headstart.sweep.storage import close_storages
from headstart.training import trial_context
from sweep.helpers_sweep import SMALL, open_scheduler
from sweep.postgres import Server, free_port


@pytest.fixture
def sweep(tmp_path, monkeypatch, capfd):
    """`sweep(*words)` runs `headstart -m` in tmp_path with the toy network, in-process; returns (exit code, text)."""
    monkeypatch.chdir(tmp_path)

    def run(
        *words: str, m: str = "-m", preflight: bool = False, plots: bool = False, **environment: str
    ) -> tuple[int, str]:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["headstart", *([m] if m else []), *SMALL, *words])
            patch.setenv("OMP_NUM_THREADS", "1")
            patch.delenv("HEADSTART_SWEEP", raising=False)
            for key, value in environment.items():
                patch.setenv(key, value)
            patch.setattr("headstart.cli.job.run_job", toy.job)
            patch.setattr("headstart.cli.interrupts.signal.signal", lambda *_: None)
            if not plots:  # which takes as long as the rest
                patch.setattr("headstart.report.figures.draw_all", lambda results: [])
            if not preflight:
                patch.setattr("headstart.sweep.preflight.run_preflight", lambda cfgs: None)
                patch.setattr("headstart.sweep.preflight.measured_paces", lambda cfgs, elsewhere: {})
            code = 0
            try:
                toy.cli.main()
            except SystemExit as end:
                code = end.code
            finally:
                GlobalHydra.instance().clear()
                trial_context.trial = None
                close_storages()
                os.environ.pop("HEADSTART_SWEEP", None)
        text = capfd.readouterr()
        return code or 0, text.out + text.err

    return run


@pytest.fixture
def composed(tmp_path, monkeypatch) -> Iterator[Callable[..., DictConfig]]:
    """`composed(*words)` is the configuration of `headstart -m` with these words, as Hydra hands it to the sweeper."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADSTART_SWEEP", "sweep-unnamed")
    with initialize_config_module("headstart.conf"):
        loader = GlobalHydra.instance().config_loader()
        yield lambda *words: loader.load_configuration("config", ["data=digits", *words], RunMode.MULTIRUN)


@pytest.fixture
def planned(composed) -> Callable[..., Plan]:
    """`planned(*words)` is the plan of `headstart -m` with these words."""

    def plan(*words: str) -> Plan:
        config = composed(*words)
        settings = read_settings(dict(config.hydra.sweeper), config)
        return make_plan(settings, GlobalHydra.instance().config_loader(), config, list(config.hydra.overrides.task))

    return plan


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A running PostgreSQL server of this process's tests."""
    pytest.importorskip("psycopg")
    found = Server(Path(f"/tmp/headstart-postgres-{os.getpid()}"), free_port(), "s3cr3t-hunter2")
    try:
        found.create()
        found.start()
        yield found
    finally:
        found.stop()
        shutil.rmtree(found.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(server: Server) -> str:
    """URL of a database of that server, with its password."""
    return server.url()


@pytest.fixture
def shared_study(postgres: str, request: pytest.FixtureRequest) -> Iterator[Callable[..., Scheduler]]:
    """`shared_study(place, **changes)`: a scheduler of this test's own study on the server, its folder in `place`."""

    def opened(place: Path, **changes: Any) -> Scheduler:
        name = f"t{abs(hash(request.node.nodeid)) % 10**9}"
        settings = dict(arms=["a"], url=postgres, name=name, lease_seconds=1.0, elsewhere="join") | changes
        made.append(open_scheduler(place, **settings))
        return made[-1]

    made: list[Scheduler] = []
    yield opened
    for scheduler in made:  # claims that a test has left
        scheduler.state.claims.server.heartbeat.clear()
    close_storages()


@pytest.fixture
def database(server: Server, request, monkeypatch) -> str:
    """URL of a database of the test's own, which the commands that it starts find."""
    name = f"d{abs(hash(request.node.nodeid)) % 10**9}"
    server.execute(f"CREATE DATABASE {name}")
    monkeypatch.setenv("HEADSTART_STORAGE", server.url(name))
    yield server.url(name)
    close_storages()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> list[dict[str, str]]:
    """The rows of the toy study that nobody disturbs."""
    from sweep.test_kills import TOY, TOY_WORDS, finish, table

    folder = tmp_path_factory.mktemp("undisturbed")
    finish(folder, TOY, *TOY_WORDS)
    return table(folder)
