"""Masked convolution, normalisation and interpolation: padding never leaks."""

import pytest
import torch
from torch import Tensor

from tsatal.head.layers import ConvBNReLU, MaskedBatchNorm, MaskedConv, upsample_linear


def padded(x: Tensor, extra: int) -> tuple[Tensor, Tensor]:
    """Return `x` with `extra` steps of garbage behind, and the mask."""
    valid = torch.zeros(x.shape[0], x.shape[1] + extra, dtype=torch.bool)
    valid[:, : x.shape[1]] = True
    garbage = torch.full((x.shape[0], extra, x.shape[2]), 1e3)
    return torch.cat([x, garbage], 1), valid


@pytest.mark.parametrize("steps", [1, 2, 7, 16])
@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (1, 4)])
def test_padding_changes_nothing_in_a_convolution(steps: int, stride: int, dilation: int) -> None:
    conv = MaskedConv(3, 5, 3, stride=stride, dilation=dilation)
    x = torch.randn(2, steps, 3)
    alone = conv(x, torch.ones(2, steps, dtype=torch.bool))
    more, valid = padded(x, 9)
    out = conv(more, valid)
    torch.testing.assert_close(out[:, : alone.shape[1]], alone)
    assert out[:, alone.shape[1] :].abs().max() == 0


def test_strided_convolution_is_centred_on_every_second_step() -> None:
    conv = MaskedConv(1, 1, 3, stride=2)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([[[0.0, 1.0, 0.0]]]))
        conv.bias.zero_()  # type: ignore[union-attr]
    x = torch.arange(7.0)[None, :, None]
    assert conv(x, torch.ones(1, 7, dtype=torch.bool)).flatten().tolist() == [0, 2, 4, 6]


def test_batch_norm_statistics_ignore_padding() -> None:
    x = torch.randn(2, 6, 4)
    more, valid = padded(x, 10)
    alone, masked = MaskedBatchNorm(4), MaskedBatchNorm(4)
    expected = alone(x, torch.ones(2, 6, dtype=torch.bool))
    torch.testing.assert_close(masked(more, valid)[:, :6], expected)
    torch.testing.assert_close(masked.running_mean, alone.running_mean)
    assert masked(more, valid)[:, 6:].abs().max() == 0


def test_batch_norm_trains_on_a_single_step_without_nan() -> None:
    out = MaskedBatchNorm(4)(torch.randn(1, 1, 4), torch.ones(1, 1, dtype=torch.bool))
    assert out.isfinite().all()


def test_block_is_relu_of_bn_of_conv() -> None:
    block = ConvBNReLU(3, 4, 3)
    x, valid = torch.randn(2, 9, 3), torch.ones(2, 9, dtype=torch.bool)
    plain = torch.nn.functional.conv1d(
        x.transpose(1, 2), block.conv.weight, block.conv.bias, padding=1
    )
    normal = torch.nn.functional.batch_norm(plain, None, None, training=True).transpose(1, 2)
    torch.testing.assert_close(block(x, valid), normal.relu(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stride", [2, 4, 8])
@pytest.mark.parametrize("steps", [1, 5, 17])
def test_interpolation_restores_a_straight_line(stride: int, steps: int) -> None:
    line = 3 + 2 * torch.arange(steps, dtype=torch.float)[None, :, None]
    rows = line[:, ::stride]
    up = upsample_linear(
        rows, torch.ones(1, rows.shape[1], dtype=torch.bool), stride=stride, steps=steps
    )
    last = (rows.shape[1] - 1) * stride  # behind the last row its value is held
    torch.testing.assert_close(up[:, : last + 1], line[:, : last + 1])
    assert (up[:, last:] == line[:, last]).all()


def test_interpolation_does_not_read_padding() -> None:
    rows, valid = padded(torch.randn(2, 3, 4), 5)
    alone = upsample_linear(rows[:, :3], torch.ones(2, 3, dtype=torch.bool), stride=4, steps=12)
    torch.testing.assert_close(upsample_linear(rows, valid, stride=4, steps=32)[:, :12], alone)
