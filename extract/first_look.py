"""A first look: what a backbone's own classifier sees, as detections, before any label is made.

The classes are those that the network was trained on (Kinetics-400), the scores those that
`tsatal extract --scores` stores. It tells what a stretch of video shows most, not where an action
begins to a tenth of a second, and knows nothing of classes of one's own.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from ..errors import InputError
from ..formats.annotations import ActionnessCurve, Detection, VideoDetections
from ..formats.class_scores import ClassScores
from ..formats.features import TimeAxis

SMOOTHED_SEC = 2.0  # over which scores are averaged
LEAST_SCORE = 0.25  # of a stretch; of chosen classes, of which one may be right, less is enough
LEAST_CHOSEN = 0.1
LEAST_SEC = 1.0  # a shorter stretch is a flicker, and a shorter gap closes
LOOK = {"stride": 8}  # of what is extracted for it: a row every 0.64 s is enough
NEAREST = 3  # names offered for a name that is none


def find_classes(wanted: Sequence[str], known: Sequence[str]) -> list[int]:
    """Return the numbers of the classes of these names, in their order.

    Case, spaces, hyphens, and an s at the end make no difference.

    Raises:
        InputError: a name is none of theirs; the message offers the nearest.
    """
    by_name = {_plain(name): number for number, name in enumerate(known)}
    found = []
    for name in wanted:
        if (number := by_name.get(_plain(name))) is None:
            near = difflib.get_close_matches(_plain(name), by_name, n=NEAREST, cutoff=0.4)
            near += [n for n in by_name if _plain(name) in n and n not in near][:NEAREST]
            offered = ", ".join(repr(known[by_name[n]]) for n in near) or "none that is near"
            raise InputError(
                f"--classes: no class {name!r}; there are {offered}"
                " (all of a network: tsatal backbones --classes NAME)"
            )
        found.append(number)
    return found


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.casefold()).rstrip("s")


def look(
    scores: ClassScores, axis: TimeAxis, *, classes: Sequence[int] | None = None
) -> VideoDetections:
    """Return stretches of one class each, best first, and how sure the classifier is over time.

    At most one class at a time: the best of the smoothed scores. A stretch's score is its mean.

    Args:
        classes: numbers of the only classes to look for; all where not given.
    """
    chosen = list(range(len(scores.classes))) if classes is None else list(classes)
    values = smoothed(scores.values[:, chosen], round(SMOOTHED_SEC / axis.step_sec))
    least = LEAST_SCORE if classes is None else LEAST_CHOSEN
    best = np.where(values.max(axis=1) >= least, values.argmax(axis=1), -1)
    gap = int(LEAST_SEC / axis.step_sec)
    found = []
    for number, first, last in stretches(best, most_gap=gap):
        # Borders lie half-way between rows; the first and the last row stand for the ends, too.
        borders = (axis.start_sec + (row - 0.5) * axis.step_sec for row in (first, last))
        start, end = (min(max(border, 0.0), axis.duration_sec) for border in borders)
        start = start if first else 0.0
        end = end if last < len(values) else axis.duration_sec
        if end - start >= min(LEAST_SEC, axis.duration_sec):
            score = float(values[first:last, number].mean())
            found.append(Detection(scores.classes[chosen[number]], start, end, round(score, 4)))
    curve = tuple(round(float(v), 4) for v in values.max(axis=1))
    by_score = sorted(found, key=lambda d: -d.score)
    return VideoDetections(by_score, ActionnessCurve(axis.start_sec, axis.step_sec, curve))


def without_last(scores: ClassScores) -> ClassScores:
    """Return the scores with the last row's replaced by those of the row before, (T, C).

    A dense network was trained to tell classes by the mean of rows; Inception I3D by each two that
    follow each other. Alone the last one tells nothing: what it has seen is mostly the padding
    after the video. A single row gets zeros.
    """
    values = scores.values
    last = values[-2:-1] if len(values) > 1 else np.zeros_like(values)
    return ClassScores(np.concatenate([values[:-1], last]), scores.classes)


def smoothed(values: np.ndarray, rows: int) -> np.ndarray:
    """Return each row's mean with those around it, (T, C); fewer at the ends."""
    reach = max(rows, 1) // 2
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    at = np.arange(len(values))
    low, high = np.maximum(at - reach, 0), np.minimum(at + reach + 1, len(values))
    means: np.ndarray = (sums[high] - sums[low]) / (high - low)[:, None]
    return means


def stretches(best: np.ndarray, *, most_gap: int) -> Iterator[tuple[int, int, int]]:
    """Yield the runs of equal numbers in (T,): number, first row, row after the last; not of -1.

    Args:
        most_gap: rows of -1 between two runs of one number that join them.
    """
    edges = [0, *(np.flatnonzero(np.diff(best)) + 1).tolist(), len(best)]
    runs = [(int(best[a]), a, b) for a, b in pairwise(edges) if best[a] >= 0]
    joined: list[tuple[int, int, int]] = []
    for number, first, last in runs:
        if joined and joined[-1][0] == number and first - joined[-1][2] <= most_gap:
            joined[-1] = number, joined[-1][1], last
        else:
            joined.append((number, first, last))
    yield from joined
