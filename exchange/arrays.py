"""Arrays as others store them, a file for each video or one HDF5 file for all, and whose they are.

Nothing here runs code from a file: `.npy` and `.npz` are read without pickle, `.pt` as weights
only. What the axes of an array mean is found out in `streams`.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import InputError, listed, shown
from ..formats.feature_format import FORMAT
from ..formats.hdf5 import own_member, stored_here
from ..formats.limits import check_archive, check_size, kind_of, read_npy, read_text, regular_file
from ..formats.names import id_problem, nfc
from .layouts import C3D_KEY, ImportSettings

COMMON_PREFIX = "v_"  # ActivityNet's files have it, its annotations do not
ENDINGS = (".npy", ".npz", ".pt", ".pth")
CSV_ENDINGS = (".csv",)


@dataclass(frozen=True)
class Entry:
    """One array of a source: its name without ending, its place for messages, and its reader.

    `averaged` is whether it is the mean of arrays of several crops.
    """

    stem: str
    where: str
    reader: Callable[[], np.ndarray]
    averaged: bool = False

    def read(self) -> np.ndarray:
        """Return the array.

        Raises:
            InputError: damaged, of another kind, or one of several and none has the name asked for.
        """
        try:
            return self.reader()
        except InputError:
            raise
        except Exception as e:  # the readers raise anything at all on damaged bytes
            raise InputError(f"{self.where}: cannot be read ({_first_line(e)})") from None


def open_source(
    path: Path, settings: ImportSettings, without: Path | None = None
) -> AbstractContextManager[list[Entry]]:
    """Open the arrays in a folder, a file, or an HDF5 file.

    Args:
        settings: the format says what to look for.
        without: a folder inside `path` that is another source.
    Raises:
        InputError: there are none.
    """
    if settings.format == "bmn":
        return nullcontext(files_in(path, CSV_ENDINGS, without=without))
    c3d = settings.format == "activitynet-h5"
    if path.is_file() and h5py.is_hdf5(path):
        return datasets_in(path, key=settings.key or (C3D_KEY if c3d else None))
    if c3d:
        raise InputError(f"{path}: no HDF5 file, or cut short; --format activitynet-h5 is one")
    return nullcontext(files_in(path, ENDINGS, key=settings.key, without=without))


def files_in(
    path: Path, endings: Collection[str], *, key: str | None = None, without: Path | None = None
) -> list[Entry]:
    """Return the arrays in a folder of files, or in one file, without hidden files and folders.

    Args:
        path: searched recursively.
        endings: of the files that count, in small letters.
        key: the name of the array in files that hold several.
        without: a folder inside `path` that is another source.
    Raises:
        InputError: no such file is there.
    """
    if kind_of(path) != "a folder":
        regular_file(path, needs="a folder or a file of features")
    readers = {".npy": _read_npy, ".npz": _read_npz, ".csv": _read_csv}
    root, other = real(path), real(without) if without else None
    entries = []
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        inside, ending = file.relative_to(path), file.suffix.lower()
        hidden = any(part.startswith(".") for part in inside.parts or (file.name,))
        if hidden or other in (root / inside).parents:  # archives from a Mac hold ._NAME
            continue
        if ending in endings and file.is_file():
            reader = partial(readers.get(ending, _read_torch), file, key)
            entries.append(Entry(file.stem, str(file), reader))
    if not entries:
        raise InputError(f"{path}: holds no features ({' '.join(endings)} would be taken)")
    return entries


@contextmanager
def datasets_in(path: Path, *, key: str | None = None) -> Iterator[list[Entry]]:
    """Yield the arrays of an HDF5 file with a dataset, or a group of them, for each video.

    Args:
        path: of the file, which is open until the `with` statement ends.
        key: the name of the dataset in each group.
    Raises:
        InputError: not such a file.
    """
    try:
        file = h5py.File(path, "r", locking=False)  # some filesystems have no locks
    except OSError as e:
        raise InputError(f"{path}: not an HDF5 file, or cut short ({_first_line(e)})") from None
    with file:
        if file.attrs.get("format") == FORMAT:
            raise InputError(f"{path}: is a {FORMAT} file already; there is nothing to import")
        places = {name: f"{path}: {name}" for name in file}
        if not places:
            raise InputError(f"{path}: holds no features")
        yield [Entry(n, at, partial(_read_dataset, file, n, key, at)) for n, at in places.items()]


@dataclass
class Assigned:
    """The array of every video, why others have none, and how many names are of another form."""

    entries: dict[str, Entry] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    others: int = 0


def assign_ids(
    entries: Iterable[Entry],
    settings: ImportSettings,
    known: Collection[str],
    stream: str = "rgb",
    *,
    not_suffix: str = "",
) -> Assigned:
    """Return the videos that arrays belong to.

    Two arrays of one id would be one video, so the first keeps the id and the others are refused,
    under their own names, as are ids that a feature file cannot hold.

    Args:
        known: the ids of the annotations, which decide whether `v_` belongs to an id.
        stream: `rgb` or `flow`, which may have a suffix of its own.
        not_suffix: what the names of another stream in the same place end with.
    """
    assigned = Assigned()
    suffix = settings.suffix_of(stream)
    for entry in entries:
        if not_suffix and len(not_suffix) > len(suffix) and entry.stem.endswith(not_suffix):
            continue
        video_id = video_id_of(entry.stem, settings, known, suffix)
        if video_id is None:
            assigned.others += 1
        elif problem := id_problem(video_id):
            assigned.refused[ascii(entry.where)] = f"{entry.where!a}: its id {problem}; rename it"
        elif (first := assigned.entries.setdefault(video_id, entry)) is not entry:
            assigned.refused[entry.where] = (
                f"{entry.where}: has the id {video_id!r} of {first.where}; rename one of them, or "
                "name one folder or --prefix only, and a second stream with --flow"
            )
    return assigned


def video_id_of(
    stem: str, settings: ImportSettings, known: Collection[str], suffix: str
) -> str | None:
    """Return the id in an array's name; None where the name lacks the prefix or suffix.

    Without a prefix in the settings, `v_` is taken off or put on where that gives a known id.
    """
    stem, before, after = nfc(stem), nfc(settings.prefix or ""), nfc(suffix)
    if not (stem.startswith(before) and stem[len(before) :].endswith(after)):
        return None
    core = stem[len(before) : len(stem) - len(after)]
    if settings.prefix is not None or core in known:
        return core
    others = (core.removeprefix(COMMON_PREFIX), COMMON_PREFIX + core)
    return next((name for name in others if name in known), core)


def _choose(arrays: Mapping[str, Any], key: str | None, at: str) -> Any:
    """Return the array named `key`, or the only one."""
    there = listed(arrays)
    if key is None and len(arrays) != 1:
        also = ", and the second stream's with --flow-key" if "flow" in arrays else ""
        raise InputError(f"{at}: name one of its arrays with --key{also}; it has: {there}")
    if key is not None and key not in arrays:
        raise InputError(f"{at}: has no array {shown(key)}; it has: {there}")
    return arrays[key or next(iter(arrays))]


def _read_dataset(file: h5py.File, name: str, key: str | None, at: str) -> np.ndarray:
    item = own_member(file, name, at)
    if isinstance(item, h5py.Group):
        members = {k: own_member(item, k, f"{at}: {k}") for k in item}
        item = _choose({k: v for k, v in members.items() if isinstance(v, h5py.Dataset)}, key, at)
    if not isinstance(item, h5py.Dataset):
        raise InputError(f"{at}: is no array")
    check_size(2 * stored_here(item, at).nbytes, f"{at}: with shape {item.shape} it")
    return np.asarray(item[()])


def _read_npy(path: Path, key: str | None) -> np.ndarray:
    with open(path, "rb") as file:
        return read_npy(file, path.stat().st_size, str(path))


def _read_npz(path: Path, key: str | None) -> np.ndarray:
    check_archive(path)
    if not zipfile.is_zipfile(path):  # an .npy under another name
        raise InputError(f"{path}: cannot be read: not an .npz file; download it again")
    with zipfile.ZipFile(path) as archive:
        members = {m.filename.removesuffix(".npy"): m for m in archive.infolist()}
        chosen = _choose(members, key, str(path))
        with archive.open(chosen) as file:
            return read_npy(file, chosen.file_size, f"{path}: {chosen.filename}")


def _read_csv(path: Path, key: str | None) -> np.ndarray:
    """Return the numbers of BSN's and BMN's tables, whose first line names the columns."""
    with io.StringIO(read_text(path, needs="a table of numbers")) as file:
        header = file.readline().strip().split(",")
        if header[0] == "":
            raise InputError(f"{path}: its first column numbers the rows; write it without index")
        if not _names_columns(header):
            file.seek(0)
        return np.loadtxt(file, delimiter=",", dtype=np.float32, ndmin=2)


def _names_columns(fields: list[str]) -> bool:
    """Whether a first line is names, or the numbers 0, 1, 2, ... that stand for them."""
    try:
        list(map(float, fields))
    except ValueError:
        return True
    return fields == [str(n) for n in range(len(fields))]


def _read_torch(path: Path, key: str | None) -> np.ndarray:
    import torch

    check_archive(path)
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(loaded, dict):
        tensors = {str(k): v for k, v in loaded.items() if isinstance(v, torch.Tensor)}
        loaded = _choose(tensors, key, str(path))
    if not isinstance(loaded, torch.Tensor):
        raise InputError(f"{path}: holds a {type(loaded).__name__}, a tensor is needed")
    loaded = loaded.detach()
    # Of a tensor without storage for all of its values, the shape alone tells the size.
    check_size(8 * loaded.numel(), f"{path}: with shape {tuple(loaded.shape)} it")
    return (loaded.float() if loaded.dtype == torch.bfloat16 else loaded).numpy()


def real(path: Path) -> Path:
    """Return a path without links; a link that leads back to itself stays as it is."""
    return Path(os.path.realpath(path))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
