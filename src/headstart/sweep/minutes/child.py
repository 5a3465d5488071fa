"""Work in a process of its own, so that this one keeps what a fork needs: one thread, and no GPU."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

from headstart.errors import UserError
from headstart.sweep.workers import can_fork, release_blas_threads

T = TypeVar("T")


def in_child(work: Callable[[], T], *, forks: bool) -> T:
    """What `work` returns, from a forked child where workers are to be forked from here later; else done here.

    Raises UserError as `work` does, and where the child died.
    """
    if not forks or not can_fork():
        return work()
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_live, args=(work, theirs))
    process.start()
    theirs.close()
    try:
        answer, error = ours.recv()
    except EOFError:
        process.join()
        raise UserError(f"timing a few steps ended with exit code {process.exitcode} (out of memory?)") from None
    process.join()
    if error is not None:
        raise UserError(error)
    return answer


def _live(work: Callable[[], T], answer_to: Connection) -> None:
    release_blas_threads()
    try:
        answer_to.send((work(), None))
    except UserError as error:
        answer_to.send((None, str(error)))
