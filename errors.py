"""The one exception that a user's mistake raises; everything else is a bug."""


class InputError(ValueError):
    """Bad input: the message says what is wrong, where, and what to do about it.

    The command line prints it as one line and exits with status 1; no traceback.
    """
