"""Several levels in place of TPP: each as if it were alone, and no gap is a point."""

import pytest
import torch
from torch import Tensor

from tsatal.config import ModelConfig
from tsatal.head.points import level_points, level_sizes
from tsatal.head.pyramid import MultiLevelPooling


def everywhere(x: Tensor) -> Tensor:
    return torch.ones(x.shape[0], x.shape[2], dtype=torch.bool)


def levels_of(count: int, *, context: bool, separable: bool = False) -> MultiLevelPooling:
    """Return a module whose batch-norm statistics are not those of initialisation."""
    torch.manual_seed(0)
    module = MultiLevelPooling(ModelConfig(width=8, levels=count, tpp=context, separable=separable))
    for _ in range(3):
        module(torch.randn(2, 9, 64) * 2 + 1, torch.ones(2, 64, dtype=torch.bool))
    return module.eval()


def at_points(module: MultiLevelPooling, x: Tensor) -> list[Tensor]:
    """Return what every level holds for sequences without padding."""
    z, _, points = module(x, everywhere(x))
    return list(z[..., points.rows].split(level_sizes(x.shape[2], module.levels), dim=2))


def halved(module: MultiLevelPooling, x: Tensor) -> list[Tensor]:
    """Return the levels before they are fused, each computed by itself."""
    levels: list[Tensor] = []
    for block in (module.enter, *module.halve):
        levels.append(block(levels[-1] if levels else x, everywhere(x)))
        x = levels[-1]
    return levels


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("steps", [1, 2, 9, 50])
@pytest.mark.parametrize("context", [False, True])
def test_rows_of_points_are_valid_and_all_other_rows_are_zero(
    count: int, steps: int, context: bool
) -> None:
    module = levels_of(count, context=context)
    z, valid, points = module(torch.randn(1, 9, steps), torch.ones(1, steps, dtype=torch.bool))
    expected = level_points(steps, levels=count)
    assert torch.equal(points.position, expected.position)
    assert torch.equal(points.regression_range, expected.regression_range)
    assert points.rows is not None and torch.equal(valid[0].nonzero().flatten(), points.rows)
    assert z.transpose(1, 2)[~valid].abs().max() == 0
    assert z.shape == (1, 8, valid.shape[1])


@pytest.mark.parametrize("context", [False, True])
@pytest.mark.parametrize("separable", [False, True])
def test_levels_padded_in_a_batch_equal_levels_alone(context: bool, separable: bool) -> None:
    module = levels_of(4, context=context, separable=separable)
    lengths = (1, 2, 7, 16, 33)
    valid = torch.arange(40) < torch.tensor(lengths)[:, None]
    x = torch.randn(5, 9, 40) * valid[:, None]
    z, row_valid, _ = module(x, valid)
    for n, length in enumerate(lengths):
        alone = torch.cat(at_points(module, x[n : n + 1, :, :length]), 2)
        torch.testing.assert_close(z[n, :, row_valid[n]], alone[0], atol=1e-5, rtol=1e-4)
        assert z[n, :, ~row_valid[n]].abs().max() == 0


@pytest.mark.parametrize("steps", [1, 2, 9, 64])
def test_without_context_levels_are_just_halved(steps: int) -> None:
    module = levels_of(4, context=False)
    x = torch.randn(1, 9, steps)
    for level, expected in zip(at_points(module, x), halved(module, x), strict=True):
        torch.testing.assert_close(level, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("steps", [1, 2, 9, 64])
def test_levels_do_not_leak_into_those_after_or_before_them(steps: int) -> None:
    # the dilated convolutions run over all levels at once; here over every level by itself
    module = levels_of(4, context=True)
    x = torch.randn(1, 9, steps)
    levels = halved(module, x)
    coarser = [*levels[1:], torch.zeros_like(levels[-1])]
    for level, above, fused in zip(levels, coarser, at_points(module, x), strict=True):
        context = level + above[..., torch.arange(level.shape[2]) // 2]
        for dilated in module.dilated:
            context = context + dilated(level)
        assert module.fuse is not None
        expected = module.fuse(context, everywhere(context))
        torch.testing.assert_close(fused, expected, atol=1e-5, rtol=1e-4)


def test_ten_thousand_steps_in_eight_levels() -> None:
    levels = at_points(levels_of(8, context=True), torch.randn(1, 9, 10_000))
    assert [level.shape[2] for level in levels] == level_sizes(10_000, 8)
    assert all(level.isfinite().all() for level in levels)
