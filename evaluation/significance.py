"""How sure a mAP is, and whether a difference is one: bootstrap over videos.

Videos are drawn with replacement (Efron 1979); a video drawn twice counts twice, with all of its
instances and detections. The matching within a video stays as it is, so nothing is matched again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .matching import ANET, Matches

SAMPLES = 1000
MAX_WEIGHTS = 5_000_000  # of detections in draws at once: 40 MB an array
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A figure, and the range in which it lies with 95 % confidence."""

    value: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether 0 is outside, so that a difference is one."""
        return self.low > 0 or self.high < 0


def map_interval(matches: Matches, *, samples: int = SAMPLES, seed: int = 0) -> Interval:
    """Return the average mAP over all thresholds, with its interval."""
    weights = _draws(len(matches.videos), samples, seed)
    return _interval(_average_map(matches, weights))


def map_difference(
    first: Matches, second: Matches, *, samples: int = SAMPLES, seed: int = 0
) -> Interval:
    """Return by how much the average mAP of `second` is higher, on the same drawn videos.

    Args:
        first, second: two sets of detections in the same videos, measured alike.
    Raises:
        ValueError: the videos differ.
    """
    if first.video_ids != second.video_ids:
        raise ValueError("two results on the same videos are needed")
    weights = _draws(len(first.videos), samples, seed)
    return _interval(_average_map(second, weights) - _average_map(first, weights))


def _draws(videos: int, samples: int, seed: int) -> np.ndarray:
    """Return how often each video is drawn, (1 + samples, V) float; at first, each once."""
    drawn = np.random.default_rng(seed).multinomial(videos, np.full(videos, 1 / videos), samples)
    return np.concatenate([np.ones((1, videos)), drawn])


def _interval(values: np.ndarray) -> Interval:
    """Return the first value, within the percentiles of the others."""
    outside = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(values[1:], [outside, 100 - outside])
    return Interval(float(values[0]), float(low), float(high))


def _average_map(matches: Matches, weights: np.ndarray) -> np.ndarray:
    """Return the average mAP of every draw, (S,), over the classes that occur in it."""
    longest = max((len(ranked) for ranked in matches.rankings), default=1)
    at_once = max(MAX_WEIGHTS // max(longest, 1), 1)
    if len(weights) > at_once:  # some draws at a time, so that memory is bounded
        parts = range(0, len(weights), at_once)
        return np.concatenate([_average_map(matches, weights[n : n + at_once]) for n in parts])
    aps = np.stack([_class_ap(matches, c, weights) for c in range(len(matches.labels))])
    with np.errstate(invalid="ignore"):
        average: np.ndarray = np.nanmean(aps, axis=0)
    return average


def _class_ap(matches: Matches, label: int, weights: np.ndarray) -> np.ndarray:
    """Return a class's AP, the mean over the thresholds, of every draw, (S,); NaN without it."""
    own = matches.instances.video[matches.instances.label == label]
    size = weights[:, own].sum(axis=1)  # (S,)
    ranked = matches.rankings[label]
    weight = weights[:, matches.detections.video[ranked]]  # (S, n)
    sums = np.zeros(len(weights))
    for k in range(len(matches.measure.tious)):
        hit = matches.hit[k, ranked]
        counted = weight * ~matches.neutral[k, ranked]
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.cumsum(weight * hit, axis=1) / np.cumsum(counted, axis=1)
        precision = np.nan_to_num(precision[:, hit])
        if matches.measure.protocol == ANET:
            precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        sums += (precision * weight[:, hit]).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ap: np.ndarray = sums / len(matches.measure.tious) / size
    return np.where(size > 0, ap, np.nan)


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of values, and its standard error; NaN for a single one."""
    array = np.asarray(values, dtype=float)
    error = array.std(ddof=1) / np.sqrt(len(array)) if len(array) > 1 else float("nan")
    return float(array.mean()), float(error)
