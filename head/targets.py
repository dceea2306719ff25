"""The targets of training: each point's action, with start and end. (Open in the paper.)"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..formats.limits import check_size
from .points import Points

CLAIM_BYTES = 24  # of memory for each pair of an action and a point


@dataclass(frozen=True)
class Truth:
    """The actions of B sequences, padded at the end to N.

    segments: (start, end) in steps, may lie partly outside the sequence, (B, N, 2) float.
    labels: (B, N) integer; -1 is padding.
    ignored: stretches that count neither way, (B, M, 2) float, in steps; inf is padding.
    """

    segments: Tensor
    labels: Tensor
    ignored: Tensor = field(default_factory=lambda: torch.zeros(1, 0, 2))

    def counts(self, position: Tensor) -> Tensor:
        """Return whether instants, (P,) in steps, lie in no ignored stretch, (1 or B, P) bool."""
        start, end = self.ignored[..., :1], self.ignored[..., 1:]
        return ~((start <= position) & (position <= end)).any(1)


@dataclass(frozen=True)
class Targets:
    """The ground truth at every point.

    classes: multi-hot over the C actions, (B, P, C) float; all zero is background.
    intervals: (start, end) in steps of the point's action, (B, P, 2); zero at background.
    """

    classes: Tensor
    intervals: Tensor

    @property
    def inside(self) -> Tensor:
        """True where a point belongs to an action, (B, P) bool."""
        return self.classes.any(-1)


def assign_points(
    truth: Truth,
    points: Points,
    *,
    num_steps: int,
    num_classes: int,
    centre_radius: float | None = None,
    reach_overlap: float = 1.0,
) -> Targets:
    """Return the targets of a batch: a point belongs to the shortest action that claims it.

    An action claims the points between its start and end whose regression range holds the farther
    end; with centre sampling (Zhang et al., "ActionFormer", 2022) only those near its centre. An
    action left without any point is given to the point nearest to its centre, in the level that
    fits its length, so that nothing annotated is lost. Actions of exactly the same extent with
    different labels (every CliffDiving of THUMOS14 is also a Diving) all count.

    Args:
        num_steps: of the sequences; an action whose centre lies outside is not forced in.
        centre_radius: farthest from the centre, in the level's strides; None: anywhere inside.
        reach_overlap: factor on every range's far end; levels share the actions at a border.
    """
    if truth.labels.shape[1] == 0 or len(points) == 0:
        shape, zeros = (len(truth.labels), len(points)), truth.segments.new_zeros
        return Targets(zeros(*shape, num_classes), zeros(*shape, 2))
    claims_bytes = CLAIM_BYTES * truth.labels.numel() * len(points)
    check_size(
        claims_bytes,
        f"windows of up to {truth.labels.shape[1]:,} actions each",
        instead="a smaller optim.batch_size or data.window_steps",
    )
    start, end = truth.segments[..., :1], truth.segments[..., 1:]  # (B, N, 1)
    centre, half = (start + end) / 2, (end - start) / 2
    position, stride = points.position, points.stride

    farther = torch.maximum(position - start, end - position)  # (B, N, P)
    claims = (start <= position) & (position <= end) & _within(farther, points, reach_overlap)
    if centre_radius is not None:
        claims &= (position - centre).abs() <= centre_radius * stride

    # Nothing annotated is lost: an action that claims no point gets the nearest one of a level
    # that fits (1e9 steps are farther than any other point).
    real = (truth.labels >= 0)[..., None]
    in_sequence = (centre > -0.5) & (centre < num_steps - 0.5)
    lost = real & in_sequence & ~claims.any(-1, keepdim=True)
    away = (position - centre).abs() + torch.where(_within(half, points, reach_overlap), 0.0, 1e9)
    nearest = torch.arange(len(points), device=away.device) == away.argmin(-1, keepdim=True)
    claims = (claims & real) | (lost & nearest)

    # A long action has other points to be found by, so where actions meet the shortest one wins.
    shortest, owner = torch.where(claims, half, torch.inf).min(1)  # (B, P)
    inside = shortest.isfinite()
    intervals = truth.segments.gather(1, owner[..., None].expand(-1, -1, 2)) * inside[..., None]
    same_extent = claims & (truth.segments[:, :, None] == intervals[:, None]).all(-1)
    one_hot = torch.nn.functional.one_hot(truth.labels.clamp(min=0), num_classes)
    classes = same_extent.transpose(1, 2).to(intervals.dtype) @ one_hot.to(intervals.dtype)
    return Targets(classes.clamp(max=1), intervals)


def _within(distance: Tensor, points: Points, overlap: float) -> Tensor:
    """Return whether distances (B, N, 1 or P) lie in each point's range, (B, N, P)."""
    low, high = points.regression_range.unbind(-1)
    return (low < distance) & (distance <= high * overlap)
