"""The pyramid: receptive field, and that every branch counts."""

import pytest
import torch

from tsatal.head.tpp import TemporalPyramidPooling


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
