"""Batch norm with ReLU over padded batches: fast, exact, and constant on request.

(Not in the paper, which only says BN.) The fast paths of `layers.ConvBNReLU`, the block of Eq. 7:
a gradient by hand, a constant norm as part of its convolution, and norms frozen in training.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from .parallel import all_reduce


class BNReLU(nn.BatchNorm1d):
    """Batch normalisation and ReLU whose statistics are taken over the valid steps only.

    In a distributed training they are taken over the batches of all processes, so that N
    processes train like one with N times the batch.
    """

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:  # type: ignore[override]
        """Return the normalised sequence cut at zero, (B, D, T); zero at padding."""
        assert self.running_mean is not None and self.running_var is not None
        mask = valid[:, None].float()  # (B, 1, T)
        x = x.float()  # where convolutions give half precision, statistics do not
        count = all_reduce(mask.sum()) if self.training else 0
        if count >= 2:  # one step has no variance to normalise by
            y, mean, var = _BNReLU.apply(x, self.weight, self.bias, mask, count, self.eps)
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(var * count / (count - 1), self.momentum or 0.0)
            return cast(Tensor, y)
        scale, shift = self.scale_and_shift()
        return torch.addcmul(shift[:, None], x, scale[:, None]).relu() * mask

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """Return the norm with the running statistics as x * scale + shift, (D,) each."""
        assert self.running_mean is not None and self.running_var is not None
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale


class _BNReLU(torch.autograd.Function):
    """ReLU(weight (x - mean) / sd + bias) at valid steps, zero elsewhere; and mean and variance.

    By hand, since autograd would pass over the sequence twice as often. With g the gradient after
    the ReLU, xhat = (x - mean) / sd, and means over the valid steps (Ioffe and Szegedy, 2015):
    d loss / d x = weight / sd (g - mean(g) - xhat mean(g xhat)).
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mask: Tensor, count: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean = all_reduce((x * mask).sum((0, 2))) / count  # (D,)
        centred = (x - mean[:, None]).mul_(mask)
        var = all_reduce((centred * centred).sum((0, 2))) / count
        inverse_sd = (var + eps).rsqrt()
        y = torch.addcmul(bias[:, None], centred, (weight * inverse_sd)[:, None]).relu_().mul_(mask)
        ctx.save_for_backward(centred, y, weight, inverse_sd, mask, count)
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        centred, y, weight, inverse_sd, mask, count = ctx.saved_tensors
        grad = y.sign().mul_(grad)  # y is never below zero, and zero at padding
        grad_bias = grad.sum((0, 2))
        grad_weight = (grad * centred).sum((0, 2)) * inverse_sd
        mean_grad = all_reduce(grad_bias.clone()) / count
        mean_product = all_reduce(grad_weight.clone()) / count
        slope = weight * inverse_sd
        grad_x = torch.addcmul((-slope * mean_grad)[:, None], grad, slope[:, None])
        grad_x.addcmul_(centred, (-slope * inverse_sd * mean_product)[:, None]).mul_(mask)
        return grad_x, grad_weight, grad_bias, None, None, None


def conv_constant_bn_relu(conv: nn.Module, norm: BNReLU, x: Tensor, valid: Tensor) -> Tensor:
    """Return ReLU(BN(Conv(x))) with the running statistics, which costs no more than ReLU(Conv(x)).

    A constant norm is linear, so its scale and shift go into the weights of the convolution (of
    the last one, where `conv` is several).

    Args:
        x: (B, D, T); valid: which steps of the output are real, (B, T) bool.
    Returns:
        (B, width_out, T); zero at padding.
    """
    *before, last = conv if isinstance(conv, nn.Sequential) else [conv]
    for each in before:
        x = each(x)
    assert isinstance(last, nn.Conv1d) and last.bias is not None
    scale, shift = norm.scale_and_shift()
    weight, bias = last.weight * scale[:, None, None], last.bias * scale + shift
    y = nn.functional.conv1d(x, weight, bias, last.stride, last.padding, last.dilation, last.groups)
    mask = valid[:, None].float()
    if y.requires_grad:  # in place it would take longer
        return (y * mask).relu()
    return y.mul_(mask).relu_()


def freeze_norms(model: nn.Module, like: nn.Module | None = None) -> None:
    """Make the batch norms of a model in training the constants that they are in detection.

    A batch norm in training uses the statistics of its batch. Few long videos make batches that
    differ a lot, so a head learns to need the other videos of its batch, and a video in detection
    comes alone (Wu and Johnson, "Rethinking Batch in BatchNorm", 2021).

    Args:
        like: a copy of the model whose running statistics are copied first.
    """
    for norm, source in zip(model.modules(), (like or model).modules(), strict=True):
        if isinstance(norm, nn.BatchNorm1d):
            for buffer, value in zip(norm.buffers(), source.buffers(), strict=True):
                buffer.copy_(value)
            norm.eval()
