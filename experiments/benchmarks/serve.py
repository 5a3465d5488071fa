"""Is `headstart serve` faster than a handler that predicts one by one, and than LitServe; and does it lose a request?

    python experiments/benchmarks/serve.py [--networks cnn resnet18] [--clients 1 8 64] [--rounds 5] [--seconds 3]
    python experiments/benchmarks/serve.py --kill [--seconds 20]

Three servers with the same exported network (random weights, 10 classes) run side by side and are asked in turns in
each round, for pictures of 32 px over loopback by clients that ask again when they have an answer (`load.py`, a
process of its own): ours as it comes; FastAPI with torch, as tutorials have it; LitServe with batches, as its pages
show it (`serve_peers.py`). Ours and LitServe have a worker a core. Each ratio is of one round. As others may have
work for the machine too, CPU milliseconds a request are there beside requests a second. Every request is counted and
every answer compared with the first on the same picture: a lost or a wrong one ends the benchmark. With --kill, our
workers are killed with SIGKILL in turns, two a second, while 64 clients ask.

Needs pip install litserve. One row per server, number of clients and round goes to outputs/benchmarks/serve.csv.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from training_loop import MEAN, STD, network, processor, save

from headstart import __version__, models

HERE = Path(__file__).parent
HERTZ = os.sysconf("SC_CLK_TCK")
PICTURES = 64
SERVERS = ("headstart", "plain", "litserve")
OPTIONS = dict(cnn="model=cnn", resnet18="model=resnet18")  # as the file says what network it is of
KILLS_PER_SECOND = 2


def write_model(name: str, folder: Path) -> Path:
    """A folder with the network's weights, as `headstart export` leaves it."""
    classes = tuple("0123456789")
    told = dict(image_size=32, architecture=name, network=OPTIONS[name])
    folder.mkdir()
    content = models.export_bytes(network(name), classes=classes, mean=MEAN, std=STD, **told)
    (folder / "model.safetensors").write_bytes(content)
    return folder


def write_pictures(folder: Path) -> Path:
    numbers = np.random.default_rng(0)
    folder.mkdir()
    for number in range(PICTURES):
        pixels = numbers.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    return folder


def free_port() -> int:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]


@contextlib.contextmanager
def running(server: str, model: Path, options: argparse.Namespace) -> Iterator[tuple[subprocess.Popen, int]]:
    """A server's process and port, ready; ended with all that it has started."""
    port, workers = free_port(), str(options.workers)
    ours = ["-m", "headstart.cli.main", "serve", str(model), "--port", str(port), "--workers", workers]
    peer = [str(HERE / "serve_peers.py"), server, str(model), str(port), "--workers", workers]
    command = [sys.executable, *(ours if server == "headstart" else peer)]
    threads = {} if options.peer_threads is None or server == "headstart" else {"OMP_NUM_THREADS": options.peer_threads}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, env=os.environ | threads
        )
        try:
            wait_until_ready(process, port)
            yield process, port
        except SystemExit:
            log.seek(0)
            print(log.read().decode(errors="replace")[-2000:], file=sys.stderr)
            raise
        finally:
            end(process)


def wait_until_ready(process: subprocess.Popen, port: int) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"a server ended with code {process.returncode}")
        with contextlib.suppress(OSError):
            answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json", timeout=5)
            if answer.status == 200:
                return time.sleep(2)  # LitServe's workers load the network when its door is open already
        time.sleep(0.2)
    raise SystemExit("a server was not ready after 180 s")


def end(process: subprocess.Popen) -> None:
    """End the process, then whatever of its session is left."""
    everyone = family(process.pid)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=15)
    for pid in everyone:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def family(pid: int) -> list[int]:
    """A process and all that have come from it, older ones first."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(member for child in map(int, children) for member in family(child))]


def name_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def cpu_seconds(pid: int) -> float:
    """What a process and all that come from it have taken so far; of those that have ended, what they left to it."""
    taken = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            taken += sum(map(int, fields[11:15]))
    return taken / HERTZ


def load(port: int, clients: int, seconds: float, pictures: Path) -> dict:
    """What `load.py` says. Ends the benchmark where a request was lost or an answer is wrong."""
    words = ["--port", port, "--clients", clients, "--seconds", seconds, "--pictures", pictures]
    done = subprocess.run([sys.executable, str(HERE / "load.py"), *map(str, words)], capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    told = json.loads(done.stdout)
    if told["lost"] or told["wrong"] or set(told["answered"]) != {"200"}:
        raise SystemExit(f"requests were lost, or answered otherwise than before: {told}")
    return told


def compare(name: str, model: Path, pictures: Path, options: argparse.Namespace) -> list[dict]:
    """The rounds of one network: a row per server, number of clients and round."""
    rows = []
    with contextlib.ExitStack() as stack:
        ports = {server: stack.enter_context(running(server, model, options)) for server in options.servers}
        first = {server: load(port, 8, 1, pictures)["first"] for server, (_, port) in ports.items()}
        check_same(first)
        for number in range(1, options.rounds + 1):
            for clients in options.clients:
                for place in range(len(ports)):
                    server = options.servers[(place + number) % len(ports)]  # nobody is always the first
                    process, port = ports[server]
                    cpu = cpu_seconds(process.pid)
                    told = load(port, clients, options.seconds, pictures)
                    told["cpu_ms"] = 1000 * (cpu_seconds(process.pid) - cpu) / told["sent"]
                    kept = {key: told[key] for key in MEASURED}
                    rows.append(dict(network=name, round=number, clients=clients, server=server) | kept)
            print(f"{name}: round {number} of {options.rounds}", flush=True)
    return rows


MEASURED = ("sent", "requests_per_second", "p50_ms", "p95_ms", "p99_ms", "cpu_ms", "own_core")


def check_same(first: dict[str, dict[str, tuple[str, float]]]) -> None:
    """That all servers say the same of each picture."""
    expected, *others = first.values()
    for told in others:
        worst = max(abs(told[name][1] - expected[name][1]) for name in expected.keys() & told.keys())
        if worst > 1e-3:
            raise SystemExit(f"the servers do not say the same: probabilities are {worst:.4f} apart")


def show(table: pd.DataFrame) -> None:
    """Medians of every server, and of our ratios to each other one, round by round."""
    wide = table.pivot(index=["network", "clients", "round"], columns="server", values=list(MEASURED))
    medians = table.groupby(["network", "clients", "server"], sort=False)[list(MEASURED)].median()
    print(medians.drop(columns="sent").round(2).to_string())
    ours = SERVERS[0]
    for other in table.server.unique():
        if other == ours:
            continue
        for of, better in (("requests_per_second", max), ("cpu_ms", min), ("p99_ms", min)):
            ratios = (wide[of, ours] / wide[of, other]).groupby(["network", "clients"], sort=False)
            said = [f"{k} {n}: {r.median():.2f} (best {better(r):.2f})" for (k, n), r in ratios]
            print(f"{of}, {ours} / {other}: {', '.join(said)}")
    if (busiest := table.own_core.max()) > 0.7:
        print(f"the clients took {busiest:.2f} of a core, and may have been what was measured")


def kill(model: Path, pictures: Path, options: argparse.Namespace) -> None:
    """Kill workers while clients ask, and say what became of the requests."""
    with running(SERVERS[0], model, options) as (process, port):
        words = ["--port", port, "--clients", 64, "--seconds", options.seconds, "--pictures", pictures]
        clients = subprocess.Popen([sys.executable, str(HERE / "load.py"), *map(str, words)], stdout=subprocess.PIPE)
        killed = 0
        while clients.poll() is None:
            time.sleep(1 / KILLS_PER_SECOND)
            workers = [pid for pid in family(process.pid) if name_of(pid) == "serve-worker"]
            if workers and killed < options.seconds * KILLS_PER_SECOND:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(workers[0], signal.SIGKILL)  # the oldest
                    killed += 1
        told = json.loads(clients.stdout.read())
    told.pop("first")
    print(f"{killed} workers killed: {told}")
    if told["lost"] or told["wrong"] or sum(told["answered"].values()) != told["sent"]:
        raise SystemExit("requests were lost, or answered otherwise than before")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=OPTIONS, default=[*OPTIONS])
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=[*SERVERS])
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    shown = "OMP_NUM_THREADS of the peers (default: 1, with which they are faster on a busy machine; none: not set)"
    parser.add_argument("--peer-threads", type=lambda text: None if text == "none" else text, default="1", help=shown)
    parser.add_argument("--kill", action="store_true", help="kill our workers under load, instead of comparing")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # so that the servers are ended, too
    with tempfile.TemporaryDirectory() as folder:
        pictures = write_pictures(Path(folder, "pictures"))
        made = {name: write_model(name, Path(folder, name)) for name in options.networks}
        if options.kill:
            return kill(made[options.networks[0]], pictures, options)
        rows = [row for name, model in made.items() for row in compare(name, model, pictures, options)]
    table = pd.DataFrame(rows)
    show(table)
    save(table.assign(workers=options.workers, processor=processor(), headstart=__version__), "serve")


if __name__ == "__main__":
    main()
