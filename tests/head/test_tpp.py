"""The pyramid: receptive field, and that every branch counts; its levels, kept apart."""

import pytest
import torch
from torch import Tensor

from tsatal.head.points import level_points, level_sizes
from tsatal.head.tpp import MultiLevelPooling, TemporalPyramidPooling


def pyramid(levels: int, dilations: tuple[int, ...]) -> TemporalPyramidPooling:
    torch.manual_seed(0)
    return TemporalPyramidPooling(5, 8, pyramid_levels=levels, dilations=dilations).eval()


def reach(module: TemporalPyramidPooling, steps: int = 257) -> int:
    """Return how far from the centre an impulse is felt."""
    x = torch.zeros(1, steps, 5)
    valid = torch.ones(1, steps, dtype=torch.bool)
    base = module(x, valid)
    x[0, steps // 2] = 10.0
    felt = (module(x, valid) - base)[0].abs().sum(-1).nonzero().flatten()
    return int((felt - steps // 2).abs().max())


def test_without_branches_only_the_entry_convolution_sees() -> None:
    assert reach(pyramid(0, ())) == 1


def test_dilated_branch_reaches_its_rate_further() -> None:
    assert reach(pyramid(0, (8,))) == 1 + 8


@pytest.mark.parametrize("levels", [1, 3, 5])
def test_every_level_doubles_what_is_seen(levels: int) -> None:
    # A row of the last level sees 1 (entry) + 2^levels - 1 steps to each side, and interpolation
    # spreads it over 2^levels - 1 more.
    assert reach(pyramid(levels, ())) == 2 ** (levels + 1) - 1


@pytest.mark.parametrize("steps", [1, 2, 3, 10_000])
def test_any_length(steps: int) -> None:
    out = pyramid(3, (1, 2, 4))(torch.randn(1, steps, 5), torch.ones(1, steps, dtype=torch.bool))
    assert out.shape == (1, steps, 8) and out.isfinite().all()


def levels_of(count: int, *, context: bool, separable: bool = False) -> MultiLevelPooling:
    """Return a module whose batch-norm statistics are not those of initialisation."""
    torch.manual_seed(0)
    module = MultiLevelPooling(
        5, 8, levels=count, dilations=(1, 2, 4), context=context, separable=separable
    )
    for _ in range(3):
        module(torch.randn(2, 64, 5) * 2 + 1, torch.ones(2, 64, dtype=torch.bool))
    return module.eval()


def at_points(module: MultiLevelPooling, x: Tensor) -> list[Tensor]:
    """Return what every level holds for sequences without padding."""
    rows, _ = module(x, torch.ones(x.shape[:2], dtype=torch.bool))
    points = rows[:, module.point_rows(x.shape[1], x.device)]
    return list(points.split(level_sizes(x.shape[1], 1 + len(module.halve)), dim=1))


def halved(module: MultiLevelPooling, x: Tensor) -> list[Tensor]:
    """Return the levels before they are fused, each computed by itself."""
    levels: list[Tensor] = []
    for block in (module.enter, *module.halve):
        levels.append(block(levels[-1] if levels else x, torch.ones(1, x.shape[1]).bool()))
        x = levels[-1]
    return levels


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("steps", [1, 2, 9, 50])
@pytest.mark.parametrize("context", [False, True])
def test_rows_of_points_are_valid_and_all_other_rows_are_zero(
    count: int, steps: int, context: bool
) -> None:
    module = levels_of(count, context=context)
    rows, valid = module(torch.randn(1, steps, 5), torch.ones(1, steps, dtype=torch.bool))
    points = module.point_rows(steps, torch.device("cpu"))
    assert len(points) == len(level_points(steps, levels=count))
    assert torch.equal(valid[0].nonzero().flatten(), points)
    assert rows[~valid].abs().max() == 0
    assert rows.shape[:2] == valid.shape and rows.shape[2] == 8


@pytest.mark.parametrize("context", [False, True])
@pytest.mark.parametrize("separable", [False, True])
def test_levels_padded_in_a_batch_equal_levels_alone(context: bool, separable: bool) -> None:
    module = levels_of(4, context=context, separable=separable)
    lengths = (1, 2, 7, 16, 33)
    valid = torch.arange(40) < torch.tensor(lengths)[:, None]
    x = torch.randn(5, 40, 5) * valid[..., None]
    rows, row_valid = module(x, valid)
    for n, length in enumerate(lengths):
        alone = torch.cat(at_points(module, x[n : n + 1, :length]), 1)
        torch.testing.assert_close(rows[n, row_valid[n]], alone[0], atol=1e-5, rtol=1e-4)
        assert rows[n, ~row_valid[n]].abs().max() == 0


@pytest.mark.parametrize("steps", [1, 2, 9, 64])
def test_without_context_levels_are_just_halved(steps: int) -> None:
    module = levels_of(4, context=False)
    x = torch.randn(1, steps, 5)
    for level, expected in zip(at_points(module, x), halved(module, x), strict=True):
        torch.testing.assert_close(level, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("steps", [1, 2, 9, 64])
def test_levels_do_not_leak_into_those_behind_or_before_them(steps: int) -> None:
    # the dilated convolutions run over all levels at once; here over every level by itself
    module = levels_of(4, context=True)
    x = torch.randn(1, steps, 5)
    levels = halved(module, x)
    coarser = [*levels[1:], torch.zeros_like(levels[-1])]
    for level, above, fused in zip(levels, coarser, at_points(module, x), strict=True):
        context = level + above[:, torch.arange(level.shape[1]) // 2]
        for dilate in module.dilated:
            context = context + dilate(level)
        assert module.fuse is not None
        expected = module.fuse(context, torch.ones(context.shape[:2], dtype=torch.bool))
        torch.testing.assert_close(fused, expected, atol=1e-5, rtol=1e-4)


def test_ten_thousand_steps_in_eight_levels() -> None:
    levels = at_points(levels_of(8, context=True), torch.randn(1, 10_000, 5))
    assert [level.shape[1] for level in levels] == level_sizes(10_000, 8)
    assert all(level.isfinite().all() for level in levels)
