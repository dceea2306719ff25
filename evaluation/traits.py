"""Instances in buckets by length, coverage and number: which of them a diagnosis finds hard.

The traits are those of Alwassel et al., "Diagnosing Error in Temporal Action Detectors" (ECCV
2018), section 3.1, that annotations alone can tell. The study's bounds (a length of 30, 60, 120
and 180 s) suit ActivityNet only: here length and coverage are cut where they split the instances
at hand into five equal parts, and the bounds are part of a bucket's name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .matching import Matches

PARTS = 5  # buckets of length and coverage, where there are instances enough
LEAST_IN_PART = 5  # instances a bucket should have on average
# Buckets of the number of instances of a class in a video: the least and the greatest number.
NUMBERS = {"1": (1, 1), "2 to 3": (2, 3), "4 to 8": (4, 8), "9 or more": (9, math.inf)}


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


def traits(matches: Matches) -> tuple[Trait, ...]:
    """Return the traits of the instances: length, coverage and number.

    Instances of videos without a known duration above 0 have their own bucket of coverage.
    """
    instances = matches.instances
    durations = np.array([max(v.duration_sec or 0, 0) or math.nan for v in matches.videos.values()])
    with np.errstate(over="ignore"):  # infinity is what it says: longer than all others
        lengths = instances.segment[:, 1] - instances.segment[:, 0]
        # 128 keeps the product of a length and 100 finite, and as a power of 2 changes no digit.
        share = 100 * (lengths / 128) / (durations[instances.video] / 128)
    group = instances.video * len(matches.labels) + instances.label
    _, inverse, sizes = np.unique(group, return_inverse=True, return_counts=True)
    number = sizes[inverse]
    numbers = [
        Bucket(name, (low <= number) & (number <= high)) for name, (low, high) in NUMBERS.items()
    ]
    named = (
        ("length", "length of the instance", _parts(lengths, "s")),
        ("coverage", "length of the instance, in % of its video", _parts(share, "%")),
        ("number of instances", "number of instances of the same class in the video", numbers),
    )
    return tuple(
        Trait(name, meaning, tuple(b for b in buckets if b.members.any()))
        for name, meaning, buckets in named
    )


def bucket_ap(matches: Matches, worth: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Return the average precision of a bucket's instances, at every threshold, (K,).

    The AP of a class is a mean over its instances: of the precision at their hits, and of 0 for
    those missed. So mAP is a weighted mean over all instances, and this is the same mean over a
    bucket: the buckets of a trait, each with its share of the weights, make up mAP exactly.

    The study compares buckets by AP_N (Hoiem et al., "Diagnosing Error in Object Detectors", ECCV
    2012) instead, which leaves other instances out and scales the hits of few instances up to those
    of many. That flatters small buckets: where there is one instance, its hit is all there is to
    recall, and has a precision near 1 wherever it ranks. Buckets drawn at random should not differ;
    by AP_N they do, by the mean here they do not.

    Args:
        worth: the precision at the hit of every instance, 0 where missed, (K, M).
        members: which instances are in the bucket, (M,) bool; not all False.
    """
    weight = instance_weights(matches)[members]
    return np.asarray(worth[:, members] @ weight / weight.sum())


def instance_weights(matches: Matches) -> np.ndarray:
    """Return the weight of every instance in mAP, where all classes weigh the same, (M,); sum 1."""
    sizes = matches.instances_per_class
    return np.asarray(1 / (len(sizes) * sizes[matches.instances.label]))


def _parts(values: np.ndarray, unit: str) -> list[Bucket]:
    """Return buckets of about equal size, with bounds of two digits, and a last one of the nan."""
    known = values[np.isfinite(values)]
    number = min(PARTS, max(1, len(known) // LEAST_IN_PART))
    shares = np.arange(1, number) / number
    quantiles = np.quantile(known, shares) if len(known) else ()
    cuts = sorted({float(f"{v:.2g}") for v in quantiles})
    buckets = [
        Bucket(_between(low, high, unit), (values > low) & (values <= high))
        for low, high in pairwise([-math.inf, *cuts, math.inf])
    ]
    return [*buckets, Bucket("duration not known", np.isnan(values))]


def _between(low: float, high: float, unit: str) -> str:
    if math.isinf(low):
        return "any" if math.isinf(high) else f"up to {high:g} {unit}"
    if math.isinf(high):
        return f"over {low:g} {unit}"
    return f"{low:g} to {high:g} {unit}"
