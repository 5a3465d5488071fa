"""Before a study begins: data, model and optimizer of every arm are made once, so that a mistake costs no trial."""

from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig

from headstart.errors import UserError


def rehearse(cfgs: Mapping[str, DictConfig]) -> None:
    """Make what each configuration describes, on the CPU; nothing is trained or written. cfgs: by whose they are.

    Raises UserError for what a run would be refused for, naming whose it is where there are several.
    """
    if not cfgs:
        return
    from headstart.config import read_run_config
    from headstart.training import (
        Lines,
        prepare_run,  # torch: not before something has to be made
    )

    for whose, cfg in cfgs.items():
        try:
            run_config = read_run_config(cfg, cfg.hydra.runtime.choices)
            # The processes of a sweep divide the GPUs among themselves later; this one must not have taken one by then.
            run_config = run_config.with_values(device="cpu", precision="fp32", compile="off")
            prepare_run(run_config, Path(), Lines(run_config.values.epochs))
        except UserError as error:
            raise UserError(f"{whose}: {error}" if len(cfgs) > 1 else str(error)) from None
