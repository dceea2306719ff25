"""The one exception that a user's mistake raises; everything else is a bug."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable

MAX_SHOWN = 80  # characters of a value in a message
MAX_LINE, LAST = 1200, 400  # characters of a message, and those of its end where it is cut
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
_SHORT.maxlevel = 3


class InputError(ValueError):
    """Bad input: the message says what is wrong, where, and what to do about it.

    The command line prints it as one line and exits with status 1; no traceback.
    """


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


def shown(value: object) -> str:
    """Return a value for a message: short, whatever it holds and however deep it is nested."""
    try:
        words = _SHORT.repr(value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        words = f"a very long {type(value).__name__}"
    return printable(words if len(words) <= MAX_SHOWN else words[:MAX_SHOWN] + "...")


def printable(text: str) -> str:
    """Return a text without what a terminal would act on: control characters are written out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def listed(names: Iterable[object], *, most: int = 5) -> str:
    """Return the first few names, each shortened, "and N more" after them; "none" of none."""
    every = list(names)
    first = [printable(_cut(str(n))) for n in every[:most]]
    more = f" and {len(every) - most:,} more" if len(every) > most else ""
    return (", ".join(first) or "none") + more


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."


def one_line(error: BaseException) -> str:
    """Return an error's message as one line for a terminal, of a length that can be read."""
    return shortened(" ".join(str(error).split()) or type(error).__name__)


def shortened(text: str) -> str:
    """Return a text that fits on a screen, without its middle where it is longer."""
    if len(text) > MAX_LINE:
        text = f"{text[: MAX_LINE - LAST]} ... {text[-LAST:]}"
    return printable(text)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out; torch has types of its own for that."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )
