"""What does pretraining buy an image classifier, against training from random weights?"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.inference import Classifier
    from headstart.notebook import load, load_model

__all__ = ["Classifier", "__version__", "load", "load_model"]


def __getattr__(name: str) -> Any:
    """Import `load`, `load_model` and `Classifier`, and pandas and torch with them, when they are asked for.

    So `import headstart` stays instant. The version, too, is looked up then: it takes longer than all else that stands
    before `main`.
    """
    if name in ("load", "load_model"):
        from headstart import notebook

        return getattr(notebook, name)
    if name == "Classifier":
        from headstart.inference import Classifier

        return Classifier
    if name == "__version__":
        from importlib.metadata import version

        return version("headstart")
    raise AttributeError(f"module 'headstart' has no attribute {name!r}")
