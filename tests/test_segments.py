"""Interval mathematics: closed forms, symmetries, and NumPy agreeing with torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tsatal.segments import are_cut, diou, overlap, seconds_to_steps, steps_to_seconds, tiou

times = st.floats(-1e4, 1e4).map(lambda t: round(t, 3))
intervals = st.tuples(times, times).map(sorted).map(np.array)


def between(a: list[float], b: list[float]) -> tuple[float, float, float]:
    x, y = np.array(a), np.array(b)
    return float(overlap(x, y)), float(tiou(x, y)), float(diou(x, y))


@pytest.mark.parametrize(
    ("a", "b", "shared", "iou", "distance_iou"),
    [
        ([0.0, 2.0], [0.0, 2.0], 2.0, 1.0, 1.0),
        ([0.0, 2.0], [1.0, 3.0], 1.0, 1 / 3, 1 / 3 - (1 / 3) ** 2),  # centres 1 apart, hull 3
        ([0.0, 4.0], [1.0, 2.0], 1.0, 1 / 4, 1 / 4 - (0.5 / 4) ** 2),
        ([0.0, 1.0], [1.0, 2.0], 0.0, 0.0, -((1 / 2) ** 2)),  # touching is not overlapping
        ([0.0, 1.0], [3.0, 4.0], 0.0, 0.0, -((3 / 4) ** 2)),
        ([1.0, 1.0], [1.0, 1.0], 0.0, 0.0, 0.0),  # nothing and nothing: no union, no tIoU
        ([1.0, 1.0], [0.0, 2.0], 0.0, 0.0, 0.0),
        ([0.0, 0.0], [5.0, 5.0], 0.0, 0.0, -1.0),
    ],
)
def test_closed_forms(
    a: list[float], b: list[float], shared: float, iou: float, distance_iou: float
) -> None:
    assert between(a, b) == pytest.approx((shared, iou, distance_iou))
    assert between(b, a) == pytest.approx((shared, iou, distance_iou))


@given(intervals, intervals)
def test_ranges_and_symmetry(a: np.ndarray, b: np.ndarray) -> None:
    assert 0 <= overlap(a, b) <= min(a[1] - a[0], b[1] - b[0])
    assert 0 <= tiou(a, b) <= 1
    assert -1 - 1e-12 <= diou(a, b) <= tiou(a, b)
    assert tiou(a, b) == tiou(b, a)
    assert diou(a, b) == pytest.approx(diou(b, a))


@given(intervals)
def test_an_interval_covers_itself_exactly(a: np.ndarray) -> None:
    assert tiou(a, a) == (1.0 if a[1] > a[0] else 0.0)


@given(intervals, intervals)
def test_torch_and_numpy_agree(a: np.ndarray, b: np.ndarray) -> None:
    for function in (overlap, tiou, diou):
        found = float(function(torch.tensor(a), torch.tensor(b)))
        assert found == pytest.approx(
            float(function(a, b)), rel=1e-12, abs=1e-12
        )  # they round alone


@given(intervals, intervals, st.sampled_from([0.25, 2.0, 8.0]))
def test_tiou_does_not_depend_on_the_unit_of_time(
    a: np.ndarray, b: np.ndarray, factor: float
) -> None:
    assert tiou(a * factor, b * factor) == tiou(a, b)
    assert diou(a * factor, b * factor) == diou(a, b)


def test_all_pairs_by_broadcasting() -> None:
    a = np.array([[0.0, 2.0], [5.0, 6.0]])
    b = np.array([[0.0, 1.0], [0.0, 2.0], [5.5, 6.5]])
    expected = np.array([[0.5, 1.0, 0.0], [0.0, 0.0, 1 / 3]])
    np.testing.assert_allclose(tiou(a[:, None], b[None]), expected)
    assert tiou(a[:, None], np.zeros((1, 0, 2))).shape == (2, 0)


def test_gradients_are_finite_also_where_there_is_no_union() -> None:
    a = torch.tensor([[1.0, 1.0], [0.0, 2.0], [0.0, 1.0]], requires_grad=True)
    b = torch.tensor([[1.0, 1.0], [1.0, 3.0], [3.0, 4.0]])
    (gradient,) = torch.autograd.grad(diou(a, b).sum(), a)
    assert torch.isfinite(gradient).all()
    assert gradient[2].sum() > 0  # apart, DIoU still says which way to move


def test_rows_and_seconds_are_the_stated_axis() -> None:
    steps = np.array([0.0, 1.0, 63.0])
    seconds = steps_to_seconds(steps, start_sec=0.05, step_sec=0.2)
    np.testing.assert_allclose(seconds, [0.05, 0.25, 12.65])


@given(
    st.floats(-1e4, 1e4),
    st.floats(-10, 10),
    st.floats(1e-3, 10),
)
def test_seconds_to_steps_undoes_steps_to_seconds(steps: float, start: float, step: float) -> None:
    there = steps_to_seconds(np.array(steps), start_sec=start, step_sec=step)
    back = seconds_to_steps(there, start_sec=start, step_sec=step)
    assert float(back) == pytest.approx(steps, abs=1e-6)


def test_torch_tensors_stay_torch_and_keep_their_type() -> None:
    steps = seconds_to_steps(torch.tensor([0.05, 0.25]), start_sec=0.05, step_sec=0.2)
    assert steps.dtype == torch.float32
    torch.testing.assert_close(steps, torch.tensor([0.0, 1.0]))


def test_segments_with_rows_for_a_part_alone_are_cut() -> None:
    segments = np.array(
        [[0, 5], [-3, 5], [5, 12], [8, 10.4], [0, 30], [-1.6, 30], [12, 15], [-0.5, 9.5]]
    )
    expected = [False, True, True, False, True, True, False, False]
    assert are_cut(segments, 10).tolist() == expected
    assert are_cut(np.zeros((0, 2)), 10).tolist() == []
