"""The one exception that a user's mistake raises; everything else is a bug."""

from __future__ import annotations

import reprlib

MAX_SHOWN = 80  # characters of a value in a message
MAX_LINE = 2000  # characters of a message
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
_SHORT.maxlevel = 3


class InputError(ValueError):
    """Bad input: the message says what is wrong, where, and what to do about it.

    The command line prints it as one line and exits with status 1; no traceback.
    """


def shown(value: object) -> str:
    """Return a value for a message: short, whatever it holds and however deep it is nested."""
    try:
        words = _SHORT.repr(value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        words = f"a very long {type(value).__name__}"
    return words if len(words) <= MAX_SHOWN else words[:MAX_SHOWN] + "..."


def one_line(error: BaseException) -> str:
    """Return an error's message as one line for a terminal, of a length that can be read."""
    words = " ".join(str(error).split()) or type(error).__name__
    words = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)
    return words if len(words) <= MAX_LINE else f"{words[:MAX_LINE]}..."


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out; torch has types of its own for that."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )
