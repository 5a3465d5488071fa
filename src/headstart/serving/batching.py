"""Pictures of concurrent requests go through the network together."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from headstart.serving.messages import Message, Parts
from headstart.serving.pool import PREDICT, Pool


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
    _waiting: deque[tuple[bytes, asyncio.Future[Answer]]] = field(default_factory=deque)
    _timer: asyncio.TimerHandle | None = None
    _called: bool = False  # whether a worker has been asked to take what waits
    _tasks: set[asyncio.Task] = field(default_factory=set)

    async def predict(self, pixels: bytes) -> Answer:
        """What the network says of a decoded picture. Raises as `Pool.run` does."""
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        self._waiting.append((pixels, answer))
        if len(self._waiting) >= self.most:
            self._call()
        elif self._timer is None:
            self._timer = loop.call_later(self.wait, self._call)
        return await answer

    def _call(self) -> None:
        """Ask for a worker that takes what waits, unless one was asked already."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting and not self._called:
            self._called = True
            task = asyncio.get_running_loop().create_task(self._compute())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _compute(self) -> None:
        answers: list[asyncio.Future[Answer]] = []

        def taken() -> Parts:
            """The pictures of the batch, now that a worker is free; those whose request has ended are left out."""
            self._called, pixels = False, []
            while self._waiting and len(pixels) < self.most:
                picture, answer = self._waiting.popleft()
                if not answer.done():
                    pixels.append(picture)
                    answers.append(answer)
            self._call()  # for the rest, which has waited long enough
            return pixels

        try:
            message = await self.pool.run(PREDICT, {"job": "predict", "seconds": self.seconds}, taken)
        except asyncio.CancelledError:
            if answers:
                raise  # the server ends; else there was nothing to do any more
        except Exception as error:
            for answer in answers:
                if not answer.done():
                    answer.set_exception(error)
        else:
            self._hand_over(message, answers)

    def _hand_over(self, message: Message, answers: list[asyncio.Future[Answer]]) -> None:
        header, payload = message
        self.note(header["mean"], header["square"])
        found = np.frombuffer(payload, np.float32).reshape(len(answers), -1)
        for answer, row in zip(answers, found, strict=True):
            if not answer.done():
                answer.set_result(Answer(row, len(answers)))
