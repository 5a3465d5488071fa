"""A trained network, used and given away.

Names are imported when they are first asked for: which pictures are meant is found out without torch.
"""

from typing import TYPE_CHECKING

from headstart.lazy import door

if TYPE_CHECKING:
    from headstart.inference.classifier import Classifier
    from headstart.inference.container import MODEL, check_container_folder, write_container
    from headstart.inference.describe import describe_weights, show_weights
    from headstart.inference.evaluation import Evaluation, evaluate, labelled_pictures
    from headstart.inference.explanation import MapLayer, explain, map_layer
    from headstart.inference.export import FORMATS, export_model, export_run
    from headstart.inference.onnx_export import facts, onnx_bytes
    from headstart.inference.pictures import Picture, decode_picture, decode_pictures, find_pictures

_MODULES = {
    "classifier": ("Classifier",),
    "container": ("MODEL", "check_container_folder", "write_container"),
    "describe": ("describe_weights", "show_weights"),
    "evaluation": ("Evaluation", "evaluate", "labelled_pictures"),
    "explanation": ("MapLayer", "explain", "map_layer"),
    "export": ("FORMATS", "export_model", "export_run"),
    "onnx_export": ("facts", "onnx_bytes"),
    "pictures": ("Picture", "decode_picture", "decode_pictures", "find_pictures"),
}

__all__ = [
    "FORMATS",
    "MODEL",
    "Classifier",
    "Evaluation",
    "MapLayer",
    "Picture",
    "check_container_folder",
    "decode_picture",
    "decode_pictures",
    "describe_weights",
    "evaluate",
    "explain",
    "export_model",
    "export_run",
    "facts",
    "find_pictures",
    "labelled_pictures",
    "map_layer",
    "onnx_bytes",
    "show_weights",
    "write_container",
]

__getattr__ = door(__name__, _MODULES)
