"""README.md beside an exported network: what it is, how it was made, how good it is and where that ends."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from headstart.analysis import Results, load_results
from headstart.report.write import question
from headstart.store import write_atomically

FACTS = {  # columns of a run by what they are called here
    "data": "data set",
    "train_images": "training pictures",
    "val_images": "validation pictures",
    "test_images": "test pictures",
    "weights": "started from weights",
    "freeze": "frozen",
    "batch_norm": "batch norm",
    "augmentation": "augmentation",
    "optimizer": "optimizer",
    "schedule": "schedule",
    "lr": "learning rate",
    "batch_size": "pictures a step",
    "epochs": "epochs",
    "best_epoch": "epoch that was kept",
    "seed": "seed",
    "parameters": "parameters",
    "weights_bytes": "bytes of its tensors, float32",
    "multiply_adds": "multiply-adds of an answer",
    "latency": "latency of an answer",
    "val_accuracy": "validation accuracy, %",
    "test_accuracy": "test accuracy, %",
    "test_f1_macro": "test F1, macro, %",
    "command": "the same again",
    "headstart_version": "headstart",
    "torch_version": "torch",
}
LICENCE = "The weights it started from ({}) keep the licence of whoever made them, which binds this network, too."
UNKNOWN = "What it was trained from, and on, is not recorded here."
FROM_RANDOM = "Trained from random weights; what its training pictures may be used for binds it."


def write_model_card(
    folder: Path,
    *,
    run_dir: Path | None,
    record: Mapping[str, Any],
    used: Mapping[str, str],
    lines: Sequence[str],
) -> Path:
    """Write README.md into the folder of an exported network and return its path.

    run_dir: of the run that trained it; None: not known. record: what the run left, empty without one. used: what its
    input and output are. lines: on the files that were written. Raises OSError.
    """
    from headstart.report.page import model_card  # whose templates need a library that tables do without

    record = dict(record, latency=_latency(record))
    study = None if run_dir is None else _study_of(run_dir)
    arms = [] if study is None else [_arm(row) for row in study.arms.to_dict("records") if pd.notna(row["test_mean"])]
    weights = record.get("weights")
    card = model_card(
        title=record.get("arm") or folder.name,
        library="timm" if any("timm:" in line for line in lines) else "headstart",
        architecture=record.get("model") or "network",
        classes=record.get("classes") or [],
        question=None if study is None else question(study),
        facts=[(name, _cell(record[key])) for key, name in FACTS.items() if record.get(key) is not None],
        arms=arms,
        verdicts=[] if study is None else [line for line in study.verdicts if str(record.get("arm")) in line.split()],
        used=used.items(),
        written=[_written(line.replace(f"{folder}/", "")) for line in lines],
        licence=UNKNOWN if not record.get("model") else LICENCE.format(weights) if weights else FROM_RANDOM,
        tested=record.get("test_images") is not None,
    )
    path = folder / "README.md"
    write_atomically(path, card.encode())
    return path


def _written(line: str) -> tuple[str, list[str]]:
    """What a file is and how it is used, in a line; and what else there is to say of it."""
    name, *said = (" ".join(part.split()) for part in line.splitlines())
    return " ".join([name, *said[:1]]), said[1:]


def _study_of(run_dir: Path) -> Results | None:
    """The study that the run belongs to: what lies ARM/confirm/TRIAL/SEED or ARM/search/TRIAL below a study.json."""
    root = next((folder for folder in run_dir.resolve().parents if (folder / "study.json").is_file()), None)
    return None if root is None else load_results(root)


def _arm(row: Mapping[str, Any]) -> dict[str, str]:
    interval = f"{row['test_ci_low']:.2f} to {row['test_ci_high']:.2f}" if pd.notna(row["test_ci_low"]) else "—"
    return dict(name=row["arm"], mean=f"{row['test_mean']:.2f}", interval=interval, seeds=str(row["seeds"]))


def _latency(record: Mapping[str, Any]) -> str | None:
    if record.get("latency_seconds") is None:
        return None
    median, p95 = (f"{1e3 * record[name]:.3g} ms" for name in ("latency_seconds", "latency_p95_seconds"))
    return f"{median} (95th percentile {p95}): one picture at a time, on one thread of {record['processor']}"


def _cell(value: Any) -> str:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    text = f"{value:,}" if is_count else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
