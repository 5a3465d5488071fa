"""`headstart weights`: a run's network as a file for the next run and a folder for timm; and a look at a file."""

import argparse
from pathlib import Path

EXAMPLES = """examples:
  {prog} export outputs/runs/2026-01-31_12-00-00-000000 --to digits.safetensors
      then: headstart data=digits model=cnn model.weights=digits.safetensors
  {prog} export outputs/pretraining/resnet18/confirm/007/seed-0 --to exported
      then, without headstart: timm.create_model("local-dir:exported", pretrained=True)
  {prog} show digits.safetensors

The classifier starts anew in the run that takes the file, unless model.keep_classifier=true."""


def make_parser(prog: str) -> argparse.ArgumentParser:
    """What may be typed behind `headstart weights`."""
    shown = dict(formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EXAMPLES.format(prog=prog))
    about = "Take a trained network out of a run, or look at a weights file."
    parser = argparse.ArgumentParser(prog=prog, description=about, **shown)
    commands = parser.add_subparsers(dest="command", required=True, metavar="export | show")
    about = "Write the best network of a run: as one file, or as a folder that timm takes, too."
    line = "write a run's best network, for other runs and for timm"
    export = commands.add_parser("export", help=line, description=about, **shown)
    export.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="folder of one run, with best.safetensors in it")
    to = "NAME.safetensors for the file alone, anything else for a folder (default: RUN_DIR/export)"
    export.add_argument("--to", type=Path, metavar="PATH", help=to)
    export.add_argument("--force", action="store_true", help="replace what is there")
    show = commands.add_parser("show", help="print what is in a weights file", **shown)
    show.add_argument("file", type=Path, metavar="FILE", help="a .safetensors, .pth, .pt or .bin file")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Do what was typed. Raises UserError."""
    from headstart.inference import describe_weights, export_run

    if arguments.command == "show":
        print(*describe_weights(arguments.file), sep="\n")
    else:
        print(*export_run(arguments.run_dir, arguments.to, force=arguments.force), sep="\n")
