"""What does pretraining buy an image classifier, against training from random weights?"""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.notebook import load

__all__ = ["__version__", "load"]
__version__ = version("headstart")


def __getattr__(name: str) -> Any:
    """Import `load`, and pandas with it, when it is first asked for: `import headstart` stays instant."""
    if name != "load":
        raise AttributeError(f"module 'headstart' has no attribute {name!r}")
    from headstart.notebook import load

    return load
