"""Whether a folder is that of one run with weights; where it is not, what it is and what to give instead."""

import shlex
from pathlib import Path

from headstart.errors import UserError
from headstart.store import find_runs, read_run

SHOWN = 3  # runs in an error before "and more"


def check_finished(run_dir: Path) -> None:
    """Raise UserError unless `run_dir` is the folder of one run with weights; name such runs where it holds some."""
    if (run_dir / "best.safetensors").is_file():
        return
    if not run_dir.is_dir():
        what = "is a file" if run_dir.exists() else "does not exist"
        raise UserError(f"{run_dir} {what}; give the folder of a run, the one with best.safetensors")
    with_weights = [run for run in find_runs(run_dir) if (run / "best.safetensors").is_file()]
    if with_weights:
        raise UserError(f"{run_dir} is not one run; give one of those with weights in it:\n{_listed(with_weights)}")
    found = read_run(run_dir) if find_runs(run_dir) == [run_dir] else {}
    of_study = found.get("phase") in ("confirm", "source")
    command = "the study's command" if of_study else f"headstart {shlex.quote(f'resume={run_dir}')}"
    reason = {
        None: "holds no run with weights; give the folder of a run, the one with best.safetensors",
        "RUNNING": "is still training; its weights come when it has ended",
        "INTERRUPTED": f"was interrupted; {command} goes on with it",
        "FAILED": "is a run that failed, so it has no weights",
    }
    kept = "has no best.safetensors: of a search only the best trial's weights stay; keep=all keeps them all"
    raise UserError(f"{run_dir} {reason.get(found.get('state'), kept)}")


def _listed(runs: list[Path]) -> str:
    """Name a few runs, best validation accuracy first."""
    scores = {run: read_run(run).get("val_accuracy") for run in runs}
    scores = {run: score if isinstance(score, int | float) else -1.0 for run, score in scores.items()}
    best = sorted(runs, key=lambda run: -scores[run])
    named = [f"{run} (validation {scores[run]:.2f} %)" if scores[run] >= 0 else str(run) for run in best[:SHOWN]]
    return ", ".join(named) + (f", and {len(runs) - SHOWN} more" if len(runs) > SHOWN else "")
