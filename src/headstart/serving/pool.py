"""The workers as the process that talks sees them: who is free, what waits, and what is run again when one dies."""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from headstart.serving.messages import Message, Parts, packed, read

TRIES = 3  # workers that may die over a job
PREDICT, DECODE, EXPLAIN = range(3)  # what goes first where several jobs wait


class WorkerDied(Exception):
    """Every worker that tried a job has died over it."""


class Overdue(WorkerDied):
    """A job took longer than it may."""


class JobFailed(Exception):
    """A worker could not do a job, which is a mistake of the program."""


@dataclass(eq=False)
class Job:
    """Something that a worker is to do."""

    header: dict[str, Any]  # `job`: which; `seconds`: after which its worker ends itself
    parts: Callable[[], Parts]  # asked for when a worker is free; none: there is nothing to do any more
    answer: asyncio.Future[Message]
    tries: int  # workers that may die over it
    sent: Parts = ()
    deaths: int = 0
    began: float = 0.0


@dataclass(eq=False)
class Link:
    """The connection to a worker."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    job: Job | None = None


@dataclass(eq=False)
class Pool:
    """The workers that have the network, and the jobs that wait for one of them."""

    ready: set[Link] = field(default_factory=set)
    died: int = 0  # workers, so far
    _idle: list[Link] = field(default_factory=list)
    _waiting: list[tuple[int, int, Job]] = field(default_factory=list)
    _numbers: itertools.count = field(default_factory=itertools.count)

    async def run(
        self, priority: int, header: dict[str, Any], parts: Callable[[], Parts], tries: int = TRIES
    ) -> Message:
        """Have a worker do a job and return its answer.

        Raises:
            WorkerDied: `tries` workers have died over it. Overdue: one did because its time was up.
            JobFailed: a worker could not do it.
        """
        job = Job(header, parts, asyncio.get_running_loop().create_future(), tries)
        self._put(priority, job)
        return await job.answer

    async def attend(self, link: Link) -> None:
        """Listen to a worker from its first word to its end."""
        try:
            while (message := await read(link.reader)) is not None:
                if "ready" in message[0]:
                    self.ready.add(link)
                self._settle(link, message)
                self._idle.append(link)
                self._hand_out()
        finally:
            self._lose(link)

    def _settle(self, link: Link, message: Message) -> None:
        job, link.job = link.job, None
        if job is None or job.answer.done():
            return
        if "failed" in message[0]:
            job.answer.set_exception(JobFailed(message[0]["failed"]))
        else:
            job.answer.set_result(message)

    def _put(self, priority: int, job: Job) -> None:
        heapq.heappush(self._waiting, (priority, next(self._numbers), job))
        self._hand_out()

    def _hand_out(self) -> None:
        while self._idle and self._waiting:
            job = heapq.heappop(self._waiting)[2]
            if job.answer.done():  # whoever asked has gone
                continue
            job.sent = job.sent or job.parts()
            if not job.sent:
                job.answer.cancel()
                continue
            link = self._idle.pop()
            link.job, job.began = job, time.monotonic()
            link.writer.writelines(packed(job.header, job.sent))

    def _lose(self, link: Link) -> None:
        """Forget a worker that has died; what it was doing goes to another, before all that waits."""
        self.died += 1
        self.ready.discard(link)
        if link in self._idle:
            self._idle.remove(link)
        link.writer.close()
        job, link.job = link.job, None
        if job is None or job.answer.done():
            return
        job.deaths += 1
        if time.monotonic() - job.began >= job.header["seconds"]:
            job.answer.set_exception(Overdue(f"it took longer than {job.header['seconds']:g} s"))
        elif job.deaths >= job.tries:
            job.answer.set_exception(WorkerDied(f"{job.tries} workers ended over it"))
        else:
            self._put(PREDICT - 1, job)
