"""What is refused before a run or a sweep makes its folder: the Hydra callback `check` of conf/config.yaml."""

import errno
import os
import re
import shlex
import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from headstart.cli.console import refuse
from headstart.cli.paths import check_paths
from headstart.config import check_typed, check_values, check_without_torch, explain_value, runs_elsewhere
from headstart.errors import UserError
from headstart.store import OUTCOMES, read_run


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
            if not multirun:  # the arms of a sweep are checked one by one
                check_without_torch(cfg)
            _check_device(cfg)
            if not runs_elsewhere(cfg):
                check_paths(cfg)
            _check_folder(cfg, multirun)
        except UserError as error:
            raise SystemExit(refuse(str(error))) from None
        except OmegaConfBaseException as error:  # Hydra would warn of it and go on
            raise SystemExit(refuse(explain_value(error))) from None
        finally:
            HydraConfig.instance().cfg = None


def _check_device(cfg: DictConfig) -> None:
    """Refuse a device that this machine lacks, unless the jobs run elsewhere; `auto` and `cpu` need no look."""
    if cfg.device not in ("auto", "cpu") and not runs_elsewhere(cfg):
        from headstart.training import resolve_device

        resolve_device(cfg.device)


def _check_folder(cfg: DictConfig, multirun: bool) -> None:
    """Refuse a folder that is taken or cannot be written; make it, or its parent where the sweep makes it."""
    folder = Path(cfg.hydra.sweep.dir if multirun else cfg.hydra.run.dir)
    try:
        if not multirun and cfg.resume is None and (folder / "run.json").exists():
            ended = read_run(folder)["state"] in OUTCOMES
            go_on = "" if ended else f"go on with it by {shlex.quote(f'resume={folder}')} or "
            raise UserError(f"{folder} holds a run already; {go_on}name another folder by hydra.run.dir=...")
        if folder.is_file():
            raise UserError(f"{folder} is a file; name a folder by {'name' if multirun else 'hydra.run.dir'}=...")
        if multirun and cfg.dry_run:
            _check_writable(_nearest(folder), by_writing=False)
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        own = not multirun or cfg.hydra.runtime.choices["hydra/sweeper"] == "optuna"  # its database goes there
        place = folder if own or folder.exists() else folder.parent
        place.mkdir(exist_ok=True)
        _check_writable(place, by_writing=True)
    except OSError as error:
        key = "hydra.sweep.dir" if multirun else "hydra.run.dir"
        raise UserError(
            f"{error.filename} can't be written ({error.strerror}); start headstart in a folder where it "
            f"can, or name another by {key}=..."
        ) from None
    if not multirun:
        _check_hydras_own(cfg.hydra.output_subdir)


def _nearest(folder: Path) -> Path:
    """The folder itself, or what there is already of the path to it."""
    return next(place for place in (folder, *folder.parents) if os.path.lexists(place))


def _check_writable(place: Path, by_writing: bool) -> None:
    """Raise OSError where no file can be made; by_writing: try a nameless one, as root may write anywhere."""
    if not place.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(place))
    if not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, "no permission to write", str(place))
    if by_writing:
        try:
            tempfile.TemporaryFile(dir=place).close()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(place)) from None


def _check_hydras_own(name: str | None) -> None:
    """Refuse a place for Hydra's record of the run that is not below the run's folder."""
    if name is not None and not re.fullmatch(r"[\w.-]*\w[\w.-]*", name):
        raise UserError(f"hydra.output_subdir={name}: expected the name of a folder in the run's, such as .hydra")
