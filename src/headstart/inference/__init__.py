"""A trained network, used and given away."""

from headstart.inference.classifier import Classifier

__all__ = [
    "Classifier",
]
