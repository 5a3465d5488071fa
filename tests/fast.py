"""`make test ARGS=--fast`: an answer within a minute, from the tests that are known to be quick.

Every run notes how long each test took in .pytest_cache. --fast takes those that took next to no time; of tests that
were never timed here, as all are at first, the first few of each file. So there is no list of quick tests to keep.
"""

import functools
import pkgutil
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

NOTED = "headstart/seconds"  # in .pytest_cache
QUICK_SECONDS = 0.15
FIRST_OF_FILE = 3
TAKES_SECONDS = {  # a test that was never timed ends as skipped when it comes to one of these
    "os.fork": "starts a process",
    "subprocess.Popen.__init__": "starts a process",
    "headstart.cli.main._call_hydra": "gives a whole command to Hydra",
    "headstart.training.estimator_trainer.EstimatorTrainer.run": "trains",
    "headstart.training.trainer.NetworkTrainer.run": "trains",
    "matplotlib.figure.Figure.draw": "draws a picture",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    said = "an answer in a minute: only tests that took next to no time, or, where none was timed, some of each file"
    parser.addoption("--fast", action="store_true", help=said)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and hasattr(config, "cache"):  # the one process that hears of all tests
        config.pluginmanager.register(Stopwatch(config))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--fast"):
        return
    noted, untimed = config.cache.get(NOTED, {}) if hasattr(config, "cache") else {}, Counter()
    chosen, left_out = [], []
    for item in items:
        untimed[item.path] += item.nodeid not in noted
        quick = noted.get(item.nodeid, 0 if untimed[item.path] <= FIRST_OF_FILE else QUICK_SECONDS) < QUICK_SECONDS
        (chosen if quick else left_out).append(item)
    items[:] = chosen
    config.hook.pytest_deselected(items=left_out)


class Stopwatch:
    """Notes the seconds of each test, with those of the fixtures made for it."""

    def __init__(self, config: pytest.Config):
        self.config = config
        self.seconds: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.skipped and "which --fast leaves out" in str(report.longrepr):
            self.seconds[report.nodeid] += QUICK_SECONDS

    def pytest_sessionfinish(self) -> None:
        """A fast run adds what was not timed before: who comes first pays for all imports, and isn't slow for that."""
        before, now = self.config.cache.get(NOTED, {}), {k: round(v, 3) for k, v in self.seconds.items()}
        self.config.cache.set(NOTED, now | before if self.config.getoption("--fast") else before | now)


@pytest.fixture(scope="session", autouse=True)
def without_what_takes_seconds(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for place, what in TAKES_SECONDS.items() if request.config.getoption("--fast") else ():
            patch.setattr(place, skipping(pkgutil.resolve_name(place), f"{what}, which --fast leaves out"))
        yield


def skipping(function: Callable, reason: str) -> Callable:
    """A function that looks like this one and skips the test that calls it, or that needs the fixture that does."""

    @functools.wraps(function)
    def skip(*_: object, **__: object) -> None:
        pytest.skip(reason)

    return skip
