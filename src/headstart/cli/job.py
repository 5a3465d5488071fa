"""One job as Hydra calls it: a single run, or one of a sweep."""

import contextlib
import gc
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import InterpolationResolutionError

from headstart.cli.console import lost_output, refuse
from headstart.cli.run_summary import print_run
from headstart.config import read_run_config
from headstart.errors import UserError
from headstart.store import AT_WORK, holding_lock


def run_job(cfg: DictConfig) -> float | None:
    """Train, or go on with, the run that Hydra composed; return the objective: best validation accuracy in percent."""
    with _without_garbage_collection():  # importing torch makes a million objects, none of them garbage
        from headstart.training import train_run, trial_context, watcher
    hydra_cfg = HydraConfig.get()
    single = hydra_cfg.mode == RunMode.RUN
    if not single and cfg.phase == "run":
        cfg.phase = "search"
    run_dir = Path(hydra_cfg.runtime.output_dir)
    # Locked where `resume=` was typed twice within the seconds that a start takes: each would train and read the test.
    alone = holding_lock(run_dir / AT_WORK, wait=False) if single else contextlib.nullcontext(True)
    with alone as is_alone:
        if not is_alone:
            raise SystemExit(refuse(f"{run_dir}: this run is going on in another process"))

        def train(reads_test: bool) -> dict[str, Any]:
            run_config = read_run_config(cfg, hydra_cfg.runtime.choices)
            with watcher(run_config.values.epochs, run_config.title, bar=single) as watching:
                return train_run(run_config, run_dir, reads_test=reads_test, watcher=watching)

        if single:
            with trial_context.working(_resuming(run_dir)):
                result = _train_single(train, cfg, run_dir)
        else:  # a confirmation that was typed, not launched by a study, doesn't read the test split
            result = train(reads_test=cfg.phase == "confirm" and trial_context.trial is not None)
    if single:
        trial_context.goes_on_by = ""  # it has ended
        try:
            print_run(result, run_dir)
            sys.stdout.flush()
        except OSError as error:  # Hydra would call it an error of the job
            raise SystemExit(lost_output(error)) from None
    return result.get("val_accuracy")


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _train_single(train: Callable[..., dict[str, Any]], cfg: DictConfig, run_dir: Path) -> dict[str, Any]:
    """A run of its own: what the user can mend ends it with a sentence; a sweep's errors go to the sweeper."""
    try:
        return train(reads_test=cfg.phase == "run")
    except (UserError, InterpolationResolutionError) as error:
        if cfg.resume is None:
            _remove_if_not_begun(run_dir)
        if isinstance(error, UserError):
            raise SystemExit(refuse(str(error))) from None
        raise  # to `main`


def _resuming(run_dir: Path) -> str:
    """The command that goes on with the run; "" where Hydra was told to record nothing to go on with."""
    recorded = (run_dir / ".hydra" / "overrides.yaml").exists()
    return f"headstart {shlex.quote(f'resume={run_dir}')}" if recorded else ""


def _remove_if_not_begun(run_dir: Path) -> None:
    """Remove what this process wrote, and nothing else, of a run that was refused before it trained."""
    if (run_dir / "run.json").exists():
        return
    for name in ("config.yaml", "hydra.yaml", "overrides.yaml"):
        (run_dir / ".hydra" / name).unlink(missing_ok=True)
    for name in ("result.json", ".lock", ".running", "log"):
        (run_dir / name).unlink(missing_ok=True)
    here = Path.cwd()
    made = [folder for folder in (run_dir, *run_dir.parents[:2]) if folder != here and folder not in here.parents]
    with contextlib.suppress(OSError):  # not empty: there was more before
        for folder in (run_dir / ".hydra", *made):
            folder.rmdir()
