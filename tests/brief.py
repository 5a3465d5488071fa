"""`headstart` that times a network for a glance before a study begins, for tests that are not about how long it takes.

The seconds of a measurement are there so that what else goes on in the machine does not make the forecast a wrong one.
"""

from headstart.cli import main as cli
from headstart.timing import measure


def main() -> None:
    """The command line."""
    measure.SECONDS = measure.BUSY_SECONDS = 0.02
    measure.LONGEST = 0.1
    cli.main()
