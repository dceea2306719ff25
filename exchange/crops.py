"""Features of several crops of each picture in, one array for each video out: their mean.

Networks that look for anomalies are often fed five or ten crops: the corners and the centre, and
their mirror images. Two layouts are public: an array (T, crops, D) or (crops, T, D) for each video
(RTFM's UCF-Crime and ShanghaiTech), and a file (T, D) for each crop, `x__0.npy` to `x__4.npy` or
`x__9.npy` (XD-Violence, VadCLIP).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import InputError
from .arrays import Entry

CROP_FILE = re.compile(r"(?P<stem>.+)__(?P<crop>\d{1,2})", re.DOTALL)
USUAL = (5, 10)  # crops of a picture


def join_crops(
    entries: Sequence[Entry], crops: str | None, known: Collection[str]
) -> Sequence[Entry]:
    """Return one entry in place of the files of a video's crops, if `crops` is "mean".

    Args:
        known: the ids of the annotations; a name that is one of them is no crop's.
    Raises:
        InputError: all names are those of crops, and nobody says what to do with them.
    """
    groups: dict[tuple[Path, str], dict[int, Entry]] = defaultdict(dict)
    whole = []
    for entry in entries:
        named = CROP_FILE.fullmatch(entry.stem)
        if named is None or entry.stem in known:
            whole.append(entry)
        else:
            groups[Path(entry.where).parent, named["stem"]][int(named["crop"])] = entry
    if not groups or crops == "apart":
        return entries
    usual = Counter(map(frozenset, groups.values())).most_common(1)[0][0]
    if crops is None:
        if whole or len(usual) < 2 or usual != set(range(len(usual))):
            return entries
        first = entries[0]
        raise InputError(
            f"{first.where}: looks like one of {len(usual)} crops of a video; say --crops mean to "
            "average them, --crops apart if each is a video of its own"
        )
    joined = [
        replace(parts[min(parts)], stem=stem, reader=partial(_mean, parts, usual), averaged=True)
        for (_, stem), parts in groups.items()
    ]
    return [*whole, *joined]


def crop_axis(shapes: Sequence[tuple[int, ...]], at: str) -> int:
    """Return the axis of arrays with three axes that counts the crops, as a sample shows.

    The crops are 5 or 10 in every video, and before the width.

    Args:
        at: the source, for messages.
    Raises:
        InputError: neither of the first two axes looks like it, or both do.
    """
    usual = [Counter(shape[axis] for shape in shapes).most_common(1)[0] for axis in (0, 1)]
    fits = [axis for axis, (size, _) in enumerate(usual) if size in USUAL]
    if len(fits) == 2 and usual[0][1] != usual[1][1]:
        fits = [int(usual[1][1] > usual[0][1])]
    if len(fits) != 1:
        raise InputError(
            f"{at}: cannot tell which axis of arrays of shape {shapes[0]} counts the crops; say "
            "--crop-axis 0, 1 or 2"
        )
    return fits[0]


def three_axes(array: np.ndarray) -> np.ndarray:
    """Return an array without the axes of length 1 at its ends that make them more than three."""
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    return array


def mean_of_crops(array: np.ndarray, axis: int, at: str) -> np.ndarray:
    """Return the mean over the axis of the crops, float32.

    Raises:
        InputError: not numbers in three axes, or empty.
    """
    if array.ndim != 3 or array.dtype.kind not in "fiu" or not array.size:
        raise InputError(
            f"{at}: has the shape {array.shape} of {array.dtype}, and so no axis of crops; leave "
            "out --crops, or reshape arrays whose crops lie one after the other to (T, crops, D)"
        )
    return np.asarray(array.mean(axis=axis, dtype=np.float32))


def _mean(parts: dict[int, Entry], usual: Collection[int]) -> np.ndarray:
    """Return the mean of the arrays of a video's crops."""
    if set(parts) != set(usual):
        there = ", ".join(map(str, sorted(parts)))
        raise InputError(
            f"{parts[min(parts)].where}: has the crops {there}; other videos have {len(usual)}"
        )
    arrays = [parts[n].read() for n in sorted(parts)]
    shapes = {a.shape for a in arrays}
    if len(shapes) > 1:
        raise InputError(f"{parts[min(parts)].where}: its crops have the shapes {sorted(shapes)}")
    return mean_of_crops(np.stack([np.squeeze(a) for a in arrays]), 0, parts[min(parts)].where)
