"""What a trained model takes to answer: bytes, multiply-adds, time."""

from headstart.footprint.answering import Answering
from headstart.footprint.latency import BATCHES, Latency, one_thread, processor, time_answers
from headstart.footprint.sizes import convolution_share, multiply_adds, tensor_bytes

__all__ = [
    "BATCHES",
    "Answering",
    "Latency",
    "convolution_share",
    "multiply_adds",
    "one_thread",
    "processor",
    "tensor_bytes",
    "time_answers",
]
