"""Batch norm with ReLU over valid steps, constant norms, and norms that are frozen."""

import pytest
import torch
from torch import Tensor

from tsatal.head.fused_norm import BNReLU, freeze_norms
from tsatal.head.layers import ConvBNReLU, ConvINReLU


def padded(x: Tensor, extra: int, *, filler: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return `x` (B, D, T) with `extra` steps at the end, and the mask."""
    valid = torch.arange(x.shape[2] + extra).expand(x.shape[0], -1) < x.shape[2]
    return torch.cat([x, torch.full((*x.shape[:2], extra), filler)], 2), valid


def everywhere(x: Tensor) -> Tensor:
    return torch.ones(x.shape[0], x.shape[2], dtype=torch.bool)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_is_torchs_over_the_valid_steps(training: bool) -> None:
    x = (torch.randn(3, 4, 9) * 3 + 1).requires_grad_()
    valid = torch.arange(9) < torch.tensor([9, 1, 5])[:, None]

    def rows(x: Tensor) -> Tensor:
        return x.transpose(1, 2)[valid]

    ours, torchs = BNReLU(4), torch.nn.BatchNorm1d(4)
    for norm in (ours, torchs):
        torch.nn.init.constant_(norm.weight, 0.7)
        torch.nn.init.constant_(norm.bias, 0.3)
        norm(x, valid) if norm is ours else norm(rows(x))  # statistics have left 0 and 1
        norm.train(training)
    out, expected = ours(x, valid), torchs(rows(x)).relu()
    torch.testing.assert_close(rows(out), expected)
    assert out.transpose(1, 2)[~valid].abs().max() == 0
    torch.testing.assert_close(ours.running_mean, torchs.running_mean)
    torch.testing.assert_close(ours.running_var, torchs.running_var)
    weight = torch.randn_like(expected)
    gradients = (
        torch.autograd.grad((y * weight).sum(), [x, norm.weight, norm.bias])
        for y, norm in ((rows(out), ours), (expected, torchs))
    )
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


def test_batch_norm_statistics_ignore_padding() -> None:
    x = torch.randn(2, 4, 6)
    more, valid = padded(x, 10, filler=1e3)
    alone, masked = BNReLU(4), BNReLU(4)
    expected = alone(x, everywhere(x))
    torch.testing.assert_close(masked(more, valid)[..., :6], expected)
    torch.testing.assert_close(masked.running_mean, alone.running_mean)
    assert masked(more, valid)[..., 6:].abs().max() == 0


@pytest.mark.parametrize("steps", [0, 1])
def test_batch_norm_of_a_single_step_uses_and_keeps_the_running_statistics(steps: int) -> None:
    norm = BNReLU(4)
    x = torch.randn(1, 4, 3)
    out = norm(x, torch.arange(3)[None] < steps)
    # mean 0 and variance 1 to begin with
    torch.testing.assert_close(out[..., :steps], x[..., :steps].relu(), atol=1e-4, rtol=1e-4)
    assert out.isfinite().all()
    assert norm.running_mean is not None and norm.running_mean.tolist() == [0] * 4
    assert norm.running_var is not None and norm.running_var.tolist() == [1] * 4


@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (1, 4)])
@pytest.mark.parametrize("separable", [False, True])
def test_block_after_training_is_relu_of_the_constant_bn_of_conv(
    stride: int, dilation: int, separable: bool
) -> None:
    block = ConvBNReLU(3, 5, 3, stride=stride, dilation=dilation, separable=separable)
    for parameter in (block.norm.weight, block.norm.bias):
        torch.nn.init.normal_(parameter)
    x, valid = padded(torch.randn(2, 3, 9) * 3 + 1, 12)
    block(x, valid)  # statistics have left 0 and 1
    block.eval()
    out = block(x.requires_grad_(), valid)
    expected = block.norm(block.conv(x), valid[:, ::stride])
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-4)
    weight = torch.randn_like(out)
    learned = [x, *block.parameters()]
    gradients = [torch.autograd.grad((y * weight).sum(), learned) for y in (out, expected)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)
    with torch.inference_mode():
        torch.testing.assert_close(block(x, valid), out, atol=1e-6, rtol=1e-6)


def test_frozen_norms_give_in_training_what_they_give_after_it() -> None:
    model, other = (torch.nn.ModuleList([ConvBNReLU(3, 4, 3), ConvINReLU(4, 4, 3)]) for _ in "ab")
    x, valid = padded(torch.randn(2, 3, 9) * 3 + 1, 12)
    other[0](x, valid)  # statistics have left 0 and 1
    model.train()
    freeze_norms(model, like=other)
    statistics = dict(model.named_buffers())
    torch.testing.assert_close(statistics, dict(other.named_buffers()))
    before = {name: value.clone() for name, value in statistics.items()}
    in_training = model[0](x, valid)
    assert not torch.equal(in_training, other[0](x, valid))
    torch.testing.assert_close(dict(model.named_buffers()), before, rtol=0, atol=0)
    torch.testing.assert_close(model.eval()[0](x, valid), in_training)
    model.train()
    freeze_norms(model)
    torch.testing.assert_close(model[0](x, valid), in_training)
