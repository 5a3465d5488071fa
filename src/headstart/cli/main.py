"""Entry point `headstart`: arguments in, exit code out. Nothing heavy at the top."""

import contextlib
import gc
import os
import signal
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from headstart.config import (
    WHITELIST,
    check_typed,
    check_values,
    check_words,
    expand_resume,
    explain,
    explain_value,
    read_run_config,
)
from headstart.errors import UserError


def main() -> None:
    """`headstart`: one run, or with -m a sweep."""
    signal.signal(signal.SIGTERM, _stop)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # so that Hydra hands its errors over instead of printing them
    try:
        check_words(sys.argv[1:])
        sys.argv[1:] = expand_resume(sys.argv[1:])
        hydra.main(config_path="pkg://headstart.conf", config_name="config", execution_whitelist=WHITELIST)(job)()
    except KeyboardInterrupt:
        _say_how_to_resume()
        sys.exit(130)
    except UserError as error:
        sys.exit(_refuse(str(error)))
    except InterpolationResolutionError as error:
        sys.exit(_refuse(explain_value(error)))
    except CompactHydraException as error:
        sys.exit(_refuse(explain(error, sys.argv[1:])))


def _stop(*_: Any) -> None:
    from headstart.training import trial_context as current

    current.stop = True
    _say_how_to_resume()
    raise SystemExit(143)


def _say_how_to_resume() -> None:
    here = f"headstart resume={HydraConfig.get().runtime.output_dir}" if _in_single_run() else "the same command"
    print(f"interrupted; run {here} to go on, a network from its last checkpoint", file=sys.stderr)


def _in_single_run() -> bool:
    begun = HydraConfig.initialized() and not OmegaConf.is_missing(HydraConfig.get().runtime, "output_dir")
    return begun and HydraConfig.get().mode == RunMode.RUN


def _refuse(text: str) -> int:
    print(f"headstart: {text}", file=sys.stderr)
    return 1


def job(cfg: DictConfig) -> float | None:
    """One job as Hydra calls it; returns the objective: best validation accuracy in percent."""
    gc.disable()  # importing torch makes a million objects, none of them garbage
    try:
        from headstart.store import holding_lock
        from headstart.training import print_run, train_run, watcher
        from headstart.training import trial_context as current
    finally:
        gc.enable()
    hydra_cfg = HydraConfig.get()
    single = hydra_cfg.mode == RunMode.RUN
    if not single and cfg.phase == "run":
        cfg.phase = "search"
    confirming = cfg.phase == "confirm" and current.trial is not None  # launched by a study, not typed
    run_dir = Path(hydra_cfg.runtime.output_dir)
    # Locked where `resume=` was typed twice within the seconds that a start takes: each would train and read the test.
    alone = holding_lock(run_dir / ".running", wait=False) if single else contextlib.nullcontext(True)
    with alone as is_alone:
        if not is_alone:
            raise SystemExit(_refuse(f"{run_dir}: this run is going on in another process"))
        reads_test = confirming or (single and cfg.phase == "run")
        try:
            run_config = read_run_config(cfg, hydra_cfg.runtime.choices)
            with watcher(run_config.values.epochs, run_config.title, bar=single) as onlooker:
                result = train_run(run_config, run_dir, reads_test=reads_test, watcher=onlooker)
        except (UserError, InterpolationResolutionError) as error:
            if not single:
                raise  # to the sweeper
            if cfg.resume is None:
                _remove_if_not_begun(run_dir)
            if isinstance(error, UserError):
                raise SystemExit(_refuse(str(error))) from None
            raise  # to `main`
        except KeyboardInterrupt:
            if not single:
                raise
            _say_how_to_resume()  # now: Hydra forgets the folder on the way out
            raise SystemExit(130) from None
    if single:
        print_run(result, run_dir)
    return result.get("val_accuracy")


def _remove_if_not_begun(run_dir: Path) -> None:
    """Remove what this process wrote, and nothing else, of a run that was refused before it trained."""
    if (run_dir / "run.json").exists():
        return
    for name in ("config.yaml", "hydra.yaml", "overrides.yaml"):
        (run_dir / ".hydra" / name).unlink(missing_ok=True)
    for name in ("result.json", ".lock", ".running", "log"):
        (run_dir / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not empty: there was more before
        for folder in (run_dir / ".hydra", run_dir, *run_dir.parents[:2]):
            folder.rmdir()


class Check(Callback):
    """Hydra callback that refuses mistakes before a folder is made; SystemExit is how a callback can stop Hydra."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Check a single run."""
        self._check(config, multirun=False)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Check a sweep, and make its folder: the study's database is opened before any job makes one."""
        self._check(config, multirun=True)

    def _check(self, cfg: DictConfig, multirun: bool) -> None:
        HydraConfig.instance().set_config(deepcopy(cfg))  # so that ${hydra:...} has a value as early as here
        try:
            check_typed(cfg, multirun)
            check_values(cfg)
            _check_device(cfg)
            folder = Path(cfg.hydra.sweep.dir if multirun else cfg.hydra.run.dir)
            if not multirun and cfg.resume is None and (folder / "run.json").exists():
                raise UserError(
                    f"{folder} holds a run already; go on with it by resume={folder} or name another folder"
                )
            if folder.is_file():
                raise UserError(f"{folder} is a file; name a folder by {'name' if multirun else 'hydra.run.dir'}=...")
            if not (multirun and cfg.dry_run):
                own = multirun and cfg.hydra.runtime.choices["hydra/sweeper"] == "optuna"  # its database goes there
                _make_folder(folder if own else folder.parent)
        except UserError as error:
            raise SystemExit(_refuse(str(error))) from None
        except OmegaConfBaseException as error:  # Hydra would warn of it and go on
            raise SystemExit(_refuse(explain_value(error))) from None
        finally:
            HydraConfig.instance().cfg = None


def _check_device(cfg: DictConfig) -> None:
    """Refuse a device that this machine lacks, unless the jobs run elsewhere; `auto` and `cpu` need no look."""
    elsewhere = cfg.hydra.runtime.choices.get("hydra/launcher", "").startswith("submitit")
    if cfg.device not in ("auto", "cpu") and not elsewhere:
        from headstart.training import resolve_device

        resolve_device(cfg.device)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "no permission to write")
    except OSError as error:
        raise UserError(
            f"{folder} can't be written ({error.strerror}); start headstart in a folder where it can"
        ) from None


if __name__ == "__main__":
    main()
