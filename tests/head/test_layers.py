"""Convolution blocks and interpolation of padded batches: padding never leaks."""

import pytest
import torch
from torch import Tensor

from tsatal.head.layers import (
    ConvBNReLU,
    ConvINReLU,
    conv,
    depthwise,
    upsample_linear,
)


def padded(x: Tensor, extra: int, *, filler: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return `x` (B, D, T) with `extra` steps at the end, and the mask."""
    valid = torch.arange(x.shape[2] + extra).expand(x.shape[0], -1) < x.shape[2]
    return torch.cat([x, torch.full((*x.shape[:2], extra), filler)], 2), valid


def everywhere(x: Tensor) -> Tensor:
    return torch.ones(x.shape[0], x.shape[2], dtype=torch.bool)


@pytest.mark.parametrize("steps", [1, 2, 7, 16])
@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (1, 4)])
def test_zeros_at_the_end_change_nothing_in_a_convolution(
    steps: int, stride: int, dilation: int
) -> None:
    layer = conv(3, 5, 3, stride=stride, dilation=dilation)
    x = torch.randn(2, 3, steps)
    alone = layer(x)
    assert alone.shape == (2, 5, -(-steps // stride))
    torch.testing.assert_close(layer(padded(x, 9)[0])[..., : alone.shape[2]], alone)


def test_strided_convolution_is_centred_on_every_second_step() -> None:
    layer = conv(1, 1, 3, stride=2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[[0.0, 1.0, 0.0]]]))
        layer.bias.zero_()  # type: ignore[union-attr]
    assert layer(torch.arange(7.0)[None, None]).flatten().tolist() == [0, 2, 4, 6]


@pytest.mark.parametrize("training", [True, False])
def test_block_of_a_sequence_is_relu_of_its_own_norm_of_conv(training: bool) -> None:
    block = ConvINReLU(3, 4, 3).train(training)
    for parameter in (block.weight, block.bias):
        torch.nn.init.normal_(parameter)
    x = torch.randn(2, 3, 9)
    normal = torch.nn.functional.instance_norm(block.conv(x), weight=block.weight, bias=block.bias)
    more, valid = padded(x, 14)
    out = block(more, valid)
    torch.testing.assert_close(out[..., :9], normal.relu(), atol=1e-5, rtol=1e-4)
    assert out[..., 9:].abs().max() == 0


def test_norm_of_a_single_step_or_of_none_is_finite_and_can_be_learned_through() -> None:
    block = ConvINReLU(3, 4, 3)
    x = torch.randn(2, 3, 5) * (torch.arange(5) < torch.tensor([[1], [0]]))[:, None]
    x.requires_grad_()
    out = block(x, x.detach().abs().sum(1) > 0)
    out.sum().backward()
    assert out.isfinite().all() and x.grad is not None and x.grad.isfinite().all()


def test_block_is_relu_of_bn_of_conv() -> None:
    block = ConvBNReLU(3, 4, 3)
    x = torch.randn(2, 3, 9)
    normal = torch.nn.functional.batch_norm(block.conv(x), None, None, training=True)
    torch.testing.assert_close(block(x, everywhere(x)), normal.relu(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 7, 16])
@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (1, 4)])
@pytest.mark.parametrize("separable", [False, True])
def test_blocks_in_a_row_take_and_return_zeros_at_padding(
    steps: int, stride: int, dilation: int, separable: bool
) -> None:
    first = ConvBNReLU(3, 5, 3, stride=stride, dilation=dilation, separable=separable)
    second = ConvBNReLU(5, 4, 3)
    x = torch.randn(2, 3, steps)
    more, valid = padded(x, 9)
    y = first(x, everywhere(x))
    alone = second(y, everywhere(y))
    out = second(first(more, valid), valid[:, ::stride])
    torch.testing.assert_close(out[..., : alone.shape[2]], alone, atol=1e-5, rtol=1e-4)
    assert out[..., alone.shape[2] :].abs().max() == 0


@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (1, 30)])
def test_depthwise_convolution_mixes_no_channels(stride: int, dilation: int) -> None:
    layer = depthwise(5, stride=stride, dilation=dilation)
    x = torch.randn(1, 5, 20)
    other = x.clone()
    other[:, 2] += 1
    changed = (layer(x) != layer(other)).any(2)
    assert changed.tolist() == [[False, False, True, False, False]]
    assert layer(x).shape == (1, 5, -(-20 // stride))


def test_separable_block_needs_far_fewer_weights_for_the_same_shapes() -> None:
    full, separable = (ConvBNReLU(64, 64, 3, stride=2, separable=s) for s in (False, True))
    x = torch.randn(2, 64, 9)
    assert separable(x, everywhere(x)).shape == full(x, everywhere(x)).shape
    count, fewer = (sum(p.numel() for p in m.parameters()) for m in (full, separable))
    assert fewer < count / 2


@pytest.mark.parametrize("stride", [2, 4, 8])
@pytest.mark.parametrize("steps", [1, 5, 17])
def test_interpolation_restores_a_straight_line(stride: int, steps: int) -> None:
    line = 3 + 2 * torch.arange(steps, dtype=torch.float)[None, None]
    rows = line[..., ::stride]
    up = upsample_linear(rows, everywhere(rows), stride=stride, steps=steps)
    last = (rows.shape[2] - 1) * stride  # after the last row its value is held
    torch.testing.assert_close(up[..., : last + 1], line[..., : last + 1])
    assert (up[..., last:] == line[..., last]).all()


def test_interpolation_does_not_read_padding() -> None:
    rows, valid = padded(torch.randn(2, 4, 3), 5, filler=1e3)
    alone = upsample_linear(rows[..., :3], everywhere(rows[..., :3]), stride=4, steps=12)
    torch.testing.assert_close(upsample_linear(rows, valid, stride=4, steps=32)[..., :12], alone)
