"""What a server is started with, and what is refused before anything is loaded."""

import ipaddress
import math
import os
import re
import socket
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from headstart.errors import UserError

KEY_VARIABLE = "HEADSTART_API_KEY"
BACKENDS = ("torch", "onnx")
EXTRA = ("fastapi", "uvicorn", "httptools", "python_multipart", "prometheus_client")  # what `[serve]` brings
UNITS = {"": 1, "B": 1, "KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}
MOST_WORKERS = 64


QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of computing in a period, or `max`


def usable_cores(quota: Path = QUOTA) -> int:
    """Cores that this process may use: those that it may run on, and no more than its container has time for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        share, period = map(int, quota.read_text().split())
    except (OSError, ValueError):  # there is no bound
        return cores
    return max(1, min(cores, math.ceil(share / period)))


@dataclass(frozen=True)
class Settings:
    """How a network is served. Raises UserError for values that make no sense."""

    host: str = "127.0.0.1"
    port: int = 8000  # 0: one that is free
    workers: int = field(default_factory=lambda: min(usable_cores(), MOST_WORKERS))  # processes that compute
    max_batch: int = 32  # pictures that a worker computes at a time
    batch_wait: float = 0.005  # seconds that a picture waits for others at most, where a worker is free
    queue: int = 256  # pictures that were accepted and not answered yet, at most
    timeout: float = 30.0  # seconds from a request's headers to its answer
    max_bytes: int = 10_000_000  # of a request
    max_pixels: int = 50_000_000  # of a picture
    max_pictures: int = 16  # of a request
    backend: str = "torch"
    key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        least = dict(port=0, workers=1, max_batch=1, batch_wait=0, queue=1, max_bytes=1, max_pixels=1, max_pictures=1)
        words = {"batch_wait": "batch-wait-ms"}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise UserError(f"--{words.get(name, name.replace('_', '-'))}: give {value} or more")
        if not 0.1 <= self.timeout <= 3600:
            raise UserError(f"--timeout {self.timeout:g}: give 0.1 to 3600 seconds")
        if self.port > 65_535:
            raise UserError(f"--port {self.port}: give 1 to 65535, or 0 for one that is free")
        if self.workers > MOST_WORKERS:
            raise UserError(f"--workers {self.workers}: give {MOST_WORKERS} at most")
        if self.max_pictures > self.queue:
            raise UserError(f"--max-pictures {self.max_pictures} is more than --queue {self.queue} has room for")
        if self.backend not in BACKENDS:
            raise UserError(f"--backend {self.backend}: choose of {', '.join(BACKENDS)}")
        if self.key is not None and not (self.key.isascii() and self.key.isprintable() and " " not in self.key):
            raise UserError(f"{KEY_VARIABLE} has characters that no HTTP header carries; use letters and digits")

    @property
    def threads(self) -> int:
        """Threads of each worker."""
        return max(1, usable_cores() // self.workers)

    @property
    def decode_seconds(self) -> float:
        """Seconds after which the decoding of a picture is given up: less than what other requests can wait."""
        return self.timeout / 3

    def addresses(self) -> list[tuple[int, tuple]]:
        """What the host's name stands for, as (family, socket address).

        Raises:
            UserError: it is no address here; or others could reach it, and there is no key.
        """
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (socket.gaierror, UnicodeError):
            raise UserError(f"--host {self.host} is no address of this machine; give 127.0.0.1 or 0.0.0.0") from None
        if self.key is None and not all(ipaddress.ip_address(where[4][0]).is_loopback for where in found):
            raise UserError(
                f"--host {self.host} can be reached by others, so a key is needed: export {KEY_VARIABLE}=..., which "
                "clients send as `Authorization: Bearer ...` or `X-API-Key: ...`"
            )
        return [(family, address) for family, _, _, _, address in found]


def check_extra(backend: str = "torch") -> None:
    """Raise UserError where a library is missing, or where the system cannot fork."""
    if missing := [name for name in EXTRA if find_spec(name) is None]:
        raise UserError(f"headstart serve needs {missing[0]}: pip install 'headstart[serve]'")
    if backend == "onnx" and find_spec("onnxruntime") is None:
        raise UserError("--backend onnx needs onnxruntime: pip install 'headstart[export]'")
    if sys.platform != "linux":
        raise UserError("headstart serve runs on Linux, where its workers can be forked; a container does, too")


def read_bytes(text: str) -> int:
    """The number that `10MB`, `512KB` or `1000000` stands for. Raises ValueError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?B?)", text.strip().upper())
    unit = found and found[2] + ("B" if found[2] in ("K", "M", "G") else "")
    if found is None or unit not in UNITS:
        raise ValueError(f"{text} is no size; give one such as 10MB")
    return round(float(found[1]) * UNITS[unit])
