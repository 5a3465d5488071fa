"""The one exception for mistakes a user can make, and an exception in one line."""


class UserError(Exception):
    """A mistake in what was typed or in the files given: what came, what was expected, what to type.

    The command line prints its text without a traceback.
    """


def summary(error: BaseException | None) -> str:
    """The first line of an exception's text, which says what is wrong (advice follows it), or its type's name."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
