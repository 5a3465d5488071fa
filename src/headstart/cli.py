"""Entry points `headstart` and `headstart-report`: arguments in, exit code out. Nothing heavy is imported at the top."""

import argparse
import os
import signal
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from headstart import config
from headstart.errors import UserError

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

SWEEP_ONLY = ("search", "budget", "n_trials", "confirm_seeds", "jobs", "dry_run", "lr_low", "lr_high")


def main() -> None:
    """`headstart`: one run, or with -m a sweep."""
    sys.excepthook = _explain
    signal.signal(signal.SIGTERM, _stop)
    try:
        if any(word.startswith("resume=") for word in sys.argv[1:]):
            sys.argv[1:] = _resume_arguments(sys.argv[1:])
        hydra.main(config_path="pkg://headstart.conf", config_name="config", execution_whitelist=config.WHITELIST)(
            job
        )()
    except KeyboardInterrupt:
        _say_how_to_resume()
        sys.exit(130)
    except UserError as error:
        sys.exit(_refuse(error))


def _stop(*_: Any) -> None:
    from headstart import current

    current.stop = True
    _say_how_to_resume()
    raise SystemExit(143)


def _say_how_to_resume() -> None:
    here = f"headstart resume={HydraConfig.get().runtime.output_dir}" if _in_single_run() else "the same command"
    print(f"interrupted; run {here} to go on from the last finished epoch", file=sys.stderr)


def _in_single_run() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.RUN


def _refuse(error: Exception) -> int:
    print(f"headstart: {error}", file=sys.stderr)
    return 1


def _explain(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print a user's mistake as its text; everything else as Python does."""
    if isinstance(error, UserError):
        _refuse(error)
    else:
        sys.__excepthook__(kind, error, traceback)


def job(cfg: DictConfig) -> float | None:
    """One job as Hydra calls it; returns the objective: best validation accuracy in percent."""
    from headstart import console, current
    from headstart.job import run

    hydra_cfg = HydraConfig.get()
    single = hydra_cfg.mode == RunMode.RUN
    if not single and cfg.phase == "run":
        cfg.phase = "search"
    confirming = cfg.phase == "confirm" and current.trial is not None  # launched by a study, not typed
    run_dir = Path(hydra_cfg.runtime.output_dir)
    title = f"{hydra_cfg.runtime.choices['model']} lr={cfg.lr:g}"
    with console.watcher(cfg.epochs, title, bar=single) as watcher:
        reads_test = confirming or (single and cfg.phase == "run")
        result = run(cfg, dict(hydra_cfg.runtime.choices), run_dir, reads_test=reads_test, watcher=watcher)
    if single:
        console.print_run(result, run_dir)
    return result.get("val_accuracy")


class Check(Callback):
    """Hydra callback that refuses mistakes before a folder is made; raising SystemExit is how a callback can stop Hydra."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Check a single run."""
        self._check(config, multirun=False)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Check a sweep, and make its folder: the study's database is opened before any job makes one."""
        self._check(config, multirun=True)

    def on_job_end(self, config: DictConfig, job_return: "JobReturn", **_: Any) -> None:
        """Nothing yet; kept so that exporters know where to hook in."""

    def _check(self, cfg: DictConfig, multirun: bool) -> None:
        try:
            check_arguments(cfg, multirun)
            config.check(cfg)
            folder = Path(cfg.hydra.sweep.dir if multirun else cfg.hydra.run.dir)
            if not multirun and cfg.resume is None and (folder / "run.json").exists():
                raise UserError(
                    f"{folder} holds a run already; go on with it by resume={folder} or name another folder"
                )
            _make_folder(folder if multirun else folder.parent)
        except UserError as error:
            raise SystemExit(_refuse(error)) from None


def check_arguments(cfg: DictConfig, multirun: bool) -> None:
    """Refuse what was typed but can't mean what the user wants. Raises UserError."""
    from headstart.records import valid_name

    typed = {_key(o): o for o in [*cfg.hydra.overrides.task, *cfg.hydra.overrides.hydra]}
    for kind in ("name", "arm"):
        if cfg[kind] is not None:
            valid_name(cfg[kind])
    if "optimizer.lr" in typed:
        raise UserError(f"{typed['optimizer.lr']}: the learning rate of every optimizer is set by lr=...")
    if typed.get("phase", "phase=run").partition("=")[2] not in ("run", "search"):
        raise UserError(f"{typed['phase']}: confirmation and source runs are started by a study, never by hand")
    if multirun:
        for key in ("seed", "split_seed"):
            if any(c in typed.get(key, "") for c in ",("):
                raise UserError(f"{typed[key]}: seeds are not searched over; confirm_seeds=5 repeats the best setting")
        return
    swept = [o for k, o in typed.items() if k in SWEEP_ONLY or k.startswith("hydra.sweeper")]
    study = cfg.hydra.runtime.choices.get("experiments")
    if swept or (study and _is_sweep(study)):
        what = swept[0] if swept else f"experiments={study}"
        raise UserError(f"{what} belongs to a sweep; add -m: headstart -m {' '.join(cfg.hydra.overrides.task)}")


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def _is_sweep(study: str) -> bool:
    node = OmegaConf.load(config.experiments_folder() / f"{study}.yaml")
    entries = " ".join(str(k) for e in node.get("defaults", []) if isinstance(e, DictConfig) for k in e)
    return OmegaConf.select(node, "hydra.sweeper") is not None or "search" in entries or "sweeper" in entries


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "no permission to write")
    except OSError as error:
        raise UserError(
            f"{folder} can't be written ({error.strerror}); start headstart in a folder where it can"
        ) from None


def _resume_arguments(arguments: list[str]) -> list[str]:
    """Replace resume=DIR by what DIR was started with; refuse overrides beside it that would change the run."""
    from hydra import compose, initialize_config_module

    from headstart.records import read_json

    folder = Path(next(a for a in arguments if a.startswith("resume=")).partition("=")[2])
    rest = [a for a in arguments if not a.startswith("resume=")]
    saved = folder / ".hydra"
    if not (saved / "config.yaml").exists() or not (saved / "overrides.yaml").exists():
        raise UserError(f"resume={folder}: no run was started there; give a folder that holds .hydra/config.yaml")
    if (folder / "result.json").exists():
        state = read_json(folder / "result.json").get("state")
    if (folder / "result.json").exists() and state != "FAILED":
        raise UserError(f"resume={folder}: this run has ended already ({state}); see {folder / 'result.json'}")
    before = OmegaConf.to_container(OmegaConf.load(saved / "config.yaml"))
    words = [*OmegaConf.to_container(OmegaConf.load(saved / "overrides.yaml")), *rest]
    with initialize_config_module("headstart.conf"):
        now = OmegaConf.to_container(compose("config", [w for w in words if not w.startswith("-")]))
    changed = [c for k in now if k not in config.DESCRIBING for c in config._differences(before.get(k), now[k], k)]
    if changed:
        raise UserError(f"resume={folder} goes on with the run as it was; {', '.join(changed)} would change it")
    phase = [f"phase={before['phase']}"] if before.get("phase", "run") != "run" else []
    return [
        *words,
        *phase,
        f"resume={config.override_value(str(folder))}",
        f"hydra.run.dir={config.override_value(str(folder))}",
    ]


def report() -> None:
    """`headstart-report DIR`: collate the runs below DIR into CSV tables."""
    parser = argparse.ArgumentParser(
        prog="headstart-report", description="Collate runs into CSV tables: DIR/tables/*.csv."
    )
    parser.add_argument("folder", type=Path, help="a study such as outputs/quickstart, or outputs/runs")
    folder = parser.parse_args().folder
    try:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder; give one that holds runs, such as outputs/quickstart")
        from headstart import console, tables

        console.print_tables(tables.trials(folder), tables.write_tables(folder))
    except UserError as error:
        sys.exit(_refuse(error))


if __name__ == "__main__":
    main()
