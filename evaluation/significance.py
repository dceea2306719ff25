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
FEWEST_VIDEOS = 10  # for a bootstrap over videos: of fewer, its intervals are too narrow
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


def map_interval(*results: Matches, samples: int = SAMPLES, seed: int = 0) -> Interval:
    """Return the average mAP over all thresholds, with its interval.

    Args:
        results: of one set of detections, or of several in the same videos (one for each training
            seed), whose mean is taken in every draw.
    Raises:
        ValueError: the videos differ.
    """
    return percentiles(map_draws(results, samples=samples, seed=seed).mean(axis=0))


def map_difference(
    first: Matches | Sequence[Matches],
    second: Matches | Sequence[Matches],
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Interval:
    """Return by how much the average mAP of `second` is higher, on the same drawn videos.

    Args:
        first, second: two sets of detections in the same videos, measured alike; or several of
            each, as for `map_interval`.
    Raises:
        ValueError: the videos differ.
    """
    one, other = ([r] if isinstance(r, Matches) else list(r) for r in (first, second))
    draws = map_draws([*one, *other], samples=samples, seed=seed)
    return percentiles(draws[len(one) :].mean(axis=0) - draws[: len(one)].mean(axis=0))


def map_draws(results: Sequence[Matches], *, samples: int = SAMPLES, seed: int = 0) -> np.ndarray:
    """Return the average mAP of R results in every draw of their videos, (R, 1 + samples).

    The first column is that of the videos as they are; every other is of one draw, for all results
    the same.

    Raises:
        ValueError: the videos differ.
    """
    if len({r.video_ids for r in results}) != 1:
        raise ValueError("results on the same videos are needed")
    weights = _draws(len(results[0].videos), samples, seed)
    return np.stack([_average_map(r, weights) for r in results])


def _draws(videos: int, samples: int, seed: int) -> np.ndarray:
    """Return how often each video is drawn, (1 + samples, V) float; at first, each once."""
    drawn = np.random.default_rng(seed).multinomial(videos, np.full(videos, 1 / videos), samples)
    return np.concatenate([np.ones((1, videos)), drawn])


def percentiles(values: np.ndarray) -> Interval:
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
