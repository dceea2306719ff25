"""Members, attributes and tables of an HDF5 file, read only where they are harmless.

A file can name others, which may be devices or pipes, and can speak of far more than it holds.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from ..errors import InputError, shown

MAX_ATTRIBUTE = 2**20  # bytes
MAX_PARTS = 16  # of the path of a link
MOST_PACKED = 200  # bytes of rows that come out of a stored one; no compression packs rows so well
# What h5py and NumPy raise on damage, or on a type that is not what it should be.
DAMAGE = (
    OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError,
    MemoryError,
)  # fmt: skip


def own_member(group: h5py.Group, name: str, at: str, *, hops: int = 3) -> Any:
    """Return a member of a group, or None; links inside the file are followed, others are not.

    What lies in another file could be anything, a device or a pipe too.

    Args:
        at: its place, for messages.
        hops: the most links to follow.
    Raises:
        InputError: it lies in another file, or links lead on and on.
    """
    link = group.get(name, getlink=True)
    if link is None or isinstance(link, h5py.HardLink):
        return None if link is None else group[name]
    if not isinstance(link, h5py.SoftLink):
        raise InputError(
            f"{at}: cannot be read: it lies in another file, which is not opened"
            "; copy it into this one"
        )
    parts = [part for part in link.path.split("/") if part]
    if hops == 0 or len(parts) > MAX_PARTS:
        raise InputError(f"{at}: a link that leads on and on")
    found: Any = group.file if link.path.startswith("/") else group
    for part in parts:
        found = (
            own_member(found, part, at, hops=hops - 1) if isinstance(found, h5py.Group) else None
        )
    return found


def stored_here(table: h5py.Dataset, at: object) -> h5py.Dataset:
    """Return a dataset whose values lie in its own file.

    Raises:
        InputError: they lie in others.
    """
    if table.is_virtual or table.external:
        raise InputError(
            f"{at}: cannot be read: its values lie in other files, which are not opened"
            "; copy them into this one"
        )
    return table


def plausible_table(found: Any, at: object) -> h5py.Dataset:
    """Return a dataset that can be a table of rows.

    Raises:
        InputError: it is no table of numbers, or claims far more of them than the file has bytes.
    """
    table = isinstance(found, h5py.Dataset) and found.ndim == 2 and found.dtype.kind in "fiu"
    if not table or found.shape[1] == 0:
        raise InputError(f"{at}: a table (T, D) of numbers is needed")
    stored_here(found, at)
    if found.nbytes > MOST_PACKED * found.id.get_storage_size():
        raise InputError(f"{at}: damaged (holds fewer rows than the {len(found):,} it speaks of)")
    return found


def attribute(place: Any, name: str) -> Any:
    """Return an attribute; raise TypeError where it is too large for one."""
    if place.attrs.get_id(name).get_storage_size() > MAX_ATTRIBUTE:
        raise TypeError(f"the attribute {name} is too large")
    return place.attrs[name]


def number(value: Any) -> float:
    """Return an attribute as a number; raise TypeError where it is none, or several."""
    found = np.asarray(value)
    if found.size != 1 or found.dtype.kind not in "fiu":
        raise TypeError(f"{shown(value)} is no number")
    return float(found.item())


def scalar(value: Any) -> Any:
    """Return an attribute's value as one of Python's."""
    return value.item() if isinstance(value, np.generic) else value
