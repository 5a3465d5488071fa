"""A trained network, used and given away."""

from headstart.inference.classifier import Classifier
from headstart.inference.export import describe_weights, export_run

__all__ = ["Classifier", "describe_weights", "export_run"]
