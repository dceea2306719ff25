"""What is looked at before a file is opened and before memory is taken: its kind, and its size.

Whatever opens a path of the user's, or makes arrays as large as a file says, asks here first. One
number bounds all sizes, the memory that a single thing may take: `--memory`, or `allow`.
"""

from __future__ import annotations

import ast
import errno
import os
import re
import stat
import sys
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import InputError, shown

GIB = 2**30
MEMORY_GIB = 1.0  # where nobody says otherwise
MOST_GIB = 4096.0
CHUNK = 2**20  # bytes that are read at once
# A text in memory takes up to four bytes a letter, beside the bytes that it was read from.
TEXT_FACTOR = 6
# Bytes of memory that each sign of JSON stands for: a dict, a list, an item, a key, half a string.
JSON_COST = {"{": 232, "[": 88, ",": 40, ":": 60, '"': 26}
MAX_MEMBERS = 200_000  # files in an archive
MAX_DIRECTORY = 2**26  # bytes of an archive's table of contents
MAX_HEADER = 10_000  # bytes of an .npy file before its numbers, as NumPy's own limit
LONG = re.compile(r"\b(\d+)L\b")
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

_allowed = MEMORY_GIB * GIB


class TooLarge(InputError):
    """What would take more memory than is allowed."""


def allow(gib: float) -> None:
    """Set the memory that a single thing may take, in GiB."""
    global _allowed
    _allowed = gib * GIB


def allowed() -> int:
    """The memory that a single thing may take, in bytes."""
    return int(_allowed)


def check_size(needed: float, what: str, *, instead: str = "") -> None:
    """Refuse what would take more memory than is allowed.

    Args:
        needed: in bytes, estimated from above.
        what: takes it, for the message: its place first.
        instead: another remedy than more memory.
    Raises:
        TooLarge: the message says how much it is, and which option allows it.
    """
    if needed <= _allowed:
        return
    other = f"{instead}, or " if instead else ""
    remedy = f"{other}`tsatal --memory {_gib(needed * 1.05)} ...` allows it"
    if needed > MOST_GIB * GIB:
        remedy = instead or "no machine has that much; make it anew"
    raise TooLarge(
        f"{what} would take {_in_words(needed)} of memory, more than {_in_words(_allowed)}"
        f"; {remedy}"
    )


def _gib(size: float) -> str:
    return f"{max(size / GIB, 0.01):.2g}" if size < 10 * GIB else f"{size / GIB:.0f}"


def _in_words(size: float) -> str:
    return f"{size / GIB:,.4g} GiB" if size >= GIB / 10 else f"{size / 2**20:.3g} MiB"


def kind_of(path: str | Path, *, missing: str = "no such file or folder") -> str:
    """What is at a path, in words: "a file", "a folder", "a pipe", ...

    Args:
        missing: what is said where nothing is there.
    Raises:
        InputError: nothing is there, or it cannot be looked at.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as e:  # the latter where there is a NUL in it
        raise InputError(f"{path}: {_why_not_there(path, e, missing)}") from None
    return next((words for is_kind, words in KINDS if is_kind(mode)), "a file")


def _why_not_there(path: str | Path, error: OSError | ValueError, missing: str) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ELOOP:
        return "a link that leads back to itself"
    if number == errno.ENOENT:
        return "a link to nothing" if os.path.islink(path) else missing
    if number == errno.ENOTDIR:
        return f"{missing}: what stands before the last / is no folder"
    said = error.strerror if isinstance(error, OSError) else str(error)
    return f"cannot be opened ({said})"


def regular_file(path: str | Path, *, needs: str = "a file") -> Path:
    """The path, if a file is there that can be read to its end.

    A pipe would be waited for, a device never ends.

    Args:
        needs: what is wanted, for the message.
    Raises:
        InputError: nothing is there, or something else.
    """
    kind = kind_of(path, missing="no such file")
    if kind != "a file":
        raise InputError(f"{path}: {kind}, where {needs} is needed")
    return Path(path)


def read_bytes(path: str | Path, *, needs: str = "a file", factor: float = 1) -> bytes:
    """The content of a file.

    Args:
        needs: what is wanted, for the message.
        factor: the memory that will be taken for each byte.
    Raises:
        InputError: there is no file, or it is too long. OSError: it cannot be read.
    """
    length = regular_file(path, needs=needs).stat().st_size
    check_size(length * factor, f"{path}: read as a whole it")
    parts, length = [], 0
    with open(path, "rb") as file:
        while part := file.read(CHUNK):
            parts.append(part)
            length += len(part)
            # Again, because a file of the system's says a size of 0, and may not end.
            check_size(length * factor, f"{path}: read as a whole it")
    return b"".join(parts)


def read_text(path: str | Path, *, needs: str = "a text file") -> str:
    """The text of a file in UTF-8, without a mark at its start.

    Raises:
        InputError: there is no file, it is too long, or is no such text.
    """
    content = read_bytes(path, needs=needs, factor=TEXT_FACTOR)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8") from None


def check_json(text: str, source: str) -> None:
    """Refuse JSON whose values would take more memory than is allowed.

    Raises:
        InputError: too large.
    """
    cost = sys.getsizeof(text)
    if not text.isascii():  # its strings are as wide as its widest letter
        cost *= 2
    if 24 * len(text) + cost > _allowed:  # else it cannot be, whatever is in it
        cost += sum(text.count(sign) * each for sign, each in JSON_COST.items())
        check_size(cost, f"{source}: as values its JSON")


def check_archive(path: str | Path) -> None:
    """Refuse an archive, as .npz and .pt are, that unpacks to more than is allowed.

    What is no archive may be as large as is allowed.

    Raises:
        InputError: too large.
    """
    size = regular_file(path).stat().st_size
    check_size(size, f"{path}: read as a whole it")
    try:
        with open(path, "rb") as file:
            # The table of contents stands at the end; reading it takes ten times its size.
            file.seek(max(size - 2**16 - 22, 0))
            tail = file.read()
            end = tail.rfind(b"PK\5\6")
            if end < 0:
                return
            told = int.from_bytes(tail[end + 12 : end + 16], "little")
            if told > MAX_DIRECTORY and told != 2**32 - 1:
                raise InputError(f"{path}: an archive with a table of contents of {told:,} bytes")
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError):
        return  # whoever reads it says what is wrong
    if len(members) > MAX_MEMBERS:
        raise InputError(f"{path}: an archive of {len(members):,} files; {MAX_MEMBERS:,} at most")
    check_size(sum(m.file_size for m in members), f"{path}: unpacked it")


def read_npy(file: IO[bytes], size: int, at: str) -> np.ndarray:
    """The array of an .npy file, as it is stored.

    Args:
        file: open at its start.
        size: of the file in bytes.
        at: its place, for messages.
    Raises:
        InputError: no .npy file of numbers, cut short, or too large.
    """
    shape, fortran, dtype = _npy_header(file, at)
    if dtype.hasobject or dtype.itemsize == 0 or any(n < 0 for n in shape):
        raise InputError(f"{at}: cannot be read: numbers are needed, not {shown(dtype.name)}")
    count = 1
    for n in shape:
        count *= n
    needed = count * dtype.itemsize
    if needed > size - file.tell():
        raise InputError(
            f"{at}: cannot be read: cut short, it should have {_shape(shape)} values of {dtype}"
            "; copy it again"
        )
    check_size(2 * needed, f"{at}: with {_shape(shape)} values of {dtype} it")
    content = bytearray(needed)
    if file.readinto(content) != needed:  # type: ignore[attr-defined]
        raise InputError(f"{at}: cannot be read: cut short; copy it again")
    found = np.frombuffer(content, dtype)
    return found.reshape(shape[::-1]).T if fortran else found.reshape(shape)


def _npy_header(file: IO[bytes], at: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the first index runs fastest, and type, as an .npy file states them."""
    try:
        magic = file.read(8)
        version = magic[6:]
        if magic[:6] != b"\x93NUMPY" or version not in (b"\1\0", b"\2\0", b"\3\0"):
            raise ValueError("it does not begin as one")
        length = int.from_bytes(file.read(2 if version == b"\1\0" else 4), "little")
        if length > MAX_HEADER:
            raise ValueError(f"its header has {length:,} bytes")
        header = file.read(length)
        if len(header) != length:
            raise ValueError("its header breaks off")
        # Python 2 wrote whole numbers with an L.
        told = ast.literal_eval(LONG.sub(r"\1", header.decode("latin1")).strip())
        shape, fortran, dtype = told["shape"], told["fortran_order"], np.dtype(told["descr"])
        if not isinstance(shape, tuple) or not all(type(n) is int for n in shape):
            raise ValueError("its shape is not of whole numbers")
    except InputError:
        raise
    except Exception as e:  # a header is Python, so it can be wrong in any way
        said = " ".join(str(e).split()) or type(e).__name__
        raise InputError(
            f"{at}: cannot be read: no .npy file of numbers ({said:.80}); write it again"
        ) from None
    return shape, bool(fortran), dtype


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{n:,}" for n in shape[:4])[:100] or "1"
