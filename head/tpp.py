"""TPP, the temporal pyramid pooling module (paper 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from .layers import ConvBNReLU, depthwise, join_steps, join_widths, upsample_linear
from .points import level_sizes


class TemporalPyramidPooling(nn.Module):
    """Gathers context of several temporal sizes around every step.

    Strided convolutions see far but lose short actions; dilated convolutions see far at full
    resolution. Both run in parallel on the fused input, come back to T steps by linear
    interpolation, and are fused.

    Args:
        width_in: width of the features with the actionness beside them.
        width: width inside and of the output.
        pyramid_levels: how many times the sequence is halved.
        dilations: rates of the parallel dilated convolutions (Eq. 8).
    """

    def __init__(
        self, width_in: int, width: int, *, pyramid_levels: int, dilations: Sequence[int]
    ) -> None:
        super().__init__()
        self.enter = ConvBNReLU(width_in, width, 3)  # Eq. 7
        self.pyramid = nn.ModuleList(
            ConvBNReLU(width, width, 3, stride=2) for _ in range(pyramid_levels)
        )
        self.dilated = nn.ModuleList(ConvBNReLU(width, width, 3, dilation=r) for r in dilations)
        branches = 1 + pyramid_levels + len(dilations)
        self.fuse = ConvBNReLU(branches * width, width, 1)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Return the pyramid-pooled sequence.

        Args:
            x: features and actionness, (B, T, width_in).
            valid: (B, T) bool.
        Returns:
            (B, T, width); zero at padding.
        """
        x = self.enter(x, valid)
        branches = [x] + [block(x, valid) for block in self.dilated]  # Eq. 8
        level, level_valid = x, valid
        for number, halve in enumerate(self.pyramid, start=1):
            level, level_valid = halve(level, level_valid), level_valid[:, ::2]
            branches.append(upsample_linear(level, level_valid, stride=2**number, steps=x.shape[1]))
        fused: Tensor = self.fuse(join_widths(branches), valid)
        return fused


class MultiLevelPooling(nn.Module):
    """TPP whose temporal levels are kept apart, each for actions of its own length.

    (Not in the paper.) As in TPP, strided convolutions make the levels, and each level is fused
    with dilated convolutions of itself and with the next coarser one; but instead of coming back
    to T steps, every level goes on to the heads. All levels lie behind one another in one
    sequence, with rows of zeros between them, so that one convolution serves all.

    Args:
        width_in: width of the features with the actionness beside them.
        width: width inside and of the output.
        levels: how many, the first with all T steps.
        dilations: rates of the parallel dilated convolutions; they mix no channels here.
        context: whether levels are fused with their context; else they are just halved.
        separable: see `layers.ConvBNReLU`.
    """

    def __init__(
        self,
        width_in: int,
        width: int,
        *,
        levels: int,
        dilations: Sequence[int],
        context: bool,
        separable: bool,
    ) -> None:
        super().__init__()
        self.enter = ConvBNReLU(width_in, width, 3, separable=separable)  # Eq. 7
        self.halve = nn.ModuleList(
            ConvBNReLU(width, width, 3, stride=2, separable=separable) for _ in range(levels - 1)
        )
        self.gap = max(dilations, default=1) if context else 1
        self.dilated = nn.ModuleList(depthwise(width, dilation=r) for r in dilations if context)
        self.fuse = ConvBNReLU(width, width, 1) if context else None

    def forward(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Return all levels behind one another, and where they are valid.

        Args:
            x: features and actionness, (B, T, width_in).
            valid: (B, T) bool.
        Returns:
            (B, R, width), zero in gaps and padding, and (B, R) bool; `point_rows` says which
            of the R rows are points.
        """
        levels, valids = [self.enter(x, valid)], [valid]
        for halve in self.halve:
            levels.append(halve(levels[-1], valids[-1]))
            valids.append(valids[-1][:, ::2])
        row_valid = self._behind_one_another([v[..., None] for v in valids])[..., 0]
        rows = self._behind_one_another(levels)
        if self.fuse is not None:
            coarser = [
                above.repeat_interleave(2, dim=1)[:, : level.shape[1]]
                for level, above in pairwise([*levels, torch.zeros_like(levels[-1])])
            ]
            context = rows + self._behind_one_another(coarser)
            for dilate in self.dilated:
                context = context + dilate(rows)
            rows = self.fuse(context, row_valid)
        return rows, row_valid

    def _behind_one_another(self, levels: Sequence[Tensor]) -> Tensor:
        gap = levels[0].new_zeros(levels[0].shape[0], self.gap, levels[0].shape[2])
        pieces = [piece for level in levels for piece in (level, gap)]
        return join_steps(pieces)

    def point_rows(self, num_steps: int, device: torch.device) -> Tensor:
        """Return which rows of the output are points, not gaps, (P,) integer."""
        rows, first = [], 0
        for size in level_sizes(num_steps, 1 + len(self.halve)):
            rows.append(torch.arange(first, first + size, device=device))
            first += size + self.gap
        return torch.cat(rows)
