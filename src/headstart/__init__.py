"""What does pretraining buy an image classifier, against training from random weights?"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.inference import Classifier
    from headstart.notebook import load

__all__ = ["Classifier", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import `load` and `Classifier`, and pandas and torch with them, when asked for: `import headstart` stays instant.

    So does the version: to look it up takes longer than all else that stands before `main`.
    """
    if name == "load":
        from headstart.notebook import load

        return load
    if name == "Classifier":
        from headstart.inference import Classifier

        return Classifier
    if name == "__version__":
        from importlib.metadata import version

        return version("headstart")
    raise AttributeError(f"module 'headstart' has no attribute {name!r}")
