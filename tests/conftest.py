"""What the tests share: the command line in a folder of its own, and tiny runs that end within a second or two."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import parsed_once
import pytest
import ready

pytest_plugins = ["fast"]

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments" / "results"  # published tables
TINY = ["data=digits", "data.train_size=100", "epochs=2", "batch_size=32", "threads=1", "augmentation=none"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="takes minutes: make test ARGS=--slow"))


@pytest.fixture(scope="session", autouse=True)
def configuration_files_are_parsed_once() -> Iterator[None]:
    """Commands in this process compose the same files hundreds of times."""
    with pytest.MonkeyPatch.context() as patch:
        parsed_once.keep(patch.setattr)
        yield


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the features that the person's own runs keep."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Undo what a command that ran in this process did to logging: Hydra configures all of it, for good."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger) and logger.name.startswith("headstart"):
            logger.disabled = False
            logger.propagate = True
            logger.setLevel(logging.NOTSET)


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what isn't about plots: drawing them takes seconds."""
    monkeypatch.setattr("headstart.report.figures.draw_all", lambda *_: [])


@pytest.fixture
def headstart(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """`headstart(*words)` runs the command in tmp_path as a process of its own, that needs no imports any more."""
    return lambda *words, **options: ready.run(*words, folder=tmp_path, **options)


@pytest.fixture
def fresh_headstart(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """The same with a fresh interpreter: for what the first imports are part of."""

    def run(
        *words: str, timeout: float = 300, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", "from headstart.cli.main import main; main()", *words]
        variables = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "120"} | (environment or {})
        return subprocess.run(
            command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=timeout, check=False
        )

    return run


def configured(*overrides: str):
    """The configuration of a tiny run (headstart.config.RunConfig)."""
    from hydra import compose, initialize_config_module

    from headstart.config import read_run_config

    with initialize_config_module("headstart.conf"):
        full = compose("config", [*TINY, *overrides], return_hydra_config=True)
    return read_run_config(full, full.hydra.runtime.choices)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`run(*overrides)` does one run in a new folder, or the one given; returns (result, folder)."""
    import torch

    from headstart.store import read_record
    from headstart.training import Lines, train_run

    monkeypatch.chdir(tmp_path)
    threads, folders = torch.get_num_threads(), iter(range(100))

    def once(*overrides: str, reads_test: bool = True, folder: Path | None = None):
        run_config = configured(*overrides)
        if folder is None:
            folder = tmp_path / f"run-{next(folders)}"
            folder.mkdir()
        watcher = Lines(run_config.values.epochs)
        result = train_run(run_config, folder, reads_test=reads_test, watcher=watcher)
        assert result == read_record(folder / "result.json")[0] or result["state"] == "DIVERGED"
        return result, folder

    yield once
    torch.set_num_threads(threads)


TIMED = ("seconds_train", "images_per_second", "latency_seconds", "latency_p95_seconds", "answers_per_second")


def untimed(result: dict) -> dict:
    """A run's result without what depends on the clock."""
    return {k: v for k, v in result.items() if k not in TIMED}


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content, to see that nothing was changed."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
