"""The end of a single run as a table in the terminal."""

from pathlib import Path
from typing import Any

from rich.table import Table

from headstart.cli.console import stdout_console


def print_run(result: dict[str, Any], run_dir: Path) -> None:
    """Print the end of a single run to stdout; the last line is where it was written."""
    stdout_console().print(run_summary(result))
    print(run_dir)


def run_summary(result: dict[str, Any]) -> Table:
    """The end of a single run as a table of what was measured; result: as in its result.json."""
    table = Table(title=f"{result['model']} on {result['data']}", show_header=False, title_justify="left")
    for row in [*_scores(result), *_cost(result)]:
        table.add_row(*row)
    if not result.get("test_reads"):
        table.add_row("test split", "not read")
    return table


def _scores(result: dict[str, Any]) -> list[tuple[str, str]]:
    reason = f" ({result['reason']})" if result.get("reason") else ""
    best_epoch = f"  (best epoch {result['best_epoch']})" if result.get("best_epoch") else ""
    rows = [
        ("state", result["state"] + reason),
        ("validation accuracy", percent(result.get("val_accuracy")) + best_epoch + _fold(result)),
    ]
    if result.get("cv_folds"):
        mean, spread = percent(result["cv_accuracy_mean"]), f"{result['cv_accuracy_std']:.2f}"
        rows.append((f"{result['cv_folds']}-fold cross-validation", f"{mean}, standard deviation {spread}"))
    if result.get("test_reads"):
        of_classes = [percent(result.get(f"test_{name}_macro")) for name in ("precision", "recall", "f1")]
        rows.append(("test accuracy", percent(result.get("test_accuracy"))))
        rows.append(("test precision / recall / F1", " / ".join(of_classes)))
    return rows


def _fold(result: dict[str, Any]) -> str:
    return f"  (fold {result.get('fold') or 0} of 0 to {result['folds'] - 1})" if result.get("folds") else ""


def _cost(result: dict[str, Any]) -> list[tuple[str, str]]:
    rate = result.get("images_per_second")
    seconds = f"{result.get('seconds_train') or 0:.1f} s"
    rows = [("training", seconds if rate is None else f"{seconds}, {rate:,.0f} images/s")]
    if result["parameters"] is not None:
        rows.append(("parameters", f"{result['parameters']:,} ({result['parameters_trainable'] or 0:,} trainable)"))
    used = (result["device"], f"{result['threads']} threads", result["precision"])
    return [*rows, ("on", ", ".join(filter(None, used)))]


def percent(value: float | None) -> str:
    """`81.23 %`, or a dash where there is no value."""
    return "-" if value is None else f"{value:.2f} %"
