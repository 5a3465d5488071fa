"""The life of a worker: it decodes pictures, computes probabilities and Grad-CAM, one job at a time.

Pictures are decoded here and not in the process that talks to clients, although each then goes through a socket twice:
libraries in C read files of strangers. One that crashes on a file, or takes for ever, ends a worker, which is replaced.
"""

import base64
import io
import os
import signal
import socket
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.errors import UserError, first_line
from headstart.inference import Classifier, MapLayer, decode_picture, explain
from headstart.serving.messages import Message, Parts, receive, send

SHOWN_SIZE = 320  # pixels a side of a picture with its map
Answer = tuple[dict[str, Any], Parts]


@dataclass(frozen=True, eq=False)
class Worker:
    """What a worker can do."""

    classifier: Classifier
    probabilities: Callable[[np.ndarray], np.ndarray]  # uint8 [N, size, size, 3] to float32 [N, classes]
    layer: MapLayer | None  # whose maps explain; None: nothing is explained
    max_pixels: int
    threads: int

    def live(self, connection: socket.socket) -> None:
        """Answer jobs until the other end has gone. A job that takes longer than its `seconds` ends this process."""
        self._prepare()
        send(connection, {"ready": os.getpid()})
        jobs = {"decode": self._decode, "predict": self._predict, "explain": self._explain}
        while (message := receive(connection)) is not None:
            signal.setitimer(signal.ITIMER_REAL, message[0]["seconds"])  # its signal needs no Python to end us
            try:
                header, parts = jobs[message[0]["job"]](message)
            except UserError as error:
                header, parts = {"refused": str(error)}, ()
            except Exception as error:  # the one who asked has to hear of it, and the next job is another
                header, parts = {"failed": f"{type(error).__name__}: {first_line(error)}"}, ()
            signal.setitimer(signal.ITIMER_REAL, 0)
            send(connection, header, parts)

    def _prepare(self) -> None:
        import torch
        from PIL import Image

        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        torch.set_num_threads(self.threads)
        Image.MAX_IMAGE_PIXELS = self.max_pixels
        warnings.simplefilter("ignore")  # what Pillow only warns of is decoded or not
        size = self.classifier.picture_size
        for count in (1, 2):  # what is made at the first call is made now
            self.probabilities(np.zeros((count, size, size, 3), np.uint8))

    def _decode(self, message: Message) -> Answer:
        """Files, of which the header has the `sizes`, as the network takes them: uint8 [size, size, 3] each."""
        files: list[dict[str, Any]] = []
        pixels, place, payload = [], 0, memoryview(message[1])
        for size in message[0]["sizes"]:
            content, place = payload[place : place + size], place + size
            found = decode_picture(io.BytesIO(content), self.classifier.picture_size)
            if isinstance(found, str):
                files.append({"unread": found, "too_large": is_too_large(content, self.max_pixels)})
            else:
                files.append({})
                pixels.append(np.ascontiguousarray(found).data.cast("B"))
        return {"files": files}, pixels

    def _predict(self, message: Message) -> Answer:
        """Probabilities, float32 [N, classes], with mean and mean square of each picture's channels in 0..1."""
        size = self.classifier.picture_size
        images = np.frombuffer(message[1], np.uint8).reshape(-1, size, size, 3)
        found = np.ascontiguousarray(self.probabilities(images), np.float32)
        pixels = images.reshape(len(images), -1, 3).astype(np.float32) / 255
        moments = {"mean": pixels.mean(1).tolist(), "square": (pixels**2).mean(1).tolist()}
        return moments, (found.data.cast("B"),)

    def _explain(self, message: Message) -> Answer:
        """The class found, and the picture as PNG under its Grad-CAM."""
        from PIL import Image

        from headstart.report import overlaid

        assert self.layer is not None, "the front refuses what cannot be explained"
        found = decode_picture(io.BytesIO(message[1]), self.classifier.picture_size)
        shown = decode_picture(io.BytesIO(message[1]), SHOWN_SIZE)
        if isinstance(found, str) or isinstance(shown, str):
            return {"unread": found, "too_large": is_too_large(message[1], self.max_pixels)}, ()
        shares = self.classifier.probabilities(found[None])[0]
        best = int(shares.argmax())
        heat = explain(self.classifier, found[None], np.array([best]), self.layer)[0]
        file = io.BytesIO()
        Image.fromarray(overlaid(shown, heat)).save(file, "PNG")
        picture = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
        return {"class": self.classifier.classes[best], "probability": float(shares[best]), "picture": picture}, ()


def is_too_large(content: bytes | bytearray | memoryview, max_pixels: int) -> bool:
    """Whether a file that was not decoded says that it has more pixels than are allowed."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.width * image.height > max_pixels
    except Image.DecompressionBombError:
        return True
    except Exception:  # of which Pillow raises almost any for what is no picture
        return False
