"""TPP, the temporal pyramid pooling module (paper 2.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .layers import ConvBNReLU, upsample_linear


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
        fused: Tensor = self.fuse(torch.cat(branches, dim=-1), valid)
        return fused
