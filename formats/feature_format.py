"""What tells a feature file from any other: HDF5, of our format and of our version."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np

from ..errors import InputError, shown
from .hdf5 import DAMAGE, attribute, own_member, scalar
from .limits import regular_file

FORMAT = "tsatal-features"
VERSION = 1


class DamagedFile(InputError):
    """A feature file whose content is not what was written: cut short, or with bytes changed."""


def open_file(path: Path) -> h5py.File:
    """Return a file, opened for reading and not looked into yet.

    Raises:
        InputError: missing, a device or a pipe, or it cannot be opened.
        DamagedFile: it is no HDF5, or cut short.
    """
    if os.path.lexists(path):
        regular_file(path, needs="a feature file")
    elif not path.is_file():
        raise InputError(
            f"{path}: no such file; `tsatal extract VIDEOS {path.name}` writes one, and "
            "--features names one elsewhere"
        )
    try:
        # No lock: our files only ever appear by renaming, and some filesystems have none.
        return h5py.File(path, "r", locking=False)
    except (OSError, RuntimeError, ValueError) as e:
        why = os.strerror(e.errno) if isinstance(e, OSError) and e.errno else str(e)
        if "truncated file" in why or not _has_signature(path):
            raise DamagedFile(f"{path}: not an HDF5 file, or cut short; copy it again") from None
        raise InputError(f"{path}: cannot be opened ({why})") from None


def _has_signature(path: Path) -> bool:
    """Return whether a file begins as HDF5 does.

    Raises:
        InputError: the system does not let it be read.
    """
    try:
        with path.open("rb") as stream:
            stream.read(1)
    except OSError as e:
        raise InputError(f"{path}: cannot be opened ({e.strerror or e})") from None
    return h5py.is_hdf5(path)


def check_format(file: h5py.File, path: Path) -> None:
    """Refuse a file that is no feature file, or of another version.

    Raises:
        InputError: it is one of these; the message says what to do.
        DamagedFile: what would tell cannot be read.
    """
    try:
        form, version = (
            attribute(file, name) if name in file.attrs else None for name in ("format", "version")
        )
        ours = isinstance(form, str) and form == FORMAT
        ours = ours and isinstance(own_member(file, "videos", f"{path}: videos"), h5py.Group)
    except InputError:
        raise
    except DAMAGE as e:
        raise DamagedFile(f"{path}: damaged ({e})") from None
    if not ours:
        raise InputError(
            f"{path}: HDF5, but not a {FORMAT} file (see docs/feature_file.md)"
            "; `tsatal import` takes features of other programs"
        )
    if not isinstance(version, (int, np.integer)) or version != VERSION:
        raise InputError(
            f"{path}: format version {shown(scalar(version))}; this program reads {VERSION}"
            "; extract it again"
        )
