"""Networks and estimators, with their weights."""

from headstart.models.airbench import fit_whitening
from headstart.models.estimators import EstimatorModel
from headstart.models.freezing import is_frozen, learns_batch_norm, parameter_groups, set_trainable, stays_frozen
from headstart.models.matching import fits
from headstart.models.metadata import Normalisation, read_metadata
from headstart.models.model import (
    NETWORK_OPTIONS,
    Model,
    backbone_digest,
    backbone_features,
    can_be_frozen,
    classify,
    count_parameters,
    evaluation_batch,
    halves_agree,
)
from headstart.models.save_weights import export_bytes
from headstart.models.weight_files import Weights, from_file

__all__ = [
    "NETWORK_OPTIONS",
    "EstimatorModel",
    "Model",
    "Normalisation",
    "Weights",
    "backbone_digest",
    "backbone_features",
    "can_be_frozen",
    "classify",
    "count_parameters",
    "evaluation_batch",
    "export_bytes",
    "fit_whitening",
    "fits",
    "from_file",
    "halves_agree",
    "is_frozen",
    "learns_batch_norm",
    "parameter_groups",
    "read_metadata",
    "set_trainable",
    "stays_frozen",
]
