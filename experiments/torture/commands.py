"""Commands of headstart in processes that are forked from one which has imported everything: a second each, not ten."""

import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

IMPORTED = (
    "alembic.command",
    "alembic.migration",
    "hydra.experimental.callback",
    "hydra.main",
    "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper",
    "jinja2",
    "matplotlib.pyplot",
    "mako.template",
    "optuna",
    "pandas",
    "pydantic.type_adapter",
    "rich.table",
    "scipy.io",
    "sklearn.datasets",
    "sklearn.linear_model",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.orm",
    "timm",
    "torch",
    "triton.language",
    "headstart.cli.checks",
    "headstart.cli.job",
    "headstart.cli.main",
    "headstart.cli.report",
    "headstart.data.sources",
    "headstart.report.figures",
    "headstart.report.page",
    "headstart.sweep.launch",
    "headstart.training.prepare",
    "headstart.training.run",
)

MOST_LINES = 12  # of a refusal


@dataclass
class Ended:
    """How a command ended, and what it said."""

    code: int  # minus the number of the signal that killed it
    text: str
    seconds: float


def warm_up(plots: bool = False) -> None:
    """Import what a sweep and its report import, so that no child has to; nothing may start a thread.

    plots: whether reports draw any, which takes longer than all else.
    """
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MPLBACKEND="Agg", COLUMNS="120")
    for name in IMPORTED:
        importlib.import_module(name)
    sys.modules["torch"].set_num_threads(1)
    if not plots:
        sys.modules["headstart.report.figures"].draw_all = lambda *_: []


def begin(folder: Path, words: list[str], log: Path, before: Callable[[], object] | None = None) -> int:
    """Begin `headstart WORDS` in a folder, in a process group of its own; return its number.

    before: called in the process, all being ready for the command.
    """
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        with open(log, "wb") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        sys.argv = ["headstart", *words]
        from headstart.cli.main import main

        if before is not None:
            before()
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def finish(process: int, log: Path, began: float, limit: float = 600.0) -> Ended:
    """Wait until a command has ended; one that takes longer than `limit` seconds is killed, and says so by its code."""
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return Ended(code, log.read_text(errors="replace"), time.monotonic() - began)
        if time.monotonic() - began > limit:
            os.killpg(process, signal.SIGKILL)
        time.sleep(0.02)


def run(folder: Path, *words: str, limit: float = 600.0) -> Ended:
    """Run `headstart WORDS` in a folder to its end."""
    log, began = folder / "said.txt", time.monotonic()
    return finish(begin(folder, list(words), log), log, began, limit)


def whole_study(place: Path, words: tuple[str, ...]) -> float:
    """Run a study that nobody disturbs; return the seconds that it took."""
    place.mkdir(parents=True)
    ended = run(place, *words)
    if ended.code:
        sys.exit(f"the undisturbed study ended with {ended.code}:\n{ended.text[-2000:]}")
    return ended.seconds


def answer(folder: Path, *words: str) -> tuple[int, str]:
    """Run `headstart WORDS` in this process, in a folder; return its exit code and what it said, a traceback included.

    For a process that was forked to be lost: the folder, the outputs and Hydra's state stay as the command leaves them.
    """
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    from headstart.cli.main import main

    os.chdir(folder)
    os.environ["HYDRA_FULL_ERROR"] = "1"
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
    said = os.memfd_create("said")
    for stream in (1, 2):
        os.dup2(said, stream)
    sys.argv, code = ["headstart", *words], 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    sys.stderr.flush()
    text = os.pread(said, 10**7, 0).decode(errors="replace")
    os.close(said)
    return code, text


def fault_of(code: int, text: str) -> str:
    """What is wrong with an answer: a traceback, or a refusal that is none of ours; "" where nothing is."""
    if "Traceback" in text or code not in (0, 1):
        return f"exit {code}: {text[-400:]}"
    is_clear = "headstart" in text and len(text.splitlines()) <= MOST_LINES
    return "" if code == 0 or is_clear else f"an unclear refusal: {text[-400:]}"
