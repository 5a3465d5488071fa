"""What is refused before a run or a sweep makes its folder: the Hydra callback `check` of conf/config.yaml."""

import os
import shlex
from copy import deepcopy
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from headstart.cli.messages import refuse
from headstart.config import check_typed, check_values, explain_value
from headstart.errors import UserError


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
            _check_folder(cfg, multirun)
        except UserError as error:
            raise SystemExit(refuse(str(error))) from None
        except OmegaConfBaseException as error:  # Hydra would warn of it and go on
            raise SystemExit(refuse(explain_value(error))) from None
        finally:
            HydraConfig.instance().cfg = None


def _check_device(cfg: DictConfig) -> None:
    """Refuse a device that this machine lacks, unless the jobs run elsewhere; `auto` and `cpu` need no look."""
    elsewhere = cfg.hydra.runtime.choices.get("hydra/launcher", "").startswith("submitit")
    if cfg.device not in ("auto", "cpu") and not elsewhere:
        from headstart.training import resolve_device

        resolve_device(cfg.device)


def _check_folder(cfg: DictConfig, multirun: bool) -> None:
    """Refuse a folder that is taken or cannot be written; make it, or its parent where Hydra makes it."""
    folder = Path(cfg.hydra.sweep.dir if multirun else cfg.hydra.run.dir)
    if not multirun and cfg.resume is None and (folder / "run.json").exists():
        word = shlex.quote(f"resume={folder}")
        raise UserError(f"{folder} holds a run already; go on with it by {word} or name another folder")
    if folder.is_file():
        raise UserError(f"{folder} is a file; name a folder by {'name' if multirun else 'hydra.run.dir'}=...")
    if not (multirun and cfg.dry_run):
        own = multirun and cfg.hydra.runtime.choices["hydra/sweeper"] == "optuna"  # its database goes there
        _make_folder(folder if own else folder.parent)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "no permission to write")
    except OSError as error:
        raise UserError(
            f"{folder} can't be written ({error.strerror}); start headstart in a folder where it can"
        ) from None
