"""What every step should answer: which action covers it, and how far its start and end are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Targets:
    """The truth at every step.

    classes: multi-hot over the C actions, (B, T, C) float; all zero is background.
    intervals: (start, end) in steps of the action that the step belongs to, (B, T, 2); zero at
        background.
    """

    classes: Tensor
    intervals: Tensor

    @property
    def inside(self) -> Tensor:
        """True where an action covers the step, (B, T) bool."""
        return self.classes.any(-1)


def assign_steps(segments: Tensor, labels: Tensor, *, num_steps: int, num_classes: int) -> Targets:
    """Return the targets of one sequence: a step belongs to the shortest action that covers it.

    Step `t` is covered by [start, end] when start <= t <= end. An action too short to cover any
    step is given to its nearest one, so that nothing annotated is lost. Actions of exactly the
    same extent with different labels (every CliffDiving of THUMOS14 is also a Diving) all count.

    Args:
        segments: (N, 2) float, steps; may reach beyond the sequence.
        labels: (N,) integer in [0, num_classes).
    Returns:
        Targets without the batch dimension: classes (T, C), intervals (T, 2).
    """
    t = torch.arange(num_steps, dtype=segments.dtype)
    if len(segments) == 0 or num_steps == 0:
        return Targets(torch.zeros(num_steps, num_classes), torch.zeros(num_steps, 2))
    covers = (segments[:, :1] <= t) & (t <= segments[:, 1:])  # (N, T)
    covers |= _nearest_step(segments, num_steps)
    length = (segments[:, 1] - segments[:, 0])[:, None].expand_as(covers)
    length = length.masked_fill(~covers, torch.inf)
    shortest, owner = length.min(0)  # (T,)
    inside = shortest.isfinite()
    intervals = segments[owner] * inside[:, None]
    same_extent = covers & (segments[:, None] == segments[owner]).all(-1)  # (N, T)
    one_hot = torch.nn.functional.one_hot(labels, num_classes).to(segments.dtype)
    classes = (same_extent.to(segments.dtype).T @ one_hot).clamp(max=1)
    return Targets(classes, intervals)


def _nearest_step(segments: Tensor, num_steps: int) -> Tensor:
    """Return (N, T) bool, true at the one step nearest to an action that lies between two steps."""
    centre = segments.mean(1)
    between = segments[:, 0].ceil() > segments[:, 1].floor()
    between &= (centre > -0.5) & (centre < num_steps - 0.5)
    nearest = centre.round().clamp(0, num_steps - 1).long()
    return between[:, None] & (nearest[:, None] == torch.arange(num_steps))
