"""Convolution and normalisation over the time axis of padded batches: padding never leaks.

Everything works on (B, T, D) with a validity mask (B, T) and returns zeros at padding, so a
sequence gives the same result alone, in a batch, and with any amount of padding behind it.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


class MaskedConv(nn.Conv1d):
    """A convolution over time, centred: output `j` is centred on input `j * stride`."""

    def __init__(
        self, width_in: int, width_out: int, kernel: int, *, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__(
            width_in,
            width_out,
            kernel,
            stride=stride,
            dilation=dilation,
            padding=dilation * (kernel // 2),
        )

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:  # type: ignore[override]
        """Return the convolved sequence, (B, ceil(T / stride), width_out); zero at padding."""
        y = super().forward((x * valid[..., None]).transpose(1, 2)).transpose(1, 2)
        return y * valid[:, :: self.stride[0], None]


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation whose statistics are taken over the valid steps only."""

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:  # type: ignore[override]
        """Return the normalised sequence, (B, T, D); zero at padding."""
        if not self.training or valid.sum() < 2:  # one step has no variance to normalise by
            y = nn.functional.batch_norm(
                x.flatten(0, 1), self.running_mean, self.running_var, self.weight, self.bias
            )
            return y.view_as(x) * valid[..., None]
        out = torch.zeros_like(x)
        out[valid] = super().forward(x[valid])
        return out


class ConvBNReLU(nn.Module):
    """ReLU(BN(Conv(x))), the block of Eq. 7, and of Eq. 8 with `dilation` > 1."""

    def __init__(
        self, width_in: int, width_out: int, kernel: int, *, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        self.conv = MaskedConv(width_in, width_out, kernel, stride=stride, dilation=dilation)
        self.norm = MaskedBatchNorm(width_out)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Return (B, ceil(T / stride), width_out); zero at padding."""
        stride = self.conv.stride[0]
        return cast(Tensor, self.norm(self.conv(x, valid), valid[:, ::stride]).relu())


def upsample_linear(x: Tensor, valid: Tensor, *, stride: int, steps: int) -> Tensor:
    """Return a strided sequence interpolated linearly back to the full axis.

    Row `j` of `x` stands at step `j * stride`. Behind the last valid row its value is held.
    (`torch.nn.functional.interpolate` would place rows half a stride off and read padding.)

    Args:
        x: (B, ceil(T / stride), D).
        valid: True at real rows of `x`, (B, ceil(T / stride)) bool.
        stride: full-axis steps per row.
        steps: T.
    Returns:
        (B, T, D); what it holds at padding is not defined.
    """
    position = torch.arange(steps, device=x.device) / stride
    left = position.floor().long()
    last = valid.sum(1, keepdim=True) - 1
    right = torch.minimum(left + 1, last.clamp(min=0))  # (B, T)
    weight = (position - left)[None, :, None].to(x.dtype)
    right_rows = x.gather(1, right[..., None].expand(-1, -1, x.shape[-1]))
    return x[:, left] * (1 - weight) + right_rows * weight
