"""What is done with the files of a request: decoded, classified, explained by the workers."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.serving.batching import Answer, Batcher, Decoder
from headstart.serving.messages import Message
from headstart.serving.metrics import Metrics
from headstart.serving.pool import EXPLAIN, JobFailed, Overdue, Pool, WorkerDied
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
    decoder: Decoder
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
        with self.admission.pictures_taken(1):
            found = await self._in_time(began, self._explained(file))
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
        try:
            decoded = await self.decoder.decode(file.content)
        except WorkerDied as error:
            return _given_up(error)
        if decoded.unread is not None:
            return Unread(decoded.unread, decoded.too_large)
        return await self.batcher.predict(decoded.pixels)

    async def _explained(self, file: File) -> Message | Unread:
        """A worker's answer for the file of a stranger."""
        header = {"job": "explain", "seconds": self.settings.timeout}
        try:
            message = await self.pool.run(EXPLAIN, header, lambda: [file.content])
        except WorkerDied as error:
            return _given_up(error)
        if (reason := message[0].get("unread")) is not None:
            return Unread(reason, message[0]["too_large"])
        if (reason := message[0].get("refused")) is not None:
            raise JobFailed(reason)
        return message


def _given_up(error: WorkerDied) -> Unread:
    if isinstance(error, Overdue):
        return Unread("it took too long to decode", too_large=False)
    return Unread("the libraries that decode pictures break on it", too_large=False)


def highest(probabilities: np.ndarray, classes: Sequence[str], count: int) -> list[dict[str, Any]]:
    """The `count` most probable classes, the most probable first."""
    places = np.argsort(-probabilities, kind="stable")[:count]
    return [{"class": classes[place], "probability": float(probabilities[place])} for place in places]
