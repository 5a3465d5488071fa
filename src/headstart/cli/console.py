"""Where tables are printed: as rich prints them, but with one end for all commands whose reader leaves early."""

from typing import NoReturn

from rich.console import Console


class StdoutConsole(Console):
    """A console that leaves a closed pipe to the command, as `print` does; rich's own exits with 1 without a word."""

    def on_broken_pipe(self) -> NoReturn:
        """Called while the BrokenPipeError is handled; raises one again."""
        raise BrokenPipeError
