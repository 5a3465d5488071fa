"""What is done with the files of a request: decoded, classified, explained by the workers."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.serving.batching import Answer, Batcher
from headstart.serving.messages import Message
from headstart.serving.metrics import Metrics
from headstart.serving.pool import DECODE, EXPLAIN, JobFailed, Overdue, Pool, WorkerDied
from headstart.serving.settings import Settings
from headstart.serving.uploads import Admission, File, Refused


@dataclass(frozen=True)
class Model:
    """What clients are told of the network."""

    name: str
    classes: tuple[str, ...]
    picture_size: int  # pixels a side that pictures are decoded to
    unexplained: str | None  # why there is no Grad-CAM; None: there is


@dataclass(frozen=True, eq=False)
class Unread:
    """A file that could not be decoded."""

    reason: str
    too_large: bool  # it has more pixels than are allowed


@dataclass(eq=False)
class Service:
    """The network as the routes use it."""

    model: Model
    settings: Settings
    pool: Pool
    batcher: Batcher
    admission: Admission
    metrics: Metrics

    async def predict(self, files: Sequence[File], began: float) -> list[Answer | Unread]:
        """What the network says of each file, in their order. began: when the request did.

        Raises:
            Refused: no room, no time, or workers died over it.
        """
        with self.admission.pictures_taken(len(files)):
            found = await self._in_time(began, asyncio.gather(*map(self._classified, files)))
        for answer in found:
            if isinstance(answer, Answer):
                self.metrics.note_answer(self.model.classes[int(answer.probabilities.argmax())], answer)
            else:
                self.metrics.unread.inc()
        return found

    async def explain(self, file: File, began: float) -> dict[str, Any] | Unread:
        """The class found, its probability and the picture under its Grad-CAM. Raises Refused as `predict` does."""
        header = {"job": "explain", "seconds": self.settings.timeout}
        with self.admission.pictures_taken(1):
            found = await self._in_time(began, self._read(EXPLAIN, header, file))
        return found if isinstance(found, Unread) else found[0]

    async def _in_time(self, began: float, work: Any) -> Any:
        try:
            async with asyncio.timeout(began + self.settings.timeout - time.monotonic()):
                return await work
        except TimeoutError:
            raise Refused(503, f"no answer after {self.settings.timeout:g} seconds") from None
        except WorkerDied as error:
            raise Refused(503, f"not answered: {error}") from None

    async def _classified(self, file: File) -> Answer | Unread:
        header = {"job": "decode", "seconds": self.settings.decode_seconds}
        decoded = await self._read(DECODE, header, file)
        return decoded if isinstance(decoded, Unread) else await self.batcher.predict(decoded[1])

    async def _read(self, priority: int, header: dict[str, Any], file: File) -> Message | Unread:
        """A worker's answer to a job that begins with a file of a stranger."""
        try:
            message = await self.pool.run(priority, header, lambda: [file.content])
        except Overdue:
            return Unread("it took too long to decode", too_large=False)
        except WorkerDied:
            return Unread("the libraries that decode pictures break on it", too_large=False)
        if (reason := message[0].get("unread")) is not None:
            return Unread(reason, message[0]["too_large"])
        if (reason := message[0].get("refused")) is not None:
            raise JobFailed(reason)
        return message


def highest(probabilities: np.ndarray, classes: Sequence[str], count: int) -> list[dict[str, Any]]:
    """The `count` most probable classes, the most probable first."""
    places = np.argsort(-probabilities, kind="stable")[:count]
    return [{"class": classes[place], "probability": float(probabilities[place])} for place in places]
