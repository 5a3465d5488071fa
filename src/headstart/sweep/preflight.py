"""Before a study begins: data, model and optimizer of every arm are made once, so that a mistake costs no trial."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from headstart.config import explain_value, key_of, override_value, read_run_config, refused_value
from headstart.errors import UserError
from headstart.store import OUTCOMES, read_run
from headstart.sweep.arms import Arm, replace_overrides
from headstart.sweep.plan import Plan
from headstart.sweep.search_space import example_point, extremes


def configurations_to_check(plan: Plan) -> dict[str, DictConfig]:
    """What has no run yet, with values of its search space in place: the source's configuration and one of each arm.

    An arm that starts from the source's weights is only composed: they are not there yet.
    """
    found = {}
    if plan.settings.source and not _has_run(plan.folder / "source"):
        found["source"] = plan.compose("source", plan.settings.source_overrides)
    for arm in plan.arms:
        if _has_run(plan.folder / arm.name / "search" / "000"):
            continue
        point = [f"{k}={override_value(v)}" for k, v in example_point(arm.space, arm.first_points).items()]
        cfg = plan.compose(f"arm {arm.name}", replace_overrides(arm.overrides, point))
        _check_space(arm, cfg)
        if "model.weights=source" not in arm.overrides:
            found[f"arm {arm.name}"] = cfg
    return found


def _check_space(arm: Arm, cfg: DictConfig) -> None:
    """Read the configuration with every choice, and with both ends of every range, in its place.

    Raises UserError for a value that its key does not have.
    """
    try:
        read_run_config(cfg, cfg.hydra.runtime.choices)
    except UserError as error:
        searched = [f" searches {key}" for key in arm.space if str(error).startswith(f"{key_of(key)}=")]
        raise UserError(f"arm {arm.name}{''.join(searched)}: {error}") from None
    for key, distribution in arm.space.items():
        for value in extremes(distribution):
            tried = deepcopy(cfg)
            try:
                OmegaConf.update(tried, key_of(key), value)
                read_run_config(tried, cfg.hydra.runtime.choices)
            except OmegaConfBaseException as error:
                said = refused_value(f"{key}={override_value(value)}") or explain_value(error)
                raise UserError(f"arm {arm.name} searches {key}: {said}") from None
            except UserError as error:
                raise UserError(f"arm {arm.name} searches {key}: {error}") from None


def _has_run(run_dir: Path) -> bool:
    return read_run(run_dir)["state"] in OUTCOMES


def run_preflight(cfgs: Mapping[str, DictConfig]) -> None:
    """Make what each configuration describes, on the CPU; nothing is trained or written. cfgs: by whose they are.

    Raises UserError for what a run would be refused for, naming whose it is where there are several.
    """
    if not cfgs:
        return
    from headstart.training import Lines, prepare_run  # torch: not before something has to be made

    for whose, cfg in cfgs.items():
        try:
            run_config = read_run_config(cfg, cfg.hydra.runtime.choices)
            # The processes of a sweep divide the GPUs among themselves later; this one must not have taken one by then.
            run_config = run_config.with_values(device="cpu", precision="fp32", compile="off")
            prepare_run(run_config, Path(), Lines(run_config.values.epochs))
        except UserError as error:
            raise UserError(f"{whose}: {error}" if len(cfgs) > 1 else str(error)) from None
