"""Instances sorted into buckets by what they are like: their length, coverage and number.

The traits are those of Alwassel et al., "Diagnosing Error in Temporal Action Detectors" (ECCV
2018), section 3.1, that annotations alone can tell. The study's bounds (a length of 30, 60, 120
and 180 s) suit ActivityNet only: here length and coverage are cut where they split the instances
at hand into five equal parts, and the bounds are part of a bucket's name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..formats.annotations import AnnotatedVideo
from .verdicts import Verdicts

PARTS = 5  # buckets of length and coverage, where there are instances enough
LEAST_IN_PART = 5  # instances a bucket should have on average
NUMBERS = (1, 3, 8)  # upper bounds of the number of instances of a class in a video


@dataclass(frozen=True, eq=False)
class Bucket:
    """Instances that are alike in one trait: a name with the bounds, and the members, (M,) bool."""

    name: str
    members: np.ndarray


@dataclass(frozen=True, eq=False)
class Trait:
    """A property of instances and its buckets, none empty; every instance is in exactly one."""

    name: str
    meaning: str
    buckets: tuple[Bucket, ...]


def traits(verdicts: Verdicts, videos: Mapping[str, AnnotatedVideo]) -> tuple[Trait, ...]:
    """Return the traits of the instances of the verdicts: length, coverage and number.

    Args:
        videos: those that were judged; a duration that is not known, or not above 0, makes a
            bucket of its own.
    """
    instances = verdicts.instances
    durations = np.array([_duration_sec(videos[v]) for v in verdicts.video_ids])
    with np.errstate(over="ignore"):  # infinity is what it says: longer than all others
        lengths = instances.segment[:, 1] - instances.segment[:, 0]
        # 128 keeps the product of a length and 100 finite, and as a power of 2 changes no digit.
        share = 100 * (lengths / 128) / (durations[instances.video] / 128)
    return (
        Trait("length", "length of the instance", _parts(lengths, "s")),
        Trait("coverage", "length of the instance, in % of its video", _parts(share, "%")),
        Trait(
            "number of instances",
            "number of instances of the same class in the video",
            _numbers(verdicts),
        ),
    )


def bucket_ap(verdicts: Verdicts, worth: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Return the average precision of a bucket's instances, at every threshold, (K,).

    AP is a mean over the instances of a class: of the precision at their hits, and 0 for those
    missed. mAP is so a weighted mean over all instances, and this is the same mean over a bucket:
    the buckets of a trait, each with its share of the weights, make up mAP exactly.

    The study has AP_N (Hoiem et al., "Diagnosing Error in Object Detectors", ECCV 2012) here: other
    instances left out, and the hits of few scaled up to those of many. That flatters buckets of few
    instances: of one instance the first hit is all there is to recall, and has a precision near 1
    wherever it ranks. Buckets drawn at random should not differ, and here do not.

    Args:
        worth: the precision at the hit of every instance, 0 where missed, (K, M).
        members: which instances are in the bucket, (M,) bool; not all False.
    """
    weight = instance_weights(verdicts)[members]
    return np.asarray(worth[:, members] @ weight / weight.sum())


def instance_weights(verdicts: Verdicts) -> np.ndarray:
    """Return how much every instance counts in mAP, where all classes count alike, (M,); sum 1."""
    sizes = verdicts.instances_per_class
    return np.asarray(1 / (len(sizes) * sizes[verdicts.instances.label]))


def _duration_sec(video: AnnotatedVideo) -> float:
    """Return the duration, or nan where it is not known or not above 0."""
    return max(video.duration_sec or 0.0, 0.0) or math.nan


def _parts(values: np.ndarray, unit: str) -> tuple[Bucket, ...]:
    """Return buckets of about equal size, with bounds of two digits; one more for what is nan."""
    known = values[np.isfinite(values)]
    number = min(PARTS, max(1, len(known) // LEAST_IN_PART))
    shares = np.arange(1, number) / number
    cuts = sorted({_two_digits(v) for v in np.quantile(known, shares)}) if len(known) else []
    edges = [-math.inf, *cuts, math.inf]
    buckets = [
        Bucket(_between(low, high, unit), (values > low) & (values <= high))
        for low, high in pairwise(edges)
    ]
    return _filled([*buckets, Bucket("duration not known", np.isnan(values))])


def _numbers(verdicts: Verdicts) -> tuple[Bucket, ...]:
    instances = verdicts.instances
    group = instances.video * len(verdicts.labels) + instances.label
    _, inverse, sizes = np.unique(group, return_inverse=True, return_counts=True)
    number = sizes[inverse]
    buckets = [
        Bucket(f"{low + 1} to {high}" if high > low + 1 else str(high),
               (number > low) & (number <= high))
        for low, high in pairwise((0, *NUMBERS))
    ]  # fmt: skip
    return _filled([*buckets, Bucket(f"{NUMBERS[-1] + 1} or more", number > NUMBERS[-1])])


def _filled(buckets: Sequence[Bucket]) -> tuple[Bucket, ...]:
    return tuple(b for b in buckets if b.members.any())


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")


def _between(low: float, high: float, unit: str) -> str:
    if math.isinf(low):
        return "any" if math.isinf(high) else f"up to {high:g} {unit}"
    if math.isinf(high):
        return f"over {low:g} {unit}"
    return f"{low:g} to {high:g} {unit}"
