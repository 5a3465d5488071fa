"""`headstart export`: a trained network in a folder that others can use without headstart."""

import argparse
from pathlib import Path

from headstart.cli.paths import check_model
from headstart.store import expanded

EXAMPLES = """examples:
  {prog} outputs/pretraining --arm pretrained --to exported
  {prog} outputs/runs/2026-01-31_12-00-00-000000 --to exported --formats onnx,torch
  {prog} outputs/pretraining --arm pretrained --to-container service

  {prog} outputs/pretraining --arm pretrained --to exported --formats onnx,onnx-int8
  {prog} exported/model.safetensors --to edge --formats onnx-int8 --calibrate scans/

weights: model.safetensors, and config.json where timm can build the network; onnx: model.onnx for onnxruntime and
others; onnx-int8: model.int8.onnx, the same in 8-bit integers, smaller and on most processors faster; torch: model.pt2
for torch alone. Each takes any number of pictures at a time and is tried out before it is
kept.

onnx-int8 is fitted to 256 training pictures of the network's run and judged by its validation pictures, never by test
ones; --calibrate gives others, and is needed where the run's are not at hand. What it cost in accuracy, with an
interval, and what it won in size and latency are printed, and stand in the file's metadata and in the card.

README.md says what the network is, how it was made, how good it is, and what a picture has to be made into.

A container's folder has all that in model/, and around it what runs `headstart serve` on it: a Dockerfile, a compose
file with Prometheus and a dashboard in Grafana, and Kubernetes manifests; its README.md has the commands."""


def make_parser(prog: str) -> argparse.ArgumentParser:
    """What may be typed behind `headstart export`."""
    shown = dict(formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EXAMPLES.format(prog=prog))
    about = "Write a trained network into a folder that others can use without headstart."
    parser = argparse.ArgumentParser(prog=prog, description=about, **shown)
    parser.add_argument("model", metavar="MODEL", help="the folder of a run or a study, or a file of exported weights")
    parser.add_argument("--arm", help="which arm's network, of a study")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--to", type=Path, metavar="DIR", help="the folder to write")
    where.add_argument("--to-container", type=Path, metavar="DIR", help="the folder to write what serves it into")
    parser.add_argument("--formats", default="weights,onnx", metavar="A,B", help="of weights, onnx, onnx-int8, torch")
    pictures = (
        "labelled pictures for onnx-int8: a folder of class folders, a list of labels, or cifar10, cifar100, digits"
    )
    parser.add_argument("--calibrate", metavar="DATA", help=pictures)
    parser.add_argument("--force", action="store_true", help="replace what is there")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Do what was typed. Raises UserError."""
    check_model(arguments.model)
    from headstart.inference import MODEL, check_container_folder, export_model, facts, write_container
    from headstart.notebook import load_model
    from headstart.report import write_model_card
    from headstart.store import read_run

    formats, force = arguments.formats.split(","), arguments.force
    around = arguments.to_container and check_container_folder(arguments.to_container, formats, force=force)
    to = around / MODEL if around else expanded(arguments.to)
    classifier = load_model(arguments.model, arguments.arm)
    options = dict(force=force, copies=around is not None, calibrate=arguments.calibrate)
    lines = export_model(classifier, to, formats, **options)
    run_dir = classifier.path if classifier.path.is_dir() and (classifier.path / "result.json").exists() else None
    record = {} if run_dir is None else read_run(run_dir)
    record = dict(classes=list(classifier.classes)) | record
    card = write_model_card(to, run_dir=run_dir, record=record, used=facts(classifier), lines=lines)
    print(*lines, card, sep="\n")
    if around:
        print(*write_container(around, record.get("arm") or classifier.path.stem), sep="\n")
