"""A trained network behind HTTP: one process that talks to clients, others that decode and compute.

    supervisor.py  the process that was started: loads the network, forks all others, replaces workers that die
    front.py       the process that talks: uvicorn and FastAPI on one event loop; no picture is decoded in it
    worker.py      the processes that decode pictures, compute probabilities and Grad-CAM

Serving libraries were looked at first. LitServe 0.2.19 has batches, workers and a key; but it pickles between its
processes, its queue has no bound, time-outs are left to the worker that takes a request up, it stops when a worker dies
or answers that one's requests with 500, a request is one input of the network, the key is compared with `!=`, and its
OpenAPI document describes no upload. mosec 0.9.8 pickles between its stages, too, and BentoML brings 35 packages. What
would be left to do is most of the list in each case. So HTTP is FastAPI's and uvicorn's, figures are counted by
prometheus-client, and batches and workers are here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.serving.service import Model
    from headstart.serving.settings import BACKENDS, Settings, check_extra, read_bytes
    from headstart.serving.supervisor import serve

_MODULES = {
    "settings": ("BACKENDS", "Settings", "check_extra", "read_bytes"),
    "service": ("Model",),
    "supervisor": ("serve",),
}

__all__ = ["BACKENDS", "Model", "Settings", "check_extra", "read_bytes", "serve"]


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
