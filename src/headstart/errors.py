"""The one exception for mistakes a user can make; the command line prints its text without a traceback."""


class UserError(Exception):
    """A mistake in what was typed or in the files given: what came, what was expected, what to type."""
