"""Interval mathematics that every stage shares, for NumPy arrays and torch tensors alike.

An interval is a pair (start, end) in the last dimension. Everything broadcasts, so all pairs of
(N, 2) and (M, 2) are `tiou(a[:, None], b[None])`. torch is imported only where a tensor comes in.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

Array = TypeVar("Array", np.ndarray, "torch.Tensor")

CUT_SHARE = 0.1  # of a segment without rows, from which on that is worth a word


def seconds_to_steps(seconds: Array, *, start_sec: float, step_sec: float) -> Array:
    """Return instants (any shape, seconds) on the axis of feature rows: row `t` is at `t`."""
    return (seconds - start_sec) / step_sec


def steps_to_seconds(steps: Array, *, start_sec: float, step_sec: float) -> Array:
    """Return the instants (any shape, seconds) of fractional feature rows."""
    return start_sec + steps * step_sec


def _library(x: Any) -> ModuleType:
    if isinstance(x, np.ndarray):
        return np
    import torch

    return torch


def overlap(a: Array, b: Array) -> Array:
    """Return the length of the intersection of intervals (..., 2) and (..., 2), at least 0."""
    xp = _library(a)
    length: Array = xp.minimum(a[..., 1], b[..., 1]) - xp.maximum(a[..., 0], b[..., 0])
    return length.clip(min=0)


def tiou(a: Array, b: Array) -> Array:
    """Return the temporal intersection over union of intervals (..., 2), in [0, 1].

    Two intervals whose union has no length have a tIoU of 0, also when they are equal.
    """
    xp = _library(a)
    shared = overlap(a, b)
    union = (a[..., 1] - a[..., 0]) + (b[..., 1] - b[..., 0]) - shared
    positive = union > 0
    ratio: Array = xp.where(positive, shared / xp.where(positive, union, 1.0), 0.0)
    return ratio


def united(stretches: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Return what stretches cover together, as stretches that do not meet, in order."""
    whole: list[tuple[float, float]] = []
    for start, end in sorted(stretches):
        if whole and start <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(whole[-1][1], end))
        else:
            whole.append((start, end))
    return tuple(whole)


def diou(a: Array, b: Array) -> Array:
    """Return the distance-IoU of intervals (..., 2): tIoU - (centre distance / hull)^2, in [-1, 1].

    Zheng et al., "Distance-IoU Loss" (AAAI 2020), in one dimension.
    """
    xp = _library(a)
    hull = xp.maximum(a[..., 1], b[..., 1]) - xp.minimum(a[..., 0], b[..., 0])
    distance = (a[..., 0] + a[..., 1] - b[..., 0] - b[..., 1]) / 2
    value: Array = tiou(a, b) - (distance / xp.where(hull > 0, hull, 1.0)) ** 2
    return value


def are_cut(segments: np.ndarray, num_steps: int) -> np.ndarray:
    """Return which segments have rows for a part of them alone, (N,) bool.

    What misses less than a step, or than a tenth of a segment, is let pass: the first and the last
    row stand for some time around them. A segment without any row is not cut.

    Args:
        segments: (N, 2), in steps of a video with rows 0 to `num_steps - 1`.
    """
    inside = np.clip(segments, -0.5, num_steps - 0.5)
    length, left = np.diff(segments)[:, 0], np.diff(inside)[:, 0]
    cut: np.ndarray = (left > 0) & (length - left > np.maximum(1, CUT_SHARE * length))
    return cut
