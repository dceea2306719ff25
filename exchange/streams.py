"""The streams of a published set, side by side: which arrays belong together, and their rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np

from ..errors import InputError
from ..formats.features import STREAMS
from .arrays import CSV_ENDINGS, ENDINGS, ArrayContainer, ArrayFolder, ArraySource
from .axes import SAMPLE, Axes, as_rows, find_axes, two_dimensional, with_time
from .ids import assign_ids
from .layouts import C3D_KEY
from .settings import ImportSettings

MAX_UNEVEN = (
    2  # rows that two streams of one video may differ by: windows at the end that one lacks
)


def open_source(path: Path, settings: ImportSettings, without: Path | None = None) -> ArraySource:
    """Return the arrays in a folder, a file, or an HDF5 file, opened.

    Args:
        path: where they are.
        settings: of the import; the format says what to look for.
        without: a folder inside it that is another source.
    Raises:
        InputError: there are none.
    """
    layout = settings.layout.format
    if layout == "bmn":
        return ArrayFolder(path, CSV_ENDINGS, without=without)
    if path.is_file() and h5py.is_hdf5(path):
        key = settings.key or (C3D_KEY if layout == "activitynet-h5" else None)
        return ArrayContainer(path, key=key)
    if layout == "activitynet-h5":
        raise InputError(f"{path}: no HDF5 file, or cut short; --format activitynet-h5 is one")
    return ArrayFolder(path, ENDINGS, key=settings.key, without=without)


class Streams:
    """One or two sources, the arrays of each video in them, and why some have none.

    Attributes:
        ids: of the videos that every source has, in the first one's order.
        found: of those that the first source has.
        problems: why an array or a video is left out, by name.
        others: arrays whose names lack the prefix or suffix.
    """

    def __init__(
        self, sources: Mapping[str, ArraySource], settings: ImportSettings, known: set[str]
    ) -> None:
        self._sources, self._settings = sources, settings
        assigned = {
            name: assign_ids(s.entries, settings.naming, known) for name, s in sources.items()
        }
        self._entries = {name: a.entries for name, a in assigned.items()}
        self.found = list(self._entries["rgb"])
        self.others = assigned["rgb"].others
        self.problems = {name: why for a in assigned.values() for name, why in a.refused.items()}
        for video_id in sorted(set().union(*self._entries.values())):
            lacking = [name for name, there in self._entries.items() if video_id not in there]
            if lacking:
                self.problems[video_id] = f"{video_id}: has no array of {lacking[0]}"
        self.ids = [v for v in self.found if v not in self.problems]
        self._axes: dict[str, Axes] = {}

    def stem(self, video_id: str) -> str:
        """Return the name of a video's array."""
        return self._entries["rgb"][video_id].stem

    def find_axes(
        self, transpose: bool | None, expected_rows: Callable[[str], float | None]
    ) -> bool:
        """Look at some arrays, and return whether they are (D, T); needed before `rows`.

        Args:
            transpose: the answer, where it is known.
            expected_rows: how many rows a video should have by its duration, if anyone knows.
        Raises:
            InputError: it cannot be told, or no array can be read.
        """
        sample = self.ids[:: max(1, len(self.ids) // SAMPLE)]
        for name in self._sources:
            shapes = self._shapes(name, sample)
            if transpose is None:
                expected = [expected_rows(video_id) for video_id in shapes]
                where = next(iter(self._entries[name].values())).where
                self._axes[name] = find_axes(list(shapes.values()), expected, where)
            else:
                self._axes[name] = with_time(list(shapes.values()), int(transpose))
        return any(axes.time == 1 for axes in self._axes.values())

    def rows(self, video_id: str) -> tuple[dict[str, np.ndarray], int]:
        """Return a video's rows (T, D) by stream, and how many one stream had more than another.

        All streams begin at frame 0, so what one has more is at its end, and is cut off.

        Raises:
            InputError: damaged, of another width than the other videos, or too uneven.
        """
        rows = {name: self._read(name, video_id) for name in self._sources}
        lengths = {name: len(r) for name, r in rows.items()}
        shortest = min(lengths.values())
        uneven = max(lengths.values()) - shortest
        if uneven > MAX_UNEVEN:
            counts = " and ".join(f"{n} rows of {name}" for name, n in lengths.items())
            raise InputError(
                f"{video_id}: has {counts}; streams may differ by {MAX_UNEVEN} rows, more means "
                "another frame rate, stride or video"
            )
        return {name: r[:shortest] for name, r in rows.items()}, uneven

    def _read(self, name: str, video_id: str) -> np.ndarray:
        matrix = self._matrix(name, video_id)
        where = self._entries[name][video_id].where
        return as_rows(matrix, self._axes[name], where, self._settings.dtype)

    def _matrix(self, name: str, video_id: str) -> np.ndarray:
        entry = self._entries[name][video_id]
        return two_dimensional(self._sources[name].read(entry), entry.where)

    def _shapes(self, name: str, sample: list[str]) -> dict[str, tuple[int, int]]:
        shapes, reason = {}, ""
        for video_id in sample:
            try:
                height, width = self._matrix(name, video_id).shape
            except InputError as e:
                reason = reason or str(e)
            else:
                shapes[video_id] = (height, width)
        if not shapes:
            raise InputError(f"no array of {name} can be read, such as {reason}")
        return shapes


def split_rows(
    rows: Mapping[str, np.ndarray], split_at: int | None, exported: object
) -> Mapping[str, np.ndarray]:
    """Return two streams where one array holds both side by side.

    Args:
        rows: by stream.
        split_at: how many values of a row are `rgb`, where the user says so.
        exported: the streams' widths in the JSON that `tsatal export` writes, if it is such.
    Raises:
        InputError: rows cannot be split there.
    """
    width = rows["rgb"].shape[1]
    if split_at is None and len(rows) == 1:
        split_at = _exported_split(exported, width)
    if split_at is None:
        return rows
    if len(rows) > 1:
        raise InputError("--split-at is for arrays that hold both streams; --flow is there already")
    if not 0 < split_at < width:
        raise InputError(f"rows are {width} wide and cannot be split at {split_at}")
    return {"rgb": rows["rgb"][:, :split_at], "flow": rows["rgb"][:, split_at:]}


def _exported_split(streams: object, width: int) -> int | None:
    if not isinstance(streams, dict) or tuple(streams) != STREAMS:
        return None
    if not all(isinstance(n, int) for n in streams.values()) or sum(streams.values()) != width:
        return None
    return int(streams["rgb"])
