"""The instants that predictions are made for: the steps of one or of several temporal levels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Points:
    """P instants on the axis of the feature rows, finest level first.

    position: where each stands, in steps, (P,).
    stride: distance to its neighbour in the same level, in steps, (P,).
    reach: an action belongs to the level for which the farther of its two ends lies within
        (low, high] of the point, in steps, (P, 2); see also `targets.assign_points`.
    """

    position: Tensor
    stride: Tensor
    reach: Tensor

    def __len__(self) -> int:
        return len(self.position)


def level_sizes(num_steps: int, levels: int) -> list[int]:
    """Return how many points each level has: every level halves the one before, rounding up."""
    sizes = [num_steps]
    for _ in range(levels - 1):
        sizes.append(-(-sizes[-1] // 2))
    return sizes


def level_points(
    num_steps: int,
    *,
    levels: int = 1,
    first_reach: float = 4.0,
    device: torch.device | None = None,
) -> Points:
    """Return the points of a sequence of T steps: level `l` stands at 0, 2^l, 2 * 2^l, ...

    Level 0 answers for actions that end within `first_reach` steps, every other one for twice as
    far as the one before, and the last for all that is longer. One level alone answers for all.
    """
    position, stride, reach = [], [], []
    for level, size in enumerate(level_sizes(num_steps, levels)):
        low = -torch.inf if level == 0 else first_reach * 2 ** (level - 1)
        high = torch.inf if level == levels - 1 else first_reach * 2**level
        position.append(torch.arange(size, device=device) * float(2**level))
        stride.append(torch.full((size,), float(2**level), device=device))
        reach.append(torch.tensor([[low, high]], device=device).expand(size, 2))
    return Points(torch.cat(position), torch.cat(stride), torch.cat(reach))
