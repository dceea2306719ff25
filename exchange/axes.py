"""What the axes of an array mean: (T, D) or (D, T), and how wide a row is.

Nothing in an array says so. Over the videos of one set D is the same and T is not, which settles
most cases; a single video, or videos resized to one T, leave the durations to compare with.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError

SAMPLE = 16  # arrays that are looked at before the first is imported
GOOD_FIT = 1.1  # rows by rows expected, within which a size may be the number of rows


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
        raise InputError(f"{at}: has the shape {array.shape}, rows by width are needed")
    if not matrix.size:
        raise InputError(f"{at}: is empty, of shape {array.shape}")
    return matrix


def find_axes(shapes: Sequence[tuple[int, int]], expected: Sequence[float | None], at: str) -> Axes:
    """Return which axis is time, as a sample of the set's arrays shows.

    Args:
        shapes: of some of the arrays.
        expected: the number of rows that each should have by its duration, where known.
        at: the source, for messages.
    Raises:
        InputError: neither sizes nor durations tell.
    """
    misfits = [len(shapes) - _mode(shapes, 1 - axis)[1] for axis in (0, 1)]
    votes = Counter(_vote(s, e) for s, e in zip(shapes, expected, strict=True))
    if misfits[0] != misfits[1]:
        return with_time(shapes, 0 if misfits[0] < misfits[1] else 1)
    if votes[0] != votes[1]:
        return with_time(shapes, 0 if votes[0] > votes[1] else 1)
    raise InputError(
        f"{at}: cannot tell which axis of arrays of shape {shapes[0]} is time; say "
        "--no-transpose for rows by width (T, D), --transpose for (D, T)"
    )


def with_time(shapes: Sequence[tuple[int, int]], time: int) -> Axes:
    """Return the axes where it is known which one is time; most arrays' width counts."""
    return Axes(time, _mode(shapes, 1 - time)[0])


def as_rows(matrix: np.ndarray, axes: Axes, at: str, dtype: str) -> np.ndarray:
    """Return a matrix as rows (T, D) of `dtype`.

    Raises:
        InputError: another width than the set's, or a value that is not finite in `dtype`.
    """
    rows = matrix.T if axes.time == 1 else matrix
    if rows.shape[1] != axes.width:
        raise InputError(f"{at}: is {rows.shape[1]} wide, other videos are {axes.width}")
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(rows, dtype=dtype)
    if not np.isfinite(rows).all():
        raise InputError(f"{at}: has values that are NaN, infinite or too large for {dtype}")
    return rows


def _mode(shapes: Sequence[tuple[int, int]], axis: int) -> tuple[int, int]:
    return Counter(shape[axis] for shape in shapes).most_common(1)[0]


def _vote(shape: tuple[int, int], expected: float | None) -> int | None:
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
