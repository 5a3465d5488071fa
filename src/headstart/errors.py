"""The one exception for mistakes a user can make, and an exception in one line."""


class UserError(Exception):
    """A mistake in what was typed or in the files given: what came, what was expected, what to type.

    The command line prints its text without a traceback.
    """


def summary(error: BaseException | None) -> str:
    """What is wrong in one line: the first one of an exception's text (advice follows it), with the next where it ends
    in a colon, or its type's name."""
    lines = [line.strip() for line in (str(error).strip() or type(error).__name__).splitlines()]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
