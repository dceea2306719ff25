"""Detections of several heads, each in videos that it held out, in; one operating point out.

A head that is trained on all videos has none left to choose thresholds on. Heads like it, each
trained without its share of the videos, have found what they have in every one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import quantity
from .matching import Predictions, Videos
from .operating_point import OperatingPoint, learn_operating_point


def learn_from_held_out(
    videos: Videos,
    found: Sequence[Predictions],
    *,
    folds: int,
    tiou: float = 0.5,
    precision: float | None = None,
) -> OperatingPoint:
    """Return the operating point of a head that has learned from all of these videos.

    Seeds are pooled: each of S gives every video once more, and an S-th of what it says counts.

    Args:
        videos: of all folds.
        found: detections in them by seed, with the heads' own scores; each video's are of a head
            that has not learned from it.
        folds: how many.
        tiou, precision: see `operating_point.choose_operating_point`.
    """
    every = {f"{v} {n}": video for n in range(len(found)) for v, video in videos.items()}
    pooled = {f"{v} {n}": own for n, seed in enumerate(found) for v, own in seed.items()}
    seeds = f" and {quantity(len(found), 'seed')}" if len(found) > 1 else ""
    point = learn_operating_point(
        every, pooled, subset=f"the held-out videos of {quantity(folds, 'fold')}{seeds}",
        tiou=tiou, precision=precision, copies=len(found),
    )  # fmt: skip
    return replace(point, folds=folds)
