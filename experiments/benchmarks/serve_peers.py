"""The servers that `serve.py` compares ours with: a handler as tutorials have it, and LitServe as its pages show it.

    python experiments/benchmarks/serve_peers.py plain|litserve MODEL PORT [--workers N]

Both have torchvision's transforms and the network of the file that ours has. plain: FastAPI and uvicorn (with httptools
and uvloop, as ours), an upload is read, decoded and computed where it is received, one after the other, torch's own
number of threads. litserve: a LitAPI with `decode_request`, `batch`, `predict` and `encode_response`, batches of up to
32 that are waited for as long as ours, workers as many as ours.
"""

import argparse
import io
from typing import Any

import litserve as ls
import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image
from torch import Tensor
from torchvision import transforms

import headstart


class Network:
    """The network with what goes before and behind it."""

    def __init__(self, path: str):
        classifier = headstart.load_model(path)
        self.network, self.classes = classifier.network, classifier.classes
        size = classifier.image_size
        self.transform = transforms.Compose(
            [transforms.Resize(size), transforms.CenterCrop(size), transforms.ToTensor(),
             transforms.Normalize(classifier.mean, classifier.std)]
        )  # fmt: skip

    def input(self, content: bytes) -> Tensor:
        return self.transform(Image.open(io.BytesIO(content)).convert("RGB"))

    def probabilities(self, inputs: Tensor) -> Tensor:
        with torch.inference_mode():
            return self.network(inputs).softmax(1)

    def answer(self, probabilities: Tensor) -> dict[str, Any]:
        values, places = probabilities.topk(min(5, len(self.classes)))
        pairs = zip(places.tolist(), values.tolist(), strict=True)
        top = [{"class": self.classes[place], "probability": value} for place, value in pairs]
        return {**top[0], "top": top}


def plain(path: str, port: int) -> None:
    network, app = Network(path), FastAPI()

    @app.post("/predict")
    async def predict(file: UploadFile) -> dict:
        return network.answer(network.probabilities(network.input(await file.read())[None])[0])

    uvicorn.run(app, port=port, log_level="warning")


class Api(ls.LitAPI):
    """At the top of a module, as LitServe pickles it for its workers."""

    def __init__(self, path: str, workers: int):
        super().__init__(max_batch_size=32, batch_timeout=0.005)
        self.path, self.workers = path, workers

    def setup(self, device: str) -> None:
        torch.set_num_threads(max(1, torch.get_num_threads() // self.workers))
        self.network = Network(self.path)

    def decode_request(self, request):  # without an annotation, which would make it a body of JSON
        return self.network.input(request["file"].file.read())

    def batch(self, inputs: list[Tensor]) -> Tensor:
        return torch.stack(inputs)

    def predict(self, inputs: Tensor) -> Tensor:
        return self.network.probabilities(inputs)

    def unbatch(self, output: Tensor) -> list[Tensor]:
        return list(output)

    def encode_response(self, output):
        return self.network.answer(output)


def litserve(path: str, port: int, workers: int) -> None:
    server = ls.LitServer(Api(path, workers), accelerator="cpu", workers_per_device=workers, timeout=60)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=["plain", "litserve"])
    parser.add_argument("model")
    parser.add_argument("port", type=int)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    if options.peer == "plain":
        plain(options.model, options.port)
    else:
        litserve(options.model, options.port, options.workers)


if __name__ == "__main__":
    main()
