"""TPP, the temporal pyramid pooling module (paper 2.3, figure 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import ModelConfig
from .layers import ConvBNReLU, upsample_linear
from .points import Points, level_points


class TemporalPyramidPooling(nn.Module):
    """Gathers context of several temporal sizes around every step.

    Strided convolutions see far but lose short actions; dilated convolutions see far at full
    resolution. Both start from the fused input, are interpolated to T steps, and fused.

    Args:
        model: `width`, `pyramid_levels`, and `dilations`, the rates of Eq. 8; `stacked`: whether
            each dilated convolution sees the result of the one before ("stack convolution
            blocks"), else all see the fused input.
    """

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        width, dilations, self.stacked = model.width, model.dilations, model.stacked
        self.enter = ConvBNReLU(width + 1, width, 3)
        self.pyramid = nn.ModuleList(
            ConvBNReLU(width, width, 3, stride=2) for _ in range(model.pyramid_levels)
        )
        self.dilated = nn.ModuleList(ConvBNReLU(width, width, 3, dilation=r) for r in dilations)
        branches = 1 + model.pyramid_levels + len(dilations)
        self.fuse = ConvBNReLU(branches * width, width, 1)

    def forward(self, y_fuse: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Points]:
        """Return the pyramid-pooled sequence, its valid steps, and its points: all steps.

        Args:
            y_fuse: features with the actionness beside them, (B, D + 1, T).
            valid: (B, T) bool.
        Returns:
            (B, D, T), zero at padding; (B, T) bool; T points.
        """
        steps = y_fuse.shape[2]
        f = self.enter(y_fuse, valid)  # Eq. 7, (B, D, T)
        branches = [f]
        for dilated in self.dilated:
            branches.append(dilated(branches[-1] if self.stacked else f, valid))  # Eq. 8
        level, level_valid = f, valid
        for number, halve in enumerate(self.pyramid, start=1):
            level, level_valid = halve(level, level_valid), level_valid[:, ::2]  # (B, D, T / 2^n)
            branches.append(upsample_linear(level, level_valid, stride=2**number, steps=steps))
        z = self.fuse(torch.cat(branches, dim=1), valid)
        return z, valid, level_points(steps, device=z.device)
