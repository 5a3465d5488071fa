"""Hostile input in batches: a process of its own tries a hundred cases, so that a crash or a hang is one of them."""

import os
import select
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

SIZE = 100  # cases in a batch
LONGEST = 60.0  # seconds for one case
SHOWN = 5  # bad cases in a row
KEYS = ("kind", "seed")
TAKEN, REFUSED = "taken", "refused"  # what a case may say; anything else is what is wrong with it


def attempts(
    work: Path,
    seed: int,
    total: int,
    kinds: tuple[str, ...],
    attempt: Callable[[Path, str, int], str],
    size: int = SIZE,
) -> Iterator[tuple[tuple[str, int], Callable[[], dict[str, object]]]]:
    """(kind, first seed) of every batch, the kinds in turn, and what tries it: `total` cases in all.

    attempt: is given a folder to work in, the kind and the case's own seed.
    """
    for number in range(total // size):
        kind, first = kinds[number % len(kinds)], seed + number * size
        yield (kind, first), partial(try_batch, work, kind, range(first, first + size), attempt)


def is_wanted(row: dict[str, str]) -> bool:
    """Whether all cases of a batch were taken or refused as they have to be."""
    return row["bad"] == "0"


def try_batch(work: Path, kind: str, seeds: range, attempt: Callable[[Path, str, int], str]) -> dict[str, object]:
    """Try all of them; a row of the part's table."""
    began, said, slowest = time.monotonic(), [], 0.0
    while len(said) < len(seeds):  # again behind a case that ended the process
        found, end, seconds = in_a_process(partial(attempt, work, kind), seeds[len(said) :])
        said += [*found, *([end] if end else [])]
        slowest = max(slowest, seconds)
    counts = Counter(said)
    bad = [f"{seed}: {text}" for seed, text in zip(seeds, said, strict=True) if text not in (TAKEN, REFUSED)]
    return dict(
        tried=len(seeds),
        taken=counts[TAKEN],
        refused=counts[REFUSED],
        bad=len(bad),
        which=" | ".join(bad[:SHOWN])[:2_000],
        slowest=round(slowest, 2),
        seconds=round(time.monotonic() - began, 1),
    )


def in_a_process(attempt: Callable[[int], str], seeds: range) -> tuple[list[str], str, float]:
    """What each said, up to one that ended the process; how that did, else ""; and the seconds of the slowest."""
    reads, writes = os.pipe()
    process = os.fork()
    if not process:
        os.close(reads)
        code = 70
        try:
            os.setpgid(0, 0)
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            for seed in seeds:
                os.write(writes, (" ".join(_told(attempt, seed).split())[:500] + "\n").encode(errors="replace"))
            code = 0
        finally:
            os._exit(code)
    os.close(writes)
    said, slowest, is_stuck = _read_lines(reads, len(seeds))
    os.close(reads)
    if is_stuck:
        os.kill(process, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    end = f"stuck for {LONGEST:g} s" if is_stuck else f"the process ended with {code}" if len(said) < len(seeds) else ""
    return said, end, slowest


def _told(attempt: Callable[[int], str], seed: int) -> str:
    try:
        return attempt(seed)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _read_lines(descriptor: int, count: int) -> tuple[list[str], float, bool]:
    """So many lines, or as many as come; the longest wait; and whether one took too long."""
    text, last, slowest = b"", time.monotonic(), 0.0
    while text.count(b"\n") < count:
        if not select.select([descriptor], [], [], LONGEST)[0]:
            return text.decode(errors="replace").splitlines(), LONGEST, True
        if not (more := os.read(descriptor, 65_536)):
            break
        text += more
        slowest, last = max(slowest, time.monotonic() - last), time.monotonic()
    return text.decode(errors="replace").splitlines(), slowest, False
