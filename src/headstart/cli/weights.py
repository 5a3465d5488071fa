"""`headstart weights`: a run's network as a file for the next run and a folder for timm; and a look at a file."""

import argparse
from pathlib import Path

from headstart.errors import UserError
from headstart.store import WEIGHT_SUFFIXES, expanded

EXAMPLES = """examples:
  {prog} export outputs/runs/2026-01-31_12-00-00-000000 --to digits.safetensors
      then: headstart data=digits model=cnn model.weights=digits.safetensors
  {prog} export outputs/pretraining/resnet18/confirm/007/seed-0 --to exported
      then, without headstart: timm.create_model("local-dir:exported", pretrained=True)
  {prog} describe digits.safetensors
  {prog} describe checkpoint.pth.tar model=resnet18

The classifier starts anew in the run that takes the file, unless model.keep_classifier=true."""


def make_parser(prog: str) -> argparse.ArgumentParser:
    """What may be typed behind `headstart weights`."""
    shown = dict(formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EXAMPLES.format(prog=prog))
    about = "Take a trained network out of a run, or look at a weights file."
    parser = argparse.ArgumentParser(prog=prog, description=about, **shown)
    commands = parser.add_subparsers(dest="command", required=True, metavar="export | describe | show")
    about = "Write the best network of a run: as one file, or as a folder that timm takes, too."
    line = "write a run's best network, for other runs and for timm"
    export = commands.add_parser("export", help=line, description=about, **shown)
    export.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="folder of one run, with best.safetensors in it")
    to = "NAME.safetensors for the file alone, anything else for a folder (default: RUN_DIR/export)"
    export.add_argument("--to", type=Path, metavar="PATH", help=to)
    export.add_argument("--force", action="store_true", help="replace what is there")
    file = dict(type=Path, metavar="FILE", help="a weights file of any origin, or a folder with model.safetensors")
    line = "say what is in a weights file, which networks it fits, and what they would take"
    describe = commands.add_parser("describe", help=line, description=f"{line.capitalize()}.", **shown)
    describe.add_argument("file", **file)
    chosen = "overrides that choose the network, such as model=resnet18 (default: the first that fits)"
    describe.add_argument("words", nargs="*", metavar="KEY=VALUE", help=chosen)
    show = commands.add_parser("show", help="print what is in a weights file, without trying networks", **shown)
    show.add_argument("file", **file)
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Do what was typed. Raises UserError."""
    check_there(arguments.run_dir if arguments.command == "export" else arguments.file, arguments.command)
    from headstart.inference import describe_weights, export_run, show_weights

    if arguments.command == "show":
        lines = show_weights(arguments.file)
    elif arguments.command == "describe":
        lines = describe_weights(arguments.file, arguments.words)
    else:
        lines = export_run(arguments.run_dir, arguments.to, force=arguments.force)
    print(*lines, sep="\n")


def check_there(path: Path, command: str) -> None:
    """Refuse a path that leads nowhere before torch is imported. Raises UserError."""
    if expanded(path).exists():
        return
    wanted = f"a weights file ({', '.join(WEIGHT_SUFFIXES)}), or a hub's folder"
    wanted = "the folder of a run, the one with best.safetensors" if command == "export" else wanted
    raise UserError(f"{path} does not exist; give {wanted}")
