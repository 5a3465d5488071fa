"""`headstart serve`: a trained network behind HTTP."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.cli.paths import check_model
from headstart.errors import UserError, printable
from headstart.serving import BACKENDS, Settings, check_extra, read_bytes

if TYPE_CHECKING:
    from headstart.inference import Classifier
    from headstart.serving import Model

EXAMPLES = """examples:
  {prog} outputs/quickstart --arm pretrained
      then: curl -F file=@cat.jpg http://127.0.0.1:8000/predict, or open http://127.0.0.1:8000
  HEADSTART_API_KEY=... {prog} exported --host 0.0.0.0 --port 80 --backend onnx

MODEL is the folder of a run, that of a study with --arm, or what `headstart weights export` has written. POST /predict
takes pictures as fields `file` of a form and answers in JSON, /explain shows what spoke for the answer; /healthz,
/readyz, /metrics and /openapi.json are for those who look after it. Other machines reach it where --host says so, which
needs a key in HEADSTART_API_KEY. Ctrl-C and SIGTERM end it when what was accepted is answered."""

# Read by libraries when they are imported: threads of OpenBLAS would be missing in what is forked, and those of OpenMP
# wait for each other by computing, which takes the cores from the process that talks.
THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def make_parser(prog: str) -> argparse.ArgumentParser:
    """What may be typed behind `headstart serve`."""
    shown = dict(formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EXAMPLES.format(prog=prog))
    parser = argparse.ArgumentParser(prog=prog, description="Answer over HTTP what is on pictures.", **shown)
    known = Settings()
    parser.add_argument("model", metavar="MODEL", help="the folder of a run or a study, or an exported file or folder")
    parser.add_argument("--arm", help="which arm's network, of a study")
    parser.add_argument("--host", default=known.host, help="the address to listen on (default: this machine alone)")
    parser.add_argument("--port", type=int, default=known.port, help=f"(default: {known.port}; 0: one that is free)")
    add = parser.add_argument
    add("--workers", type=int, metavar="N", help="processes that compute (default: one per core)")
    batch = f"pictures that are computed together, at most (default: {known.max_batch})"
    add("--max-batch", type=int, default=known.max_batch, metavar="N", help=batch)
    wait = f"how long a picture waits for others (default: {1000 * known.batch_wait:g})"
    add("--batch-wait-ms", type=float, default=1000 * known.batch_wait, metavar="MS", help=wait)
    queue = f"pictures that are accepted and not answered yet, at most; more get 503 (default: {known.queue})"
    add("--queue", type=int, default=known.queue, metavar="N", help=queue)
    seconds = f"seconds for a request (default: {known.timeout:g})"
    add("--timeout", type=float, default=known.timeout, metavar="S", help=seconds)
    size = f"of a request, such as 500KB (default: {known.max_bytes // 1_000_000}MB)"
    add("--max-bytes", default=str(known.max_bytes), metavar="SIZE", help=size)
    pixels = f"of a picture (default: {known.max_pixels:,})"
    add("--max-pixels", type=int, default=known.max_pixels, metavar="N", help=pixels)
    pictures = f"of a request (default: {known.max_pictures})"
    add("--max-pictures", type=int, default=known.max_pictures, metavar="N", help=pictures)
    add("--backend", choices=BACKENDS, default=known.backend, help="what computes (default: torch)")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Do what was typed, until a signal ends it. Raises UserError."""
    settings = _settings(arguments)
    check_model(arguments.model)
    settings.addresses()  # which may need a key
    check_extra(settings.backend)
    for name, value in THREADS.items():
        os.environ.setdefault(name, value)
    from headstart.serving import serve

    name = arguments.arm or Path(arguments.model).resolve().name

    def load() -> "Classifier":
        from headstart.notebook import load_model

        return load_model(arguments.model, arguments.arm)

    return serve(name, load, settings, lambda model, address: say(model, address, settings))


def _settings(arguments: argparse.Namespace) -> Settings:
    try:
        max_bytes = read_bytes(arguments.max_bytes)
    except ValueError as error:
        raise UserError(f"--max-bytes: {error}") from None
    names = ("host", "port", "max_batch", "queue", "timeout", "max_pixels", "max_pictures", "backend")
    given = {name: getattr(arguments, name) for name in names}
    given |= {} if arguments.workers is None else {"workers": arguments.workers}
    key = os.environ.get("HEADSTART_API_KEY") or None
    return Settings(**given, max_bytes=max_bytes, batch_wait=arguments.batch_wait_ms / 1000, key=key)


def say(model: "Model", address: str, settings: Settings) -> None:
    """Say on a terminal what is served and how to try it; the log, on stdout, says it to programs."""
    if not sys.stderr.isatty():
        return
    key = " -H 'X-API-Key: ...'" if settings.key else ""
    classes = ", ".join(map(printable, model.classes[:8])) + (", ..." if model.classes[8:] else "")
    lines = [
        f"{printable(model.name)}: {len(model.classes)} classes ({classes})",
        f"{settings.workers} workers of {settings.threads} threads, {settings.backend}, "
        f"up to {settings.max_batch} pictures at a time",
        f"a page to try it:  {address}",
        f"from a program:    curl{key} -F file=@picture.png {address}/predict",
        *([f"Grad-CAM:          no, {model.unexplained}"] if model.unexplained else []),
        "Ctrl-C ends it when what was accepted is answered",
    ]
    print(*lines, sep="\n", file=sys.stderr, flush=True)
