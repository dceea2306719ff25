"""Where the points of every level stand, and which actions they answer for."""

import pytest
import torch

from tsatal.head.points import level_points, level_sizes


def test_one_level_stands_at_every_step_and_answers_for_all() -> None:
    points = level_points(5)
    assert len(points) == 5
    assert points.position.tolist() == [0, 1, 2, 3, 4]
    assert points.stride.tolist() == [1] * 5
    assert points.regression_range.tolist() == [[-torch.inf, torch.inf]] * 5
    assert points.rows is None


def test_levels_by_hand() -> None:
    points = level_points(5, levels=3, first_reach=4.0)
    assert points.position.tolist() == [*range(5), *range(0, 5, 2), *range(0, 5, 4)]
    assert points.stride.tolist() == [1] * 5 + [2] * 3 + [4] * 2
    assert points.regression_range[[0, 5, 8]].tolist() == [[-torch.inf, 4], [4, 8], [8, torch.inf]]


@pytest.mark.parametrize("levels", [1, 2, 6, 12])
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 64, 100, 2304])
def test_a_level_holds_what_strided_slices_of_the_steps_hold(steps: int, levels: int) -> None:
    step = torch.arange(steps, dtype=torch.float)
    slices = [step[:: 2**level] for level in range(levels)]
    assert level_sizes(steps, levels) == [len(s) for s in slices]
    assert torch.equal(level_points(steps, levels=levels).position, torch.cat(slices))


@pytest.mark.parametrize("levels", [1, 2, 6])
def test_every_distance_belongs_to_exactly_one_level(levels: int) -> None:
    points = level_points(1, levels=levels, first_reach=3.0)  # one in each level
    low, high = points.regression_range.unbind(-1)
    distance = torch.cat([torch.arange(0, 500, 0.5), torch.tensor([1e6])])[:, None]
    assert ((low < distance) & (distance <= high)).sum(1).unique().tolist() == [1]


def test_rows_of_points_leave_out_the_gap_after_each_level() -> None:
    points = level_points(5, levels=3, gap=2)
    assert points.rows is not None
    assert points.rows.tolist() == [*range(5), *range(7, 10), *range(12, 14)]
