"""What does pretraining buy an image classifier, against training from random weights?"""

from importlib.metadata import version

__version__ = version("headstart")
