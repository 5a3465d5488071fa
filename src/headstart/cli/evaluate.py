"""`headstart evaluate`: how good a trained network is on other labelled pictures."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.cli.paths import check_model
from headstart.errors import printable
from headstart.store import expanded

if TYPE_CHECKING:
    import pandas as pd

    from headstart.inference import Classifier, Evaluation

EXAMPLES = """examples:
  {prog} outputs/quickstart/frozen/confirm/007/seed-0 scans/
  {prog} outputs/pretraining --arm pretrained labels.csv --part all --to evaluation
  {prog} exported cifar10 --corruptions

MODEL is the folder of a run, that of a study with --arm, or what `headstart weights export` has written. DATA is a
folder of class folders, a list with the columns path, label and, if wanted, split, or cifar10, cifar100 or digits.
Labels go by the classes' names; pictures are decoded as in training."""
SHOWN = 5  # mistakes and confusions
MOST_CLASSES = 20  # that are listed


def make_parser(prog: str) -> argparse.ArgumentParser:
    """What may be typed behind `headstart evaluate`."""
    shown = dict(formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EXAMPLES.format(prog=prog))
    about = "Say how good a trained network is on labelled pictures: accuracy, per class, calibration, worst mistakes."
    parser = argparse.ArgumentParser(prog=prog, description=about, **shown)
    parser.add_argument("model", metavar="MODEL", help="the folder of a run or a study, or an exported file or folder")
    parser.add_argument("data", metavar="DATA", help="a folder, a list of labels, or cifar10, cifar100, digits")
    parser.add_argument("--arm", help="which arm's network, of a study")
    part = "which part of the data (default: test, or all where there are no parts)"
    parser.add_argument("--part", choices=("train", "val", "test", "all"), help=part)
    worse = "also accuracy under noise, blur, JPEG and low contrast at five strengths"
    parser.add_argument("--corruptions", action="store_true", help=worse)
    parser.add_argument("--json", action="store_true", help="print all figures as one JSON object")
    parser.add_argument("--to", type=Path, metavar="DIR", help="write figures, every answer and two plots there")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Do what was typed; return 1 where a picture could not be read. Raises UserError."""
    check_model(arguments.model)
    from headstart.inference import evaluate, labelled_pictures
    from headstart.notebook import load_model

    given = labelled_pictures(arguments.data, arguments.part)
    classifier = load_model(arguments.model, arguments.arm)
    for line in (*given.notes, *_seen_in_training(classifier, arguments.data)):
        print(f"headstart evaluate: {line}", file=sys.stderr)
    evaluation = evaluate(classifier, given, corruptions=arguments.corruptions)
    found, worse = evaluation.metrics(), evaluation.robustness
    if arguments.json:
        kept = {} if worse is None else {"robustness": worse.to_dict("index")}
        print(json.dumps(found | kept))
    else:
        print(*_lines(evaluation, found, worse), sep="\n")
    for name, reason in evaluation.unread.items():
        print(f"headstart evaluate: {printable(name)} cannot be read: {reason}", file=sys.stderr)
    if arguments.to is not None:
        from headstart.report import write_evaluation

        written = write_evaluation(expanded(arguments.to), found, evaluation.predictions(), worse)
        print(*(() if arguments.json else written), sep="\n")
    return 1 if evaluation.unread else 0


def _seen_in_training(classifier: "Classifier", data: str) -> list[str]:
    """A line where the run was trained on pictures of the same folder or list."""
    saved = classifier.path / ".hydra" / "config.yaml"
    if not saved.is_file() or not expanded(data).exists():
        return []
    import yaml

    config = yaml.safe_load(saved.read_text())
    root = (config.get("data") or {}).get("root") if isinstance(config, dict) else None
    if not isinstance(root, str) or expanded(root).resolve() != expanded(data).resolve():
        return []
    return ["the run was trained on pictures of this data: only those of its own test part are new to it"]


def _lines(evaluation: "Evaluation", found: dict, worse: "pd.DataFrame | None") -> list[str]:
    """What a person reads, a line each."""
    interval = f"95 % interval {found['accuracy_low']:.2f} to {found['accuracy_high']:.2f}"
    lines = [f"accuracy     {found['accuracy']:.2f} %  ({interval}, {found['images']:,} pictures)"]
    scores = [f"{found[f'{name}_macro']:.2f} %" for name in ("precision", "recall", "f1")]
    lines.append(f"macro        precision {scores[0]}, recall {scores[1]}, F1 {scores[2]}")
    lines.append(f"loss         {found['loss']:.4f}")
    calibration = f"calibration  error (ECE) {found['calibration_error']:.2f} points"
    if "temperature" in found:
        scaled = f"{found['calibration_error_scaled']:.2f} with the temperature {found['temperature']:.2f}"
        calibration += f", {scaled}, which fits the run's validation pictures"
    lines.append(calibration)
    per_class = sorted(found["per_class"].items(), key=lambda item: item[1]["recall"])
    width = max(len(printable(name)) for name in found["per_class"])
    lines += ["", f"{'class':<{width}}  pictures  right, %  precision, %"]
    for name, row in per_class[:MOST_CLASSES]:
        figures = f"{row['support']:>8,}  {row['recall']:>8.2f}  {row['precision']:>12.2f}"
        lines.append(f"{printable(name):<{width}}  {figures}")
    lines += [f"and {len(per_class) - MOST_CLASSES} more classes"] if per_class[MOST_CLASSES:] else []
    mistakes = evaluation.mistakes(SHOWN)
    lines += ["", "most confident mistakes:"] if len(mistakes) else []
    for row in mistakes.itertuples():
        what = f"{printable(row.label)} called {printable(row.predicted)}"
        lines.append(f"  {printable(row.image)}  {what}, {100 * row.probability:.1f} %")
    if worse is not None:
        lines += ["", f"{'accuracy under':<14}  " + "  ".join(f"{n:>6}" for n in worse.columns) + "  (strength)"]
        lines += [
            f"{kind:<14}  " + "  ".join(f"{value:6.2f}" for value in row)
            for kind, row in zip(worse.index, worse.to_numpy(), strict=True)
        ]
    return [*lines, ""] if lines[-1] else lines
