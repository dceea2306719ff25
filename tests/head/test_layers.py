"""Convolution, normalisation and interpolation of padded batches: padding never leaks."""

import pytest
import torch
from torch import Tensor

from tsatal.head.layers import (
    ConvBNReLU,
    ConvINReLU,
    MaskedNormReLU,
    StepConv,
    StepLinear,
    depthwise,
    freeze_norms,
    join_steps,
    join_widths,
    upsample_linear,
)


def padded(x: Tensor, extra: int, *, filler: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return `x` with `extra` steps behind, and the mask."""
    valid = torch.zeros(x.shape[0], x.shape[1] + extra, dtype=torch.bool)
    valid[:, : x.shape[1]] = True
    behind = torch.full((x.shape[0], extra, x.shape[2]), filler)
    return torch.cat([x, behind], 1), valid


def everywhere(x: Tensor) -> Tensor:
    return torch.ones(x.shape[:2], dtype=torch.bool)


@pytest.mark.parametrize("steps", [1, 2, 7, 16])
@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (1, 4)])
def test_zeros_behind_change_nothing_in_a_convolution(
    steps: int, stride: int, dilation: int
) -> None:
    conv = StepConv(3, 5, 3, stride=stride, dilation=dilation)
    x = torch.randn(2, steps, 3)
    alone = conv(x)
    assert alone.shape == (2, -(-steps // stride), 5)
    torch.testing.assert_close(conv(padded(x, 9)[0])[:, : alone.shape[1]], alone)


def test_strided_convolution_is_centred_on_every_second_step() -> None:
    conv = StepConv(1, 1, 3, stride=2)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([[[0.0, 1.0, 0.0]]]))
        conv.bias.zero_()  # type: ignore[union-attr]
    assert conv(torch.arange(7.0)[None, :, None]).flatten().tolist() == [0, 2, 4, 6]


def test_linear_layer_of_steps_is_a_linear_layer() -> None:
    layer = StepLinear(5, 3)
    x = torch.randn(2, 9, 5)
    torch.testing.assert_close(layer(x), torch.nn.Linear.forward(layer, x))


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_is_torchs_over_the_valid_steps(training: bool) -> None:
    x = (torch.randn(3, 9, 4) * 3 + 1).requires_grad_()
    valid = torch.arange(9) < torch.tensor([9, 1, 5])[:, None]
    ours, torchs = MaskedNormReLU(4), torch.nn.BatchNorm1d(4)
    for norm in (ours, torchs):
        torch.nn.init.constant_(norm.weight, 0.7)
        torch.nn.init.constant_(norm.bias, 0.3)
        norm(x, valid) if norm is ours else norm(x[valid])  # statistics have left 0 and 1
        norm.train(training)
    out, expected = ours(x, valid), torchs(x[valid]).relu()
    torch.testing.assert_close(out[valid], expected)
    assert out[~valid].abs().max() == 0
    torch.testing.assert_close(ours.running_mean, torchs.running_mean)
    torch.testing.assert_close(ours.running_var, torchs.running_var)
    weight = torch.randn_like(expected)
    gradients = (
        torch.autograd.grad((y * weight).sum(), [x, norm.weight, norm.bias])
        for y, norm in ((out[valid], ours), (expected, torchs))
    )
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


def test_batch_norm_statistics_ignore_padding() -> None:
    x = torch.randn(2, 6, 4)
    more, valid = padded(x, 10, filler=1e3)
    alone, masked = MaskedNormReLU(4), MaskedNormReLU(4)
    expected = alone(x, everywhere(x))
    torch.testing.assert_close(masked(more, valid)[:, :6], expected)
    torch.testing.assert_close(masked.running_mean, alone.running_mean)
    assert masked(more, valid)[:, 6:].abs().max() == 0


@pytest.mark.parametrize("steps", [0, 1])
def test_batch_norm_of_a_single_step_uses_and_keeps_the_running_statistics(steps: int) -> None:
    norm = MaskedNormReLU(4)
    x = torch.randn(1, 3, 4)
    out = norm(x, torch.arange(3)[None] < steps)
    # mean 0 and variance 1 to begin with
    torch.testing.assert_close(out[:, :steps], x[:, :steps].relu(), atol=1e-4, rtol=1e-4)
    assert out.isfinite().all()
    assert norm.running_mean is not None and norm.running_mean.tolist() == [0] * 4
    assert norm.running_var is not None and norm.running_var.tolist() == [1] * 4


@pytest.mark.parametrize("training", [True, False])
def test_block_of_a_sequence_is_relu_of_its_own_norm_of_conv(training: bool) -> None:
    block = ConvINReLU(3, 4, 3).train(training)
    for parameter in (block.weight, block.bias):
        torch.nn.init.normal_(parameter)
    x = torch.randn(2, 9, 3)
    plain = block.conv(x).transpose(1, 2)
    normal = torch.nn.functional.instance_norm(plain, weight=block.weight, bias=block.bias)
    expected = normal.transpose(1, 2).relu()
    more, valid = padded(x, 14)
    out = block(more, valid)
    torch.testing.assert_close(out[:, :9], expected, atol=1e-5, rtol=1e-4)
    assert out[:, 9:].abs().max() == 0


def test_norm_of_a_single_step_or_of_none_is_finite_and_can_be_learned_through() -> None:
    block = ConvINReLU(3, 4, 3)
    x = torch.randn(2, 5, 3) * (torch.arange(5) < torch.tensor([[1], [0]]))[..., None]
    x.requires_grad_()
    out = block(x, x.detach().abs().sum(-1) > 0)
    out.sum().backward()
    assert out.isfinite().all() and x.grad is not None and x.grad.isfinite().all()


def test_block_is_relu_of_bn_of_conv() -> None:
    block = ConvBNReLU(3, 4, 3)
    x = torch.randn(2, 9, 3)
    plain = block.conv(x).transpose(1, 2)
    normal = torch.nn.functional.batch_norm(plain, None, None, training=True).transpose(1, 2)
    torch.testing.assert_close(block(x, everywhere(x)), normal.relu(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (1, 4)])
@pytest.mark.parametrize("separable", [False, True])
def test_block_behind_training_is_relu_of_the_constant_bn_of_conv(
    stride: int, dilation: int, separable: bool
) -> None:
    block = ConvBNReLU(3, 5, 3, stride=stride, dilation=dilation, separable=separable)
    for parameter in (block.norm.weight, block.norm.bias):
        torch.nn.init.normal_(parameter)
    x, valid = padded(torch.randn(2, 9, 3) * 3 + 1, 12)
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


def test_frozen_norms_give_in_training_what_they_give_behind_it() -> None:
    model, other = (torch.nn.ModuleList([ConvBNReLU(3, 4, 3), ConvINReLU(4, 4, 3)]) for _ in "ab")
    x, valid = padded(torch.randn(2, 9, 3) * 3 + 1, 12)
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


@pytest.mark.parametrize("steps", [1, 2, 7, 16])
@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (1, 4)])
@pytest.mark.parametrize("separable", [False, True])
def test_blocks_in_a_row_take_and_return_zeros_at_padding(
    steps: int, stride: int, dilation: int, separable: bool
) -> None:
    first = ConvBNReLU(3, 5, 3, stride=stride, dilation=dilation, separable=separable)
    second = ConvBNReLU(5, 4, 3)
    x = torch.randn(2, steps, 3)
    more, valid = padded(x, 9)
    y = first(x, everywhere(x))
    alone = second(y, everywhere(y))
    out = second(first(more, valid), valid[:, ::stride])
    torch.testing.assert_close(out[:, : alone.shape[1]], alone, atol=1e-5, rtol=1e-4)
    assert out[:, alone.shape[1] :].abs().max() == 0


@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (1, 30)])
def test_depthwise_convolution_mixes_no_channels(stride: int, dilation: int) -> None:
    conv = depthwise(5, stride=stride, dilation=dilation)
    x = torch.randn(1, 20, 5)
    other = x.clone()
    other[:, :, 2] += 1
    changed = (conv(x) != conv(other)).any(1)
    assert changed.tolist() == [[False, False, True, False, False]]
    assert conv(x).shape == (1, -(-20 // stride), 5)


def test_separable_block_needs_far_fewer_weights_for_the_same_shapes() -> None:
    full, separable = (ConvBNReLU(64, 64, 3, stride=2, separable=s) for s in (False, True))
    x = torch.randn(2, 9, 64)
    assert separable(x, everywhere(x)).shape == full(x, everywhere(x)).shape
    count, fewer = (sum(p.numel() for p in m.parameters()) for m in (full, separable))
    assert fewer < count / 2


def test_joined_sequences_lie_side_by_side_or_behind_one_another() -> None:
    a, b, long = torch.randn(2, 4, 3), torch.randn(2, 4, 1), torch.randn(2, 9, 3)
    assert torch.equal(join_widths([a, b]), torch.cat([a, b], 2))
    assert torch.equal(join_steps([a, long, a]), torch.cat([a, long, a], 1))


@pytest.mark.parametrize("stride", [2, 4, 8])
@pytest.mark.parametrize("steps", [1, 5, 17])
def test_interpolation_restores_a_straight_line(stride: int, steps: int) -> None:
    line = 3 + 2 * torch.arange(steps, dtype=torch.float)[None, :, None]
    rows = line[:, ::stride]
    up = upsample_linear(rows, everywhere(rows), stride=stride, steps=steps)
    last = (rows.shape[1] - 1) * stride  # behind the last row its value is held
    torch.testing.assert_close(up[:, : last + 1], line[:, : last + 1])
    assert (up[:, last:] == line[:, last]).all()


def test_interpolation_does_not_read_padding() -> None:
    rows, valid = padded(torch.randn(2, 3, 4), 5, filler=1e3)
    alone = upsample_linear(rows[:, :3], everywhere(rows[:, :3]), stride=4, steps=12)
    torch.testing.assert_close(upsample_linear(rows, valid, stride=4, steps=32)[:, :12], alone)
