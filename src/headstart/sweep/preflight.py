"""Before a study begins: data, model and optimizer of every arm are made once, so that a mistake costs no trial."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from headstart.config import explain_value, key_of, override_value, read_run_config, refused_value
from headstart.errors import UserError
from headstart.store import OUTCOMES, read_run
from headstart.sweep.arms import Arm, replace_overrides
from headstart.sweep.plan import Plan
from headstart.sweep.search_space import example_point, extremes
from headstart.timing import Pace

if TYPE_CHECKING:
    from headstart.sweep.scheduler import Claim
    from headstart.training import Trainer


@dataclass(frozen=True)
class Check:
    """A configuration to be tried before a study goes on, and what the same was made of before."""

    cfg: DictConfig
    begun: Mapping[str, Any]  # facts of a run that has ended; {} without one
    folder: Path  # of the study


def configurations_to_check(plan: Plan) -> dict[str, Check]:
    """What still has something to run, by whose it is: the source's configuration and one of each arm.

    Of an arm's search space one point is in place. An arm that starts from the source's weights is only composed while
    they are not there yet.
    """
    found, weights = {}, plan.folder / "source" / "best.safetensors"
    if plan.settings.source and not _ended(plan.folder / "source"):
        found["source"] = Check(plan.compose("source", plan.settings.source_overrides), {}, plan.folder)
    for arm in plan.arms:
        searched = sorted((plan.folder / arm.name / "search").glob("*/result.json"))
        confirmed = list((plan.folder / arm.name / "confirm").glob("*/*/result.json"))
        if len(searched) >= min(plan.n_trials, arm.settings) and len(confirmed) >= plan.looks[-1]:
            continue
        overrides = with_source_weights(arm.overrides, weights) if weights.exists() else arm.overrides
        begun = next(filter(None, (_ended(path.parent) for path in searched)), {})
        point = example_point(arm.space, arm.first_points) | _params(begun, arm)
        words = [f"{key}={override_value(value)}" for key, value in point.items()]
        cfg = plan.compose(f"arm {arm.name}", replace_overrides(overrides, words))
        if not begun:
            _check_space(arm, cfg)
        if "model.weights=source" not in overrides:
            found[f"arm {arm.name}"] = Check(cfg, begun, plan.folder)
    return found


def stand_ins(plan: Plan) -> dict[str, Check]:
    """What is timed in place of the arms whose weights the source run has still to learn: the same from random ones."""
    found = {}
    for arm in plan.arms:
        if "model.weights=source" in arm.overrides and not (plan.folder / "source" / "best.safetensors").exists():
            point = example_point(arm.space, arm.first_points)
            words = ["model.weights=null", *(f"{key}={override_value(value)}" for key, value in point.items())]
            cfg = plan.compose(f"arm {arm.name}", replace_overrides(arm.overrides, words))
            found[f"arm {arm.name}"] = Check(cfg, {}, plan.folder)
    return found


def with_source_weights(overrides: Sequence[str], weights: Path) -> list[str]:
    """The overrides of an arm, `model.weights=source` replaced by the file."""
    return [f"model.weights={override_value(str(weights))}" if o == "model.weights=source" else o for o in overrides]


def _ended(run_dir: Path) -> dict[str, Any]:
    """The record of a run that has ended well enough to count, else {}."""
    record = read_run(run_dir)
    return record if record["state"] in OUTCOMES else {}


def _params(begun: Mapping[str, Any], arm: Arm) -> dict[str, Any]:
    """What a run that has ended had of the arm's search space, as pictures and weights may depend on it."""
    params = begun.get("params")
    return {key: params[key] for key in arm.space if key in params} if isinstance(params, dict) else {}


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


def run_preflight(checks: Mapping[str, Check]) -> None:
    """Make what each configuration describes, on the CPU; nothing is trained or written. checks: by whose they are.

    Raises UserError for what a run would be refused for, naming whose it is where there are several, and for other
    pictures or weights than the study began with.
    """
    # The processes of a sweep divide the GPUs among themselves later; this one must not have taken one by then.
    # No threads either: workers are forked from this one.
    for _ in _prepared(checks, device="cpu", precision="fp32", compile="off", threads=1):
        pass


def measured_paces(checks: Mapping[str, Check], *, elsewhere: bool) -> dict[str, Pace | None]:
    """The same on the device that runs would take, and what a run of each takes there; None: fitted in one go.

    elsewhere: the runs are another machine's, so that nothing is timed here: {}.
    """
    if elsewhere:
        run_preflight(checks)
        return {}
    paces = {}
    for whose, trainer in _prepared(checks, compile="off"):
        from headstart.timing import measure_pace  # torch: only now
        from headstart.training import gave_out

        try:
            paces[whose] = measure_pace(trainer)
        except Exception as error:
            if (said := gave_out(error)) is None:
                raise
            raise UserError(f"{whose}: {said}") from error
    return paces


def _prepared(checks: Mapping[str, Check], **values: Any) -> Iterator[tuple[str, "Trainer"]]:
    """Whose it is and what would train it, one after the other, with these values in place of those configured."""
    if not checks:
        return
    from headstart.training import Lines, prepare_run, refuse_other_files  # torch: only now

    for whose, check in checks.items():
        try:
            run_config = read_run_config(check.cfg, check.cfg.hydra.runtime.choices).with_values(**values)
            trainer = prepare_run(run_config, Path(), Lines(run_config.values.epochs))
            if check.begun:
                refuse_other_files(check.begun, trainer, "the study", check.folder)
        except UserError as error:
            raise UserError(f"{whose}: {error}" if len(checks) > 1 else str(error)) from None
        yield whose, trainer


def job_overrides(plan: Plan, claim: "Claim") -> list[str]:
    """The overrides of a claim's job: what was typed, the arm's, the trial's, and where the run belongs."""
    own = [f"name={override_value(plan.config.name)}", f"arm={override_value(claim.arm)}", f"phase={claim.kind}"]
    own += [f"{key}={override_value(value)}" for key, value in claim.params.items()]
    if claim.seed is not None:
        own.append(f"seed={claim.seed}")
        if (fold := plan.fold_of(claim.arm, claim.seed)) is not None:
            own.append(f"data.fold={fold}")
    own.append(f"hydra.sweep.subdir={claim.run_dir.relative_to(plan.folder)}")
    own.append("hydra.job_logging.root.handlers=[file]")
    arms = plan.settings.source_overrides if claim.kind == "source" else plan.arm(claim.arm).overrides
    arms = with_source_weights(arms, plan.folder / "source" / "best.safetensors")
    return replace_overrides(replace_overrides(plan.fixed, arms), own)
