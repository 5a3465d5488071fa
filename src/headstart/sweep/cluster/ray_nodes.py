"""Ray is joined, or started, once and before any thread sends a job to it."""

import signal
from collections.abc import Mapping
from typing import Any

from headstart.errors import UserError, first_line


def prepare_ray(init: Mapping[str, Any]) -> None:
    """Initialise Ray for hydra/launcher=ray, whose threads would each start one of their own.

    init: what is handed to ray.init, hydra.launcher.ray.init. Raises UserError where it cannot be started or reached.
    """
    import ray

    listening = signal.getsignal(signal.SIGTERM)
    try:
        if not ray.is_initialized():
            ray.init(**init)
    except Exception as error:  # of many kinds, down to a bare Exception
        where = f"at {init['address']} " if init.get("address") else ""
        raise UserError(
            f"hydra/launcher=ray: Ray {where}cannot be used: {first_line(error)}\n"
            "hydra.launcher.ray.init.address=auto joins the nodes that `ray start` started; null starts Ray here"
        ) from error
    finally:
        signal.signal(signal.SIGTERM, listening)  # which ray.init takes away
