"""TPP: receptive field, and that every branch counts."""

import pytest
import torch

from tsatal.config import ModelConfig
from tsatal.head.tpp import TemporalPyramidPooling


def pyramid(
    levels: int, dilations: tuple[int, ...], *, stacked: bool = False
) -> TemporalPyramidPooling:
    torch.manual_seed(0)
    model = ModelConfig(width=8, pyramid_levels=levels, dilations=dilations, stacked=stacked)
    return TemporalPyramidPooling(model).eval()


def receptive_field(module: TemporalPyramidPooling, steps: int = 257) -> int:
    """Return how far from the centre an impulse is felt."""
    x = torch.zeros(1, 9, steps)
    valid = torch.ones(1, steps, dtype=torch.bool)
    base, _, _ = module(x, valid)
    x[0, :, steps // 2] = 10.0
    felt = (module(x, valid)[0] - base)[0].abs().sum(0).nonzero().flatten()
    return int((felt - steps // 2).abs().max())


def test_without_branches_only_the_entry_convolution_sees() -> None:
    assert receptive_field(pyramid(0, ())) == 1


def test_dilated_branch_sees_its_rate_further() -> None:
    assert receptive_field(pyramid(0, (8,))) == 1 + 8


def test_stacked_convolutions_see_as_far_as_all_rates_together() -> None:
    assert receptive_field(pyramid(0, (1, 2, 4))) == 1 + 4
    assert receptive_field(pyramid(0, (1, 2, 4), stacked=True)) == 1 + 1 + 2 + 4


@pytest.mark.parametrize("levels", [1, 3, 5])
def test_every_level_doubles_what_is_seen(levels: int) -> None:
    # A row of the last level sees 1 (entry) + 2^levels - 1 steps to each side, and interpolation
    # spreads it over 2^levels - 1 more.
    assert receptive_field(pyramid(levels, ())) == 2 ** (levels + 1) - 1


@pytest.mark.parametrize("steps", [1, 2, 3, 10_000])
def test_any_length(steps: int) -> None:
    valid = torch.ones(1, steps, dtype=torch.bool)
    z, z_valid, points = pyramid(3, (1, 2, 4))(torch.randn(1, 9, steps), valid)
    assert z.shape == (1, 8, steps) and z.isfinite().all()
    assert torch.equal(z_valid, valid) and len(points) == steps and points.rows is None
