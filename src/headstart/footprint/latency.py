"""How long an answer takes: on one thread, after a few that don't count, the median and the slow end of many.

It is the processor's own time, which on one thread and an idle machine is that on the wall: a study measures while it
goes on, often with other work beside it, and equal networks have to come out alike.
"""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

SECONDS = 0.3  # for answers one by one, and once more for those in batches; more where fewer than LEAST fit in
WARM_UP, LEAST, MOST = 3, 5, 200  # answers
BATCHES = (16, 4)  # pictures at a time for the throughput: the first of which LEAST fit into the time, else 1


@dataclass(frozen=True)
class Latency:
    """What answers took, in seconds of this process's processor time."""

    median: float  # of one picture at a time
    p95: float  # 95th percentile of the same
    per_second: float  # pictures, in batches


def time_answers(prepare: Callable[[int], Callable[[], Any]]) -> Latency:
    """Time answers to one picture at a time, then to batches; about half a second, or 16 answers of a slow model.

    prepare: returns a call that answers so many pictures.
    """
    single = _timed(prepare(1))
    median = float(np.median(single))
    batch = next((size for size in BATCHES if LEAST * size * median <= SECONDS), 1)
    each = median if batch == 1 else float(np.median(_timed(prepare(batch)))) / batch
    return Latency(median, float(np.quantile(single, 0.95)), 1 / each)


def _timed(answer: Callable[[], Any]) -> list[float]:
    """Seconds of each answer; the first ones, which find memory and the way, are left out."""
    for _ in range(WARM_UP):
        answer()
    found: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(found) < LEAST or (len(found) < MOST and time.perf_counter() < end):
        begin = time.process_time()
        answer()
        found.append(time.process_time() - begin)
    return found


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold torch, and what computes for scikit-learn, to one thread; afterwards they have as many as before."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    with threadpool_limits(1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


@lru_cache(maxsize=1)
def processor() -> str:
    """The processor's name as its maker gives it; where the system does not say it, its kind, such as aarch64."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
