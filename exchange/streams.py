"""Arrays of one or two streams become rows side by side: which axis is time, and how wide rows are.

Nothing in an array says whether it is (T, D) or (D, T). Over the videos of one set D is the same
and T is not, which settles most cases; a single video, or videos resized to one T, leave the
durations to compare with.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..formats.features import STREAMS
from .arrays import Entry, assign_ids
from .crops import crop_axis, join_crops, mean_of_crops, three_axes
from .layouts import FIRST_AXIS_IS_TIME, ImportSettings

SAMPLE = 16  # arrays that are looked at before the first is imported
GOOD_FIT = 1.1  # rows by rows expected, within which a size may be the number of rows
MAX_UNEVEN = 2  # rows that two streams of one video may differ by: one lacks windows at the end


class Streams:
    """One or two sources of arrays, a stream each: `rgb`, and perhaps `flow`.

    Attributes:
        entries: of every source, by id.
        ids: of the videos that every source has, in the order of the first.
        found: ids of the videos that the first source has.
        problems: why an array or a video is left out, by name.
        others: number of arrays whose names lack the prefix or suffix.
    """

    def __init__(
        self, sources: Mapping[str, Sequence[Entry]], settings: ImportSettings, known: set[str]
    ) -> None:
        self._settings = settings
        assigned = {}
        for name, there in sources.items():
            # Streams in one place are told apart by their suffixes.
            beside = [n for n, other in sources.items() if other is there and n != name]
            joined = join_crops(there, settings.crops, known)
            not_suffix = settings.suffix_of(beside[0]) if beside else ""
            assigned[name] = assign_ids(joined, settings, known, name, not_suffix=not_suffix)
        self.entries = {name: a.entries for name, a in assigned.items()}
        self.found = list(self.entries["rgb"])
        self.others = assigned["rgb"].others
        self.problems = {name: why for a in assigned.values() for name, why in a.refused.items()}
        for video_id in sorted(set().union(*self.entries.values())):
            lacking = [name for name, there in self.entries.items() if video_id not in there]
            if lacking:
                self.problems[video_id] = f"{video_id}: has no array of {lacking[0]}"
        self.ids = [v for v in self.found if v not in self.problems]
        self._axes: dict[str, Axes] = {}
        self._crop_axes: dict[str, int] = {}

    def find_axes(self, expected_rows: Callable[[str], float | None]) -> bool:
        """Whether arrays are (D, T), as some of them show; `rows` needs to know, so call it first.

        Args:
            expected_rows: gives the number of rows that a video should have by its duration, or
                None where that is not known.
        Raises:
            InputError: it cannot be told, or no array can be read.
        """
        transpose = self._settings.transpose
        if transpose is None and self._settings.format in FIRST_AXIS_IS_TIME:
            transpose = False
        sample = self.ids[:: max(1, len(self.ids) // SAMPLE)]
        for name, entries in self.entries.items():
            if self._settings.crops == "mean":
                self._find_crop_axis(name, sample)
            shapes, reason = {}, ""
            for video_id in sample:
                try:
                    shapes[video_id] = self._matrix(name, video_id).shape
                except InputError as e:  # that video fails by its own name
                    reason = reason or str(e)
            if not shapes:
                raise InputError(f"no array of {name} can be read, such as {reason}")
            expected = [expected_rows(video_id) for video_id in shapes]
            where = next(iter(entries.values())).where
            self._axes[name] = find_axes(list(shapes.values()), expected, where, transpose)
        return any(axes.time == 1 for axes in self._axes.values())

    def rows(self, video_id: str) -> tuple[dict[str, np.ndarray], int]:
        """Return a video's rows (T, D) by stream, and how many one stream had more than another.

        All streams begin at frame 0, so what one has more is at its end, and is cut off.

        Raises:
            InputError: damaged, of another width than the other videos, or too uneven.
        """
        rows = {}
        for name, there in self.entries.items():
            matrix, where = self._matrix(name, video_id), there[video_id].where
            rows[name] = as_rows(matrix, self._axes[name], where, self._settings.dtype)
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

    def _find_crop_axis(self, name: str, sample: Sequence[str]) -> None:
        axis, shapes, entries = self._settings.crop_axis, [], self.entries[name]
        for video_id in sample if axis is None else ():
            with suppress(InputError):  # that one fails by its own name
                if not entries[video_id].averaged:
                    shapes.append(three_axes(entries[video_id].read()).shape)
        if shapes := [shape for shape in shapes if len(shape) == 3]:
            axis = crop_axis(shapes, next(iter(entries.values())).where)
        self._crop_axes[name] = axis or 0

    def _matrix(self, name: str, video_id: str) -> np.ndarray:
        entry = self.entries[name][video_id]
        array = entry.read()
        if name in self._crop_axes and not entry.averaged:
            array = mean_of_crops(three_axes(array), self._crop_axes[name], entry.where)
        return two_dimensional(array, entry.where)


def split_rows(
    rows: Mapping[str, np.ndarray], split_at: int | None, exported: object
) -> Mapping[str, np.ndarray]:
    """Return two streams where one array holds both side by side.

    Args:
        split_at: how many values of a row are `rgb`, where the user says so.
        exported: the streams' widths in the JSON that `tsatal export` writes, if it is such.
    Raises:
        InputError: rows cannot be split there.
    """
    width = rows["rgb"].shape[1]
    if split_at is None and isinstance(exported, dict) and tuple(exported) == STREAMS:
        widths = [n for n in exported.values() if isinstance(n, int)]
        if len(rows) == 1 and len(widths) == len(STREAMS) and sum(widths) == width:
            split_at = widths[0]
    if split_at is None:
        return rows
    if len(rows) > 1:
        raise InputError("--split-at is for arrays that hold both streams; flow is there already")
    if not 0 < split_at < width:
        raise InputError(f"rows are {width} wide and cannot be split at {split_at}")
    return {"rgb": rows["rgb"][:, :split_at], "flow": rows["rgb"][:, split_at:]}


@dataclass(frozen=True)
class Axes:
    """The axis of an array that is time, and the width of a row."""

    time: int
    width: int


def two_dimensional(array: np.ndarray, at: str) -> np.ndarray:
    """Return an array of numbers without the axes of length 1 that make it more than a matrix.

    Raises:
        InputError: not numbers, empty, or not a matrix.
    """
    if array.dtype.kind not in "fiu":
        raise InputError(f"{at}: holds {array.dtype}, numbers are needed")
    matrix = array if array.ndim == 2 else array.squeeze()
    if matrix.ndim != 2:
        hint = "; --crops mean averages the crops of ten-crop features" if matrix.ndim == 3 else ""
        raise InputError(f"{at}: has the shape {array.shape}, rows by width are needed{hint}")
    if not matrix.size:
        raise InputError(f"{at}: is empty, of shape {array.shape}")
    return matrix


def find_axes(
    shapes: Sequence[tuple[int, ...]],
    expected: Sequence[float | None],
    at: str,
    transpose: bool | None = None,
) -> Axes:
    """Return the axes of a set's arrays, as a sample of them shows; most arrays' width counts.

    Args:
        expected: the number of rows that each should have by its duration, where known.
        at: the source, for messages.
        transpose: whether arrays are (D, T), where it is known.
    Raises:
        InputError: neither sizes nor durations tell.
    """
    usual = [Counter(shape[axis] for shape in shapes).most_common(1)[0] for axis in (0, 1)]
    alike = [count for _, count in usual]
    votes = Counter(_vote(s, e) for s, e in zip(shapes, expected, strict=True))
    if transpose is not None:
        time = int(transpose)
    elif alike[0] != alike[1]:  # D is the same in all arrays
        time = int(alike[0] > alike[1])
    elif votes[0] != votes[1]:
        time = int(votes[1] > votes[0])
    else:
        raise InputError(
            f"{at}: cannot tell which axis of arrays of shape {shapes[0]} is time; say "
            "--no-transpose for rows by width (T, D), --transpose for (D, T)"
        )
    return Axes(time, usual[1 - time][0])


def as_rows(matrix: np.ndarray, axes: Axes, at: str, dtype: str) -> np.ndarray:
    """Return a matrix as rows (T, D) of `dtype`.

    Raises:
        InputError: another width than the set's, or a value that is not finite in `dtype`.
    """
    rows = matrix.T if axes.time == 1 else matrix
    if rows.shape[1] != axes.width:
        raise InputError(
            f"{at}: is {rows.shape[1]} wide, other videos are {axes.width}"
            "; are the axes wrong (--transpose, --no-transpose)?"
        )
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(rows, dtype=dtype)
    if not np.isfinite(rows).all():
        raise InputError(f"{at}: has values that are NaN, infinite or too large for {dtype}")
    return rows


def _vote(shape: tuple[int, ...], expected: float | None) -> int | None:
    """Return the axis whose size is plainly nearer to the expected number of rows, or None.

    (D, T) is the exception among published features, so it must fit well; (T, D) may fit badly,
    as it does when the frame rate is wrong.
    """
    if expected is None:
        return None
    off = [abs(math.log(size / expected)) for size in shape]
    nearer = int(off[1] < off[0])
    plain = off[nearer] * 1.5 < off[1 - nearer]
    return nearer if plain and (nearer == 0 or off[nearer] <= math.log(GOOD_FIT)) else None
