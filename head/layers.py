"""The blocks that the head is made of, over the time axis of padded batches.

Every block takes and returns sequences (B, D, T) with zeros at padding, and a validity mask
(B, T). Padding never leaks: a sequence gives the same result alone, in a batch, and however padded.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from .fused_norm import BNReLU, conv_constant_bn_relu


def conv(
    width_in: int, width_out: int, kernel: int, *, stride: int = 1, dilation: int = 1
) -> nn.Conv1d:
    """Return a centred convolution over time: output `j` is centred on input `j * stride`."""
    padding = dilation * (kernel // 2)
    return nn.Conv1d(width_in, width_out, kernel, stride, padding, dilation)


def depthwise(width: int, *, stride: int = 1, dilation: int = 1) -> nn.Conv1d:
    """Return a convolution of kernel 3 that mixes no channels."""
    return nn.Conv1d(width, width, 3, stride, dilation, dilation, groups=width)


class ConvBNReLU(nn.Module):
    """ReLU(BN(Conv(x))), the block of Eq. 7, and of Eq. 8 with `dilation` > 1.

    Args:
        separable: a convolution over time of each channel, then one over channels, at a third of
            the cost (Chollet, "Xception", 2017; not in the paper).
    """

    def __init__(
        self,
        width_in: int,
        width_out: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        separable: bool = False,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.conv: nn.Module
        if separable:
            over_time = depthwise(width_in, stride=stride, dilation=dilation)
            self.conv = nn.Sequential(over_time, conv(width_in, width_out, 1))
        else:
            self.conv = conv(width_in, width_out, kernel, stride=stride, dilation=dilation)
        self.norm = BNReLU(width_out)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Return (B, width_out, ceil(T / stride)); zero at padding, as `x` must be."""
        valid = valid[:, :: self.stride]
        if self.norm.training:
            return cast(Tensor, self.norm(self.conv(x), valid))  # Eq. 7, 8
        return conv_constant_bn_relu(self.conv, self.norm, x, valid)  # the same, norm constant


class ConvINReLU(nn.Module):
    """ReLU(IN(Conv(x))), the norm's statistics being those of each sequence's own valid steps.

    (Not in the paper.) Whatever is the same in all steps of a video, as its place, camera and
    light are, is gone after the norm (Ulyanov et al., "Instance Normalization", 2016).
    """

    def __init__(self, width_in: int, width_out: int, kernel: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.conv = conv(width_in, width_out, kernel)
        self.weight = nn.Parameter(torch.ones(width_out))
        self.bias = nn.Parameter(torch.zeros(width_out))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Return (B, width_out, T); zero at padding, as `x` must be."""
        mask = valid[:, None].float()  # (B, 1, T)
        count = mask.sum(2, keepdim=True).clamp(min=1)
        y = self.conv(x).float()  # where convolutions give half precision, statistics do not
        centred = (y - (y * mask).sum(2, keepdim=True) / count) * mask
        var = (centred * centred).sum(2, keepdim=True) / count  # (B, D, 1)
        scale = self.weight[:, None] * (var + self.eps).rsqrt()
        return torch.addcmul(self.bias[:, None], centred, scale).relu() * mask


def upsample_linear(x: Tensor, valid: Tensor, *, stride: int, steps: int) -> Tensor:
    """Return a strided sequence interpolated linearly back to the full axis (paper 2.3).

    Row `j` of `x` stands at step `j * stride`. After the last valid row its value is held.
    (`torch.nn.functional.interpolate` would place rows half a stride off and read padding.)

    Args:
        x: (B, D, ceil(T / stride)).
        valid: True at real rows of `x`, (B, ceil(T / stride)) bool.
        stride: full-axis steps per row.
        steps: T.
    Returns:
        (B, D, T); undefined at padding.
    """
    position = torch.arange(steps, device=x.device) / stride
    left = position.floor().long()
    last = valid.sum(1, keepdim=True) - 1
    right = torch.minimum(left + 1, last.clamp(min=0))  # (B, T)
    weight = (position - left).to(x.dtype)
    right_rows = x.gather(2, right[:, None].expand(-1, x.shape[1], -1))
    return x[..., left] * (1 - weight) + right_rows * weight
