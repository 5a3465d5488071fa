"""Networks and estimators, with their weights."""

from headstart.models.builders import Normalisation
from headstart.models.estimators import Classical
from headstart.models.freezing import is_frozen, parameter_groups, set_trainable
from headstart.models.load_weights import export_bytes
from headstart.models.model import (
    Model,
    backbone_digest,
    backbone_features,
    classify,
    count_parameters,
    in_classifier,
    splits,
)
from headstart.models.weight_files import from_file, read_metadata

__all__ = [
    "Classical",
    "Model",
    "Normalisation",
    "backbone_digest",
    "backbone_features",
    "classify",
    "count_parameters",
    "export_bytes",
    "from_file",
    "in_classifier",
    "is_frozen",
    "parameter_groups",
    "read_metadata",
    "set_trainable",
    "splits",
]
