"""`headstart` with a made-up network, for tests of sweeps: the real configuration and study, epochs that cost nothing.

Accuracy depends on learning rate, model, epoch and seed alone. Environment: TOY_SECONDS, time per epoch; TOY_FAILS,
`arm:number:phase` of the runs that raise, TOY_DIES of those that end their process, separated by commas; TOY_COMMANDS:
workers are no forks, but commands.
"""

import math
import os
import sys
import time
import zlib
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from headstart import store
from headstart.cli import job as jobs
from headstart.cli import main as cli
from headstart.config import read_run_config
from headstart.report import figures
from headstart.sweep import preflight, workers
from headstart.training import trial_context


def accuracy(cfg: DictConfig, epoch: int) -> float:
    """Validation accuracy in percent: best at 1e-3, equal for equal settings."""
    noise = zlib.crc32(repr((cfg.lr, cfg.seed, cfg.model.get("name"), epoch)).encode()) % 100 / 100
    return 90 - 9 * abs(math.log10(cfg.lr) + 3) - 5 / epoch + noise


def facts_of(cfg: DictConfig, phase: str) -> dict[str, Any]:
    """What a run's record says of its settings."""
    choices = HydraConfig.get().runtime.choices
    facts = trial_context.facts() | dict(study=cfg.name, arm=cfg.arm, phase=phase)
    facts |= dict(data="toy", data_sha256="toy")
    facts |= dict(lr=cfg.lr, seed=cfg.seed, epochs=cfg.epochs, train_size=cfg.data.train_size, model=choices["model"])
    return facts | dict(config_hash=read_run_config(cfg, choices).config_hash())


def break_if_asked(run: str) -> None:
    """Raise, or end the process, where the environment names this run."""
    if run in os.environ.get("TOY_FAILS", ""):
        raise RuntimeError("the toy broke")
    if run in os.environ.get("TOY_DIES", ""):
        time.sleep(0.5)  # so that others are at work
        os._exit(9)


def job(cfg: DictConfig) -> float:
    """As headstart.cli.job.run_job: phases, resuming by epoch, pruning, divergence, one reading of the test split."""
    multirun = HydraConfig.get().mode == RunMode.MULTIRUN
    phase = "search" if multirun and cfg.phase == "run" else cfg.phase
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    ended = store.read_run(run_dir)
    if ended["state"] in store.FINISHED and ended["state"] != "FAILED":
        return ended.get("val_accuracy")
    store.set_aside(run_dir / "result.json")
    facts = facts_of(cfg, phase)
    store.write_record(run_dir / "run.json", facts)
    break_if_asked(f"{cfg.arm}:{facts.get('number')}:{phase}")
    state, reason, values = "COMPLETE", "", []
    for epoch in range(1, cfg.epochs + 1):
        if not (again := len(store.read_epochs(run_dir).rows) >= epoch):
            if cfg.lr > 1e3:
                state, reason = "DIVERGED", "loss is not finite"
                break
            time.sleep(float(os.environ.get("TOY_SECONDS", 0)))
            row = dict(epoch=epoch, steps=epoch, images=10 * epoch, lr=cfg.lr, val_accuracy=accuracy(cfg, epoch))
            store.append_epoch(run_dir, row)
        values.append(accuracy(cfg, epoch))
        if reason := trial_context.report(values[-1], epoch, goes_on=again or epoch == cfg.epochs):
            state = "PRUNED"
            break
    best = max(values, default=None)
    if state == "COMPLETE" and best < 60:
        state, reason = "CHANCE", "not above guessing"
    result = facts | dict(state=state, reason=reason, val_accuracy=best, epochs_run=len(values), test_reads=0)
    if phase == "confirm" and state == "COMPLETE":
        result.update(test_reads=1, test_accuracy=best - 1)
    (run_dir / "best.safetensors").write_bytes(b"weights")
    store.write_record(run_dir / "result.json", result, ("epochs.csv",))
    return best


def main() -> None:
    """The command line."""
    jobs.run_job = job
    preflight.run_preflight = lambda cfgs: None  # it makes the real networks
    figures.draw_all = lambda results: []  # which takes as long as the rest
    workers.PROGRAM = [sys.executable, __file__]
    if os.environ.get("TOY_COMMANDS"):
        workers.can_fork = lambda: False
    cli.main()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    import toy  # jobs in other processes have to find it by name

    toy.main()
