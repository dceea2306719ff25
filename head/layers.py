"""Convolution and normalisation over the time axis of padded batches: padding never leaks.

Everything works on (B, T, D) with a validity mask (B, T), takes and returns zeros at padding, so a
sequence gives the same result alone, in a batch, and with any amount of padding behind it. In
memory the steps lie next to each other, as convolutions want them: the transpositions cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from .parallel import add_up, sum_over_processes


class StepConv(nn.Conv1d):
    """A convolution over time, centred: output `j` is centred on input `j * stride`."""

    def __init__(
        self,
        width_in: int,
        width_out: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__(
            width_in,
            width_out,
            kernel,
            stride=stride,
            dilation=dilation,
            padding=dilation * (kernel // 2),
            groups=groups,
        )

    def forward(self, x: Tensor, affine: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Return the convolved sequence, (B, ceil(T / stride), width_out); not zero at padding.

        `affine`: a factor and a summand of what comes out, (width_out,) each, which cost no pass
        over the sequence.
        """
        weight, bias = self.weight, self.bias
        assert bias is not None
        if affine is not None:
            scale, shift = affine
            weight, bias = weight * scale[:, None, None], bias * scale + shift
        y = nn.functional.conv1d(
            x.transpose(1, 2), weight, bias, self.stride, self.padding, self.dilation, self.groups
        )
        return y.transpose(1, 2)


class StepLinear(nn.Linear):
    """A linear layer at every step, as a convolution: it need not turn the sequence in memory."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, width_out); not zero at padding."""
        y = nn.functional.conv1d(x.transpose(1, 2), self.weight[..., None], self.bias)
        return y.transpose(1, 2)


class SeparableConv(nn.Sequential):
    """A convolution over time of each channel, then one over channels, at a third of the cost.

    (Chollet, "Xception", 2017; not in the paper.)
    """

    def __init__(self, width_in: int, width_out: int, *, stride: int, dilation: int) -> None:
        super().__init__(
            depthwise(width_in, stride=stride, dilation=dilation),
            StepConv(width_in, width_out, 1),
        )

    def forward(  # type: ignore[override]
        self, x: Tensor, affine: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """See `StepConv.forward`."""
        over_time, over_channels = self
        return cast(Tensor, over_channels(over_time(x), affine))


def depthwise(width: int, *, stride: int = 1, dilation: int = 1) -> StepConv:
    """Return a convolution of kernel 3 that mixes no channels."""
    return StepConv(width, width, 3, stride=stride, dilation=dilation, groups=width)


class MaskedNormReLU(nn.BatchNorm1d):
    """Batch normalisation and ReLU whose statistics are taken over the valid steps only.

    In a distributed training they are taken over the batches of all processes, so that N
    processes train like one with N times the batch.
    """

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:  # type: ignore[override]
        """Return the normalised sequence cut at zero, (B, T, D); zero at padding."""
        mask = valid[..., None].float()
        x = x.float()  # where convolutions give half precision, statistics do not
        if self.training:
            count = sum_over_processes(mask.sum())
            if count >= 2:  # one step has no variance to normalise by
                y, mean, var = _NormReLU.apply(x, self.weight, self.bias, mask, count, self.eps)
                self._remember(mean, var * count / (count - 1))
                return cast(Tensor, y)
        scale, shift = self.constants()
        return torch.addcmul(shift, x, scale).relu() * mask

    def constants(self) -> tuple[Tensor, Tensor]:
        """Return what a sequence is multiplied by behind training, and what is added, (D,)."""
        assert self.running_mean is not None and self.running_var is not None
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    @torch.no_grad()
    def _remember(self, mean: Tensor, var: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None
        momentum = self.momentum or 0.0
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(var, momentum)


class _NormReLU(torch.autograd.Function):
    """ReLU(weight (x - mean) / sd + bias) at valid steps, zero elsewhere; and mean and variance.

    By hand, since autograd would pass over the sequence twice as often. With g the gradient behind
    the ReLU, xhat = (x - mean) / sd, and means over the valid steps (Ioffe and Szegedy, 2015):
    d loss / d x = weight / sd (g - mean(g) - xhat mean(g xhat)).
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mask: Tensor, count: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean = add_up((x * mask).sum((0, 1))) / count
        centred = (x - mean).mul_(mask)
        var = add_up((centred * centred).sum((0, 1))) / count
        inverse_sd = (var + eps).rsqrt()
        y = torch.addcmul(bias, centred, weight * inverse_sd).relu_().mul_(mask)
        ctx.save_for_backward(centred, y, weight, inverse_sd, mask, count)
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        centred, y, weight, inverse_sd, mask, count = ctx.saved_tensors
        grad = y.sign().mul_(grad)  # y is never below zero, and zero at padding
        grad_bias = grad.sum((0, 1))
        grad_weight = (grad * centred).sum((0, 1)) * inverse_sd
        mean_grad = add_up(grad_bias.clone()) / count
        mean_product = add_up(grad_weight.clone()) / count
        slope = weight * inverse_sd
        grad_x = torch.addcmul(-slope * mean_grad, grad, slope)
        grad_x.addcmul_(centred, -slope * inverse_sd * mean_product).mul_(mask)
        return grad_x, grad_weight, grad_bias, None, None, None


class ConvINReLU(nn.Module):
    """ReLU(IN(Conv(x))), the norm's statistics being those of each sequence's own valid steps.

    What is the same in all steps of a video, as its place, camera and light are, is gone
    behind it (Ulyanov et al., "Instance Normalization", 2016). Not in the paper.
    """

    def __init__(self, width_in: int, width_out: int, kernel: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.conv = StepConv(width_in, width_out, kernel)
        self.weight = nn.Parameter(torch.ones(width_out))
        self.bias = nn.Parameter(torch.zeros(width_out))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Return (B, T, width_out); zero at padding, as `x` must be."""
        mask = valid[..., None].float()
        count = mask.sum(1, keepdim=True).clamp(min=1)
        y = self.conv(x).float()  # where convolutions give half precision, statistics do not
        centred = (y - (y * mask).sum(1, keepdim=True) / count) * mask
        var = (centred * centred).sum(1, keepdim=True) / count
        return (
            torch.addcmul(self.bias, centred, self.weight * (var + self.eps).rsqrt()).relu() * mask
        )


class ConvBNReLU(nn.Module):
    """ReLU(BN(Conv(x))), the block of Eq. 7, and of Eq. 8 with `dilation` > 1.

    Behind training, and in training once it is frozen, the norm is a constant, and goes into the
    convolution.

    Args:
        separable: see `SeparableConv`.
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
        self.conv: StepConv | SeparableConv
        if separable:
            self.conv = SeparableConv(width_in, width_out, stride=stride, dilation=dilation)
        else:
            self.conv = StepConv(width_in, width_out, kernel, stride=stride, dilation=dilation)
        self.norm = MaskedNormReLU(width_out)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Return (B, ceil(T / stride), width_out); zero at padding, as `x` must be."""
        valid = valid[:, :: self.stride]
        if self.norm.training:
            return cast(Tensor, self.norm(self.conv(x), valid))
        y: Tensor = self.conv(x, self.norm.constants())
        if y.requires_grad:  # in place it would take longer
            return (y * valid[..., None].float()).relu()
        return y.mul_(valid[..., None]).relu_()


def freeze_norms(model: nn.Module, like: nn.Module | None = None) -> None:
    """Let the batch norms of a model in training be what they are behind it: constants.

    In training they are else those of the batch, and few long videos make batches that differ:
    what follows would learn to need the others of its batch, which a video to be detected in
    does not have (Wu and Johnson, "Rethinking Batch in BatchNorm", 2021).

    Args:
        like: a copy of the model whose statistics are taken over first.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d)]
    theirs = [m for m in (like or model).modules() if isinstance(m, nn.BatchNorm1d)]
    for norm, other in zip(norms, theirs, strict=True):
        for own, given in zip(norm.buffers(), other.buffers(), strict=True):
            own.copy_(given)
        norm.eval()


def turned(x: Tensor) -> Tensor:
    """Return the same sequence (B, T, D) with its steps next to each other in memory."""
    return x.transpose(1, 2).contiguous().transpose(1, 2)


def join_widths(sequences: Sequence[Tensor]) -> Tensor:
    """Return sequences (B, T, d) side by side, (B, T, sum of d)."""
    return torch.cat([x.transpose(1, 2) for x in sequences], dim=1).transpose(1, 2)


def join_steps(sequences: Sequence[Tensor]) -> Tensor:
    """Return sequences (B, t, D) behind one another, (B, sum of t, D)."""
    return torch.cat([x.transpose(1, 2) for x in sequences], dim=2).transpose(1, 2)


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
