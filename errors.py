"""The one exception that a user's mistake raises; everything else is a bug."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterable, Sequence
from importlib import metadata

MAX_SHOWN = 80  # characters of a value in a message
MAX_LINE, LAST = 1200, 400  # characters of a message, and those of its end where it is cut
# How torch, the CUDA driver, cuBLAS and cuDNN say that memory ran out.
NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "ALLOC_FAILED")
GPU_FAILURE = re.compile(r"CUDA (driver )?error|cuDNN error|CUBLAS_STATUS|NCCL error")
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
_SHORT.maxlevel = 3


class InputError(ValueError):
    """Bad input: the message says what is wrong, where, and what to do about it.

    The command line prints it as one line and exits with status 1; no traceback.
    """


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


def how_to_install(extra: str) -> str:
    """Return the command that installs the packages of an extra, as setup.cfg names them.

    tsatal itself is not on PyPI, so `pip install 'tsatal[EXTRA]'` works for nobody.
    """
    ours = re.compile(rf"""([^;\s]+)\s*;.*\bextra\s*==\s*['"]{extra}['"]""")
    try:
        wanted = metadata.requires(__package__) or []
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        wanted = []
    names = [f"'{found[1]}'" for found in map(ours.match, wanted) if found]
    own = f"'.[{extra}]'"  # of the checkout, whose installation does not know of it
    return f"pip install {' '.join(names) or own}"


def did_you_mean(key: str, keys: Sequence[str]) -> str:
    """Return a question whether the most similar key is meant, or nothing if none is similar.

    Args:
        key: as it was written; a section that is misspelt stands for the most similar one.
        keys: those there are, as "section.key" or "key".
    """
    section, _, last = key.rpartition(".")
    sections = list(dict.fromkeys(k.partition(".")[0] for k in keys if "." in k))
    if not section and (meant := difflib.get_close_matches(key, sections, n=1, cutoff=0.7)):
        return f"; did you mean {meant[0]!r}?"
    for meant_section in difflib.get_close_matches(section, sections, n=1, cutoff=0.6):
        inside = {k.rpartition(".")[2]: k for k in keys if k.startswith(f"{meant_section}.")}
        for meant_last in difflib.get_close_matches(last, list(inside), n=1, cutoff=0.7):
            return f"; did you mean {inside[meant_last]!r}?"
    by_last = {k.rpartition(".")[2]: k for k in keys}
    near = difflib.get_close_matches(key, keys, n=1, cutoff=0.7) or [
        by_last[k] for k in difflib.get_close_matches(last, list(by_last), n=1, cutoff=0.5)
    ]
    return f"; did you mean {near[0]!r}?" if near else ""


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


def quantity(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: "1 video", "2,000 videos"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


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
        or (isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY))
    )


def is_gpu_failure(error: BaseException) -> bool:
    """Return whether an error is the GPU's or its driver's, and no memory is lacking."""
    of_cuda = isinstance(error, RuntimeError) and bool(GPU_FAILURE.match(str(error)))
    return (of_cuda or type(error).__name__ == "AcceleratorError") and not is_out_of_memory(error)
