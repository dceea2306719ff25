"""A pyramid of several temporal levels, in place of TPP. (Not in the paper.)"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..config import ModelConfig
from .layers import ConvBNReLU, depthwise
from .points import Points, level_points


class MultiLevelPooling(nn.Module):
    """TPP whose temporal levels are kept apart, each for actions of its own length.

    As in TPP, strided convolutions make the levels, and each level is fused with dilated
    convolutions of itself and with the next coarser one; but instead of coming back to T steps,
    every level goes on to the heads. All levels lie in one sequence, one after the other, with
    rows of zeros between them, so that one convolution serves all.

    Args:
        model: `width`, `levels`, `first_reach`, `separable`; `dilations`: rates of the parallel
            convolutions, which mix no channels here; `tpp`: whether levels are fused with their
            context, else they are only halved.
    """

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        width, separable = model.width, model.separable
        dilations = model.dilations if model.tpp else ()
        self.levels, self.first_reach = model.levels, model.first_reach
        self.gap = max(dilations, default=1)  # rows of zeros: no level sees into the next
        self.enter = ConvBNReLU(width + 1, width, 3, separable=separable)  # Eq. 7
        self.halve = nn.ModuleList(
            ConvBNReLU(width, width, 3, stride=2, separable=separable)
            for _ in range(model.levels - 1)
        )
        self.dilated = nn.ModuleList(depthwise(width, dilation=r) for r in dilations)  # Eq. 8
        self.fuse = ConvBNReLU(width, width, 1) if model.tpp else None

    def forward(self, y_fuse: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Points]:
        """Return all levels one after the other, their valid rows, and their points.

        Args:
            y_fuse: features with the actionness beside them, (B, D + 1, T).
            valid: (B, T) bool.
        Returns:
            (B, D, R), zero in gaps and at padding; (B, R) bool; P points, the rows in no gap.
        """
        levels, valids = [self.enter(y_fuse, valid)], [valid]
        for halve in self.halve:
            levels.append(halve(levels[-1], valids[-1]))
            valids.append(valids[-1][:, ::2])
        row_valid = self._in_one_sequence([v[:, None] for v in valids])[:, 0]  # (B, R)
        z = self._in_one_sequence(levels)  # (B, D, R)
        if self.fuse is not None:
            coarser = [
                above.repeat_interleave(2, dim=2)[..., : level.shape[2]]
                for level, above in pairwise([*levels, torch.zeros_like(levels[-1])])
            ]
            context = z + self._in_one_sequence(coarser)
            for dilated in self.dilated:
                context = context + dilated(z)
            z = self.fuse(context, row_valid)
        points = level_points(
            y_fuse.shape[2],
            levels=self.levels,
            first_reach=self.first_reach,
            gap=self.gap,
            device=z.device,
        )
        return z, row_valid, points

    def _in_one_sequence(self, levels: Sequence[Tensor]) -> Tensor:
        gap = levels[0].new_zeros(*levels[0].shape[:2], self.gap)
        return torch.cat([piece for level in levels for piece in (level, gap)], dim=2)
