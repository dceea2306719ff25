"""Whether channels of features should be standardised, each by its own mean and deviation.

Channels of different units (metres beside degrees) must be: what varies by hundredths is not seen
beside what varies by a hundred. Principal components, and probabilities of classes most of which
never come up, must not: what varies little there is noise, or something that training never saw.
Both are uneven; which it is, a linear classifier tells on videos that it was not fitted to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .windows import LabelledVideo

# A channel that varies by less than a share of the largest deviation, or of its own mean, is
# constant.
LEAST_DEVIATION, LEAST_OF_MEAN = 1e-6, 1e-4
FAR_SMALLER, FAR_LARGER = 10.0, 100.0  # times, see `are_uneven`
CLEARLY = 0.05  # of balanced accuracy, by which standardised channels must tell classes better
PROBED_ROWS, PROBED_VALUES = 3000, 4_000_000  # at most, of all videos: wide rows are fewer
STRETCHES, PARTS = 20, 4
PENALTIES = (1.0, 0.1, 0.01, 0.001)  # of the ridge regression, times the number of rows


@dataclass(frozen=True)
class Probe:
    """Some rows of videos, (n, D), and the class of each, (n,); the last number is background."""

    rows: np.ndarray
    classes: np.ndarray


def probe(rows: np.ndarray, video: LabelledVideo, num_classes: int, *, most: int) -> Probe:
    """Return evenly spread rows of a video that count, with their classes."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int))
    classes = np.full(len(chosen), num_classes)
    for (start, end), label in zip(video.segments, video.labels, strict=True):
        classes[(chosen >= start) & (chosen <= end)] = label
    counts = np.ones(len(chosen), dtype=bool)
    for start, end in video.ignored:
        counts &= (chosen < start) | (chosen > end) | (classes < num_classes)
    return Probe(rows[chosen[counts]], classes[counts])


def rows_of_each(videos: int, width: int) -> int:
    """Return how many rows of each video to probe, so that a wide set takes no gigabytes."""
    return max(min(PROBED_ROWS, PROBED_VALUES // width) // max(videos, 1), 1)


def together(probes: Sequence[Probe]) -> Probe:
    """Return the rows of several probes as one, in their order."""
    return Probe(
        np.concatenate([p.rows for p in probes]), np.concatenate([p.classes for p in probes])
    )


def deviations(mean: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Return the standard deviation of every channel, (D,); infinite for those that do not vary.

    So dividing by it does not turn what rounding leaves of a constant into a signal.

    Args:
        mean, square: the means of values and of their squares, (D,).
    """
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
    least = np.maximum(LEAST_DEVIATION * deviation.max(), LEAST_OF_MEAN * abs(mean))
    return np.where(deviation > least, deviation, np.inf)


def should_be_standardised(deviation: np.ndarray, probe: Probe) -> bool:
    """Whether channels are uneven, and tell the classes of rows clearly better standardised.

    Args:
        deviation: see `deviations`.
        probe: rows of training videos.
    """
    if not are_uneven(deviation) or len(np.unique(probe.classes)) < 2:
        return False
    plain, standardised = (told(probe, standardise=s) for s in (False, True))
    return standardised > plain + CLEARLY


def are_uneven(deviation: np.ndarray) -> bool:
    """Whether channels vary very unlike each other.

    One in twenty varies less than a tenth as much as the median channel, or one more than a hundred
    times as much. (Of the networks at hand the two are at most 5 and 6 times.)
    """
    varying = deviation[np.isfinite(deviation)]
    if not len(varying):
        return False
    low, median, high = np.quantile(varying, [0.05, 0.5, 1])
    return bool(median > FAR_SMALLER * low or high > FAR_LARGER * median)


def told(probe: Probe, *, standardise: bool) -> float:
    """Return how well rows tell their classes, as balanced accuracy in [0, 1].

    By ridge regression onto the classes, with the penalty that does best. It is fitted to three
    quarters of the rows and measured on the others, each once. The quarters are of stretches that
    lie together: of whole videos where there are many, of parts of a recording where it is one.
    """
    classes = np.unique(probe.classes)
    stretch = np.arange(len(probe.classes)) * STRETCHES // len(probe.classes)
    right = np.zeros((len(PENALTIES), len(classes)))
    for part in range(PARTS):
        held = stretch % PARTS == part
        rows, truth = probe.rows[~held], probe.classes[held]
        mean, square = rows.mean(0), (rows**2).mean(0)
        scale = deviations(mean, square) if standardise else math.sqrt(square.mean() or 1.0)
        wanted = probe.classes[~held, None] == classes
        left, values, directions = np.linalg.svd((rows - mean) / scale, full_matrices=False)
        codes = left.T @ (wanted - wanted.mean(0))
        seen = (probe.rows[held] - mean) / scale @ directions.T
        for n, penalty in enumerate(PENALTIES):
            shrunk = values / (values**2 + penalty * len(rows))
            answer = classes[(seen @ (shrunk[:, None] * codes) + wanted.mean(0)).argmax(1)]
            right[n] += [np.sum((truth == c) & (answer == c)) for c in classes]
    count = np.sum(probe.classes[:, None] == classes, axis=0)
    return float((right / count).mean(axis=1).max())
