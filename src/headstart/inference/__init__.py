"""A trained network, used and given away."""

from headstart.inference.classifier import Classifier
from headstart.inference.describe import describe_weights, show_weights
from headstart.inference.export import export_run

__all__ = ["Classifier", "describe_weights", "export_run", "show_weights"]
