"""Files that are written whole or not at all, whatever stops the writing.

New content is written aside, to `.NAME.HOST-PID.tmp`, synced, and renamed onto NAME: a reader sees
the old file or the new one. A killed process leaves its file aside; the next one of the same host
that writes NAME removes it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import shutil
import socket
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from .limits import kind_of


def check_place(path: str | Path, *, folder: bool = False, device: bool = False) -> None:
    """Judge a place to write to before anything is made there or on the way to it.

    Args:
        folder: whether a folder is meant, and not a file.
        device: whether a terminal, a pipe with a reader, or /dev/null will do.
    Raises:
        InputError: something else is there or on the way, or it cannot be written.
    """
    wanted = "a folder" if folder else "a file"
    if not os.fspath(path):
        raise InputError(f"an empty path, where that of {wanted} is needed (--out)")
    real = Path(os.path.realpath(path))
    there = kind_of(path) if os.path.lexists(path) and real.exists() else ""
    if not there and os.path.islink(real):
        raise InputError(f"{path}: a link that leads back to itself")
    if not there and os.path.islink(path) and not real.parent.is_dir():
        raise InputError(f"{path}: a link into {real.parent}, which is not there")
    if there == "a device" and device:
        return
    if there == "a pipe" and device:
        _check_reader(path)
        return
    if there not in ("", wanted):
        raise InputError(f"{path}: is {there}, where {wanted} would be written; name another")
    if real.parts[1:2] in (("proc",), ("sys",), ("dev",)) and real.parts[2:3] != ("shm",):
        raise InputError(f"{path}: the system's own, no place for files; name another")
    above = real if there and folder else real.parent
    while not above.exists():
        above = above.parent
    if not above.is_dir():
        raise InputError(f"{path}: cannot be made, because {above} is no folder; name another")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{path}: cannot be written, because nobody may write into {above}")


def _check_reader(path: str | Path) -> None:
    """Refuse a pipe that nobody reads: opening it would wait for somebody."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        raise InputError(f"{path}: a pipe that nobody reads") from None


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a path aside; the file there becomes `path` when the `with` statement ends well.

    A link is followed. A pipe or a terminal is yielded itself.

    Raises:
        OSError: the disk is full, or the folder cannot be written; names `path`.
    """
    path = Path(path)
    real = Path(os.path.realpath(path))
    try:
        if real.exists() and not stat.S_ISREG(real.stat().st_mode):
            yield path
            return
        aside = real.with_name(f".{real.name}.{_host_mark()}-{os.getpid()}.tmp")
        with contextlib.suppress(OSError):  # what killed processes have left is removed
            for entry in os.scandir(real.parent):
                if entry.name.startswith(f".{real.name}.") and _abandoned(entry.name):
                    os.unlink(entry.path)
        try:
            yield aside
            sync(aside)
            os.replace(aside, real)
            _sync_folder(real.parent)
        finally:
            with contextlib.suppress(OSError):  # the folder may be gone
                aside.unlink()
    except OSError as e:
        raise _naming(e, path) from None


@contextlib.contextmanager
def filling(folder: Path, names: Sequence[str]) -> Iterator[Path | None]:
    """Yield a folder aside; its content is moved into `folder` when the `with` statement ends well.

    It is `.filling.PID.tmp` inside `folder`. A killed process leaves it there, and perhaps some of
    `names`; the next one that fills the folder removes them.

    Args:
        folder: made where it is not there; None is yielded where something else is in it.
        names: of the files and folders to move, in this order.
    Raises:
        OSError: the disk is full, or the folder cannot be written; names `folder`.
    """
    aside, there = folder / f".filling.{os.getpid()}.tmp", folder.is_dir()
    if there:
        # What killed processes have left is removed. An aside with our own number is such, too: of
        # two containers, each process may have the number of the other's.
        asides = [p for p in folder.glob(".filling.*.tmp") if p == aside or _abandoned(p.name)]
        if asides:
            _remove([*(folder / name for name in names), *asides])
    if folder.exists() and (not there or any(folder.iterdir())):
        yield None
        return
    try:
        aside.mkdir(parents=True)
        yield aside
        for path in [*aside.rglob("*"), aside]:
            _sync_folder(path) if path.is_dir() else sync(path)
        for name in names:
            os.replace(aside / name, folder / name)
        aside.rmdir()
    except BaseException as e:
        with contextlib.suppress(OSError):  # the folder may be gone
            _remove([*(folder / name for name in names), aside])
            if not there:
                folder.rmdir()
        if isinstance(e, OSError):
            raise _naming(e, folder) from None
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all; see `replacing`."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8", newline="")


class ErrorKeeper(io.FileIO):
    """A new file that keeps the first error of writing until `check` is called.

    For HDF5, which on a full disk fails over and over while it is being closed, and prints that.
    What is written after the error is lost, so call `check` now and then, and at the end.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the first error of writing, an OSError, if there was one."""
        if self._error:
            raise self._error

    def write(self, data: Any) -> int:
        """Write all of the data, or keep the error."""
        left = memoryview(data).cast("B")
        try:
            while left and not self._error:
                left = left[super().write(left) :]
        except OSError as e:
            self._error = e
        return memoryview(data).nbytes

    def truncate(self, size: int | None = None) -> int:
        """Cut or lengthen the file, or keep the error."""
        try:
            return super().truncate(size)
        except OSError as e:
            self._error = self._error or e
            return size or 0


def sync(path: Path) -> None:
    """Make what was written to a file or folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _naming(error: OSError, path: Path) -> OSError:
    """Return an error of the same kind that names `path`; HDF5's own may have no number."""
    if error.errno is None:
        return OSError(f"{error}: {str(path)!r}")
    return OSError(error.errno, error.strerror or str(error), str(path))


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # a filesystem that cannot sync folders
        sync(folder)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@functools.cache
def this_host() -> str:
    """The names of host, boot and container: a process number means the same only within them."""
    marks = [socket.gethostname()]
    with contextlib.suppress(OSError):
        marks.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        marks.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(marks)


def _host_mark() -> str:
    """Return eight hexadecimal digits that stand for this host in the names of files."""
    return hashlib.sha256(this_host().encode()).hexdigest()[:8]


def _abandoned(name: str) -> bool:
    """Return whether a name ends as that of a process of this host that no longer runs."""
    pid, ending = name.split(".")[-2:]
    pid = pid.removeprefix(f"{_host_mark()}-")
    if ending != "tmp" or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)  # no signal is sent
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # it runs, under another user
        pass
    return False
