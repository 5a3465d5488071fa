"""Files of concurrent requests are decoded together, and their pictures go through the network together."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headstart.serving.messages import Message, Parts
from headstart.serving.pool import DECODE, PREDICT, Overdue, Pool, WorkerDied

FILES_TOGETHER, BYTES_TOGETHER = 16, 200_000  # that are decoded by one worker one after the other, at most


@dataclass(eq=False)
class Waiting:
    """What waits for a worker, in the order in which it came, each with what its answer is given to."""

    work: Callable[[], Coroutine[Any, Any, None]]  # has a worker `take` some of it, and answers that
    items: deque[tuple[bytes, asyncio.Future]] = field(default_factory=deque)
    _called: bool = False  # whether a worker has been asked to take what waits
    _tasks: set[asyncio.Task] = field(default_factory=set)

    def put(self, content: bytes) -> asyncio.Future:
        """Have it wait; its answer is to come."""
        answer = asyncio.get_running_loop().create_future()
        self.items.append((content, answer))
        return answer

    def call(self) -> None:
        """Ask for a worker that takes what waits, unless one was asked already."""
        if self.items and not self._called:
            self._called = True
            task = asyncio.get_running_loop().create_task(self.work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def take(self, answers: list[asyncio.Future], fits: Callable[[list[bytes], bytes], bool]) -> list[bytes]:
        """What goes together, now that a worker is free; what no request waits for any more is left out.

        answers: to which those of what is taken are added. fits: whether another may go with these.
        """
        self._called, taken = False, []
        while self.items and fits(taken, self.items[0][0]):
            content, answer = self.items.popleft()
            if not answer.done():
                taken.append(content)
                answers.append(answer)
        self.call()  # for the rest, which has waited long enough
        return taken


@dataclass(frozen=True, eq=False)
class Answer:
    """What the network said of a picture."""

    probabilities: np.ndarray  # float32 [classes]
    batch: int  # pictures that were computed together


@dataclass(eq=False)
class Batcher:
    """Collects pictures until a batch is full, or a worker is free and the first has waited for `wait` seconds.

    While all workers compute, pictures go on to collect: how many a batch has when it begins is decided when a worker
    takes it.
    """

    pool: Pool
    most: int  # pictures in a batch
    wait: float  # seconds
    seconds: float  # that a batch may take
    note: Callable[[list[list[float]], list[list[float]]], None]  # mean and mean square of the channels, per picture
    accepted: Callable[[], int] | None = None  # pictures that wait, are decoded or computed now; None: not known
    _timer: asyncio.TimerHandle | None = None
    _computing: int = 0  # pictures

    def __post_init__(self) -> None:
        self._waiting = Waiting(self._compute)

    async def predict(self, pixels: bytes) -> Answer:
        """What the network says of a decoded picture. Raises as `Pool.run` does."""
        answer = self._waiting.put(pixels)
        if len(self._waiting.items) >= self.most or self._nobody_else():
            self._call()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.wait, self._call)
        return await answer

    def _nobody_else(self) -> bool:
        """Whether all pictures that could join these have come already."""
        return self.accepted is not None and len(self._waiting.items) + self._computing >= self.accepted()

    def _call(self) -> None:
        self._stop_timer()
        self._waiting.call()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _compute(self) -> None:
        answers: list[asyncio.Future[Answer]] = []

        def taken() -> Parts:
            """The pictures of the batch, now that a worker is free."""
            self._stop_timer()
            pixels = self._waiting.take(answers, lambda pixels, _: len(pixels) < self.most)
            self._computing += len(pixels)
            return pixels

        try:
            message = await self.pool.run(PREDICT, {"job": "predict", "seconds": self.seconds}, taken)
        except asyncio.CancelledError:
            if answers:
                raise  # the server ends; else there was nothing to do any more
        except Exception as error:
            _answer(answers, error)
        else:
            self._hand_over(message, answers)
        finally:
            self._computing -= len(answers)

    def _hand_over(self, message: Message, answers: list[asyncio.Future[Answer]]) -> None:
        header, payload = message
        self.note(header["mean"], header["square"])
        found = np.frombuffer(payload, np.float32).reshape(len(answers), -1)
        _answer(answers, [Answer(row, len(answers)) for row in found])


@dataclass(frozen=True, eq=False)
class Decoded:
    """What a worker made of a file."""

    pixels: bytes  # empty where it is no picture
    unread: str | None  # why it is none
    too_large: bool  # it has more pixels than are allowed


@dataclass(eq=False)
class Decoder:
    """Hands files to workers: alone where one is free, else several small ones together.

    What passes between processes takes as long as the decoding of a small picture, so those that wait anyhow share it.
    """

    pool: Pool
    seconds: float  # that a file may take

    def __post_init__(self) -> None:
        self._waiting = Waiting(self._run)

    async def decode(self, content: bytes) -> Decoded:
        """What a file is. Raises as `Pool.run` does."""
        answer: asyncio.Future[Decoded | None] = self._waiting.put(content)
        self._waiting.call()
        if (found := await answer) is not None:
            return found
        message = await self.pool.run(DECODE, self._header([content]), lambda: [content])
        return _decoded(message)[0]

    def _header(self, contents: list[bytes]) -> dict[str, Any]:
        return {"job": "decode", "seconds": self.seconds, "sizes": [len(content) for content in contents]}

    async def _run(self) -> None:
        answers: list[asyncio.Future[Decoded | None]] = []
        header = self._header([])

        def taken() -> Parts:
            """Those that a worker takes, now that it is free."""
            contents = self._waiting.take(answers, _fits)
            header.update(self._header(contents))
            return contents

        found: list[Decoded | None] | Exception
        try:
            found = _decoded(await self.pool.run(DECODE, header, taken, tries=1))
        except asyncio.CancelledError:
            if answers:
                raise  # the server ends; else there was nothing to do any more
            return
        except WorkerDied as error:  # over one of them: each is tried alone, but not twice what takes too long
            found = error if isinstance(error, Overdue) and len(answers) == 1 else [None] * len(answers)
        except Exception as error:
            found = error
        _answer(answers, found)


def _fits(files: list[bytes], another: bytes) -> bool:
    """Whether one more file may go with these to a worker."""
    return not files or (len(files) < FILES_TOGETHER and sum(map(len, files)) + len(another) <= BYTES_TOGETHER)


def _decoded(message: Message) -> list[Decoded]:
    """A worker's answer for each of the files."""
    header, payload = message
    files, pixels = header["files"], memoryview(payload)
    size = len(pixels) // max(1, sum("unread" not in file for file in files))
    found, place = [], 0
    for file in files:
        if "unread" in file:
            found.append(Decoded(b"", file["unread"], file["too_large"]))
        else:
            found.append(Decoded(bytes(pixels[place : place + size]), None, False))
            place += size
    return found


def _answer(answers: Sequence[asyncio.Future], found: Sequence[Any] | Exception) -> None:
    """Give each its own, or all of them the error."""
    for place, answer in enumerate(answers):
        if answer.done():
            continue
        if isinstance(found, Exception):
            answer.set_exception(found)
        else:
            answer.set_result(found[place])
