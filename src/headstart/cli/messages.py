"""What a command says on stderr where it ends before its time."""

import shlex
import sys


def refuse(text: str, command: str = "headstart") -> int:
    """Print why the command does not go on; return its exit code."""
    print(f"{command}: {text}", file=sys.stderr)
    return 1


def say_how_to_resume() -> None:
    """Print which command goes on with the run or sweep that was interrupted."""
    folder = _folder_of_single_run()
    command = "the same command" if folder is None else f"headstart {shlex.quote(f'resume={folder}')}"
    print(f"interrupted; run {command} to go on, a network from its last checkpoint", file=sys.stderr)


def _folder_of_single_run() -> str | None:
    """Where the run lies that this process does, as Hydra knows it; None in a sweep, or before there is a folder."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    if not HydraConfig.initialized() or OmegaConf.is_missing(HydraConfig.get().runtime, "output_dir"):
        return None
    return HydraConfig.get().runtime.output_dir if HydraConfig.get().mode == RunMode.RUN else None
