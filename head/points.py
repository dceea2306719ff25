"""The instants that predictions are made for: the steps of one or of several temporal levels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Points:
    """P instants on the axis of the feature rows, finest level first.

    position: where each point stands, in steps, (P,).
    stride: distance to the next point of the same level, in steps, (P,).
    regression_range: an action belongs to a point if the farther of its two ends lies within
        (low, high] of the point, in steps, (P, 2); see also `targets.assign_points`.
    rows: the row that each point is read from, where rows of zeros lie between the levels of a
        sequence, (P,) integer; None: every row is a point.
    """

    position: Tensor
    stride: Tensor
    regression_range: Tensor
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.position)


def level_sizes(num_steps: int, levels: int) -> list[int]:
    """Return the number of points in each level: a level halves the one before, rounding up."""
    return [-(-num_steps // 2**level) for level in range(levels)]


def level_points(
    num_steps: int,
    *,
    levels: int = 1,
    first_reach: float = 4.0,
    gap: int = 0,
    device: torch.device | None = None,
) -> Points:
    """Return the points of a sequence of T steps: level `l` stands at 0, 2^l, 2 * 2^l, ...

    Level 0 answers for actions that end within `first_reach` steps, every other level for twice
    as far as the level before, and the last for all longer actions: one level alone for all.

    Args:
        gap: rows of zeros after each level.
    """
    position, stride, ranges, rows = [], [], [], []
    first_row = 0
    for level, size in enumerate(level_sizes(num_steps, levels)):
        low = -torch.inf if level == 0 else first_reach * 2 ** (level - 1)
        high = torch.inf if level == levels - 1 else first_reach * 2**level
        position.append(torch.arange(size, device=device) * float(2**level))
        stride.append(torch.full((size,), float(2**level), device=device))
        ranges.append(torch.tensor([[low, high]], device=device).expand(size, 2))
        rows.append(torch.arange(first_row, first_row + size, device=device))
        first_row += size + gap
    between_gaps = torch.cat(rows) if gap else None
    return Points(torch.cat(position), torch.cat(stride), torch.cat(ranges), between_gaps)
