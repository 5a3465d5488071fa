"""Why a data set is not trained on as it is, though the rest of it can be looked at."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from headstart.errors import UserError

DataSet = TypeVar("DataSet")


class Refused(UserError):
    """What has to be mended, or chosen, before anything is trained."""

    way_out = ""  # what it can be mended for, or chosen,
    words: tuple[str, ...] = ()  # and by which overrides
    anyway: Callable[[], Any]  # reads the data set without what is wrong, or with it: to be looked at


class Unreadable(Refused):
    """Files that cannot be decoded."""

    way_out = "When these files are mended or deleted"

    def __init__(self, text: str, paths: Sequence[str]):
        super().__init__(text)
        self.paths = frozenset(paths)  # below the data set's root


class TooManyCopies(Refused):
    """More copies across parts or classes than are dropped unasked."""

    way_out = "To leave copies out of training"
    words = ("data.duplicates=drop",)


def read_anyway(read: Callable[[], DataSet]) -> tuple[DataSet, list[Refused]]:
    """What `read` reads, or could read but for what it refuses; and what that is.

    Raises UserError for what leaves nothing to look at.
    """
    refused: list[Refused] = []
    while True:
        try:
            return read(), refused
        except Refused as error:
            refused.append(error)
            read = error.anyway
        except UserError:
            if refused:  # what is left is no data set
                raise refused[0] from None
            raise
