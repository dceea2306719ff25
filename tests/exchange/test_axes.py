"""Which axis is time: told by sizes, then by durations, or not at all."""

from typing import Any

import numpy as np
import pytest

from tsatal.errors import InputError
from tsatal.exchange.axes import Axes, as_rows, find_axes, two_dimensional

Shapes = list[tuple[int, int]]


@pytest.mark.parametrize(
    "shapes, expected, axes",
    [
        ([(100, 64), (90, 64)], [None, None], Axes(0, 64)),
        ([(64, 100), (64, 90), (64, 70)], [None] * 3, Axes(1, 64)),
        ([(100, 64), (90, 64), (80, 63)], [None] * 3, Axes(0, 64)),  # one is broken
        ([(100, 64)], [99.0], Axes(0, 64)),
        ([(64, 100)], [99.0], Axes(1, 64)),
        ([(300, 64)], [600.0], Axes(0, 64)),  # a wrong frame rate: the usual layout, not the fit
        ([(100, 64), (100, 64)], [None, 101.0], Axes(0, 64)),
        ([(1, 64)], [1.0], Axes(0, 64)),
    ],
)
def test_sizes_that_vary_are_time_and_else_durations_tell(
    shapes: Shapes, expected: list[float | None], axes: Axes
) -> None:
    assert find_axes(shapes, expected, "here") == axes


@pytest.mark.parametrize(
    "shapes, expected",
    [
        ([(100, 64)], [None]),
        ([(100, 400), (100, 400)], [None, None]),
        ([(64, 300)], [600.0]),
        ([(100, 100)], [100.0]),
        ([(100, 110)], [105.0]),
        ([(100, 64), (64, 100)], [100.0, 100.0]),
    ],
)
def test_what_nothing_tells_is_refused(shapes: Shapes, expected: list[float | None]) -> None:
    with pytest.raises(InputError, match=r"here: cannot tell .*--no-transpose .*--transpose"):
        find_axes(shapes, expected, "here")


def test_axes_of_length_one_are_dropped() -> None:
    for shape in [(1, 9, 4), (9, 4, 1, 1), (9, 1, 4)]:
        assert two_dimensional(np.zeros(shape), "a").shape == (9, 4)
    assert two_dimensional(np.zeros((1, 4)), "a").shape == (1, 4)


@pytest.mark.parametrize(
    "array, message",
    [
        (np.zeros((2, 3, 4)), "a: has the shape (2, 3, 4)"),
        (np.zeros(5), "a: has the shape (5,)"),
        (np.zeros((1, 1, 5)), "a: has the shape (1, 1, 5)"),
        (np.array(3.0), "a: has the shape ()"),
        (np.zeros((0, 5)), "a: is empty"),
        (np.array([["x"]]), "a: holds <U1"),
        (np.zeros((2, 2), complex), "a: holds complex128"),
    ],
)
def test_what_is_no_matrix_of_numbers_is_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(InputError) as caught:
        two_dimensional(array, "a")
    assert str(caught.value).startswith(message)


def test_rows_are_stored_in_the_type_asked_for() -> None:
    matrix = np.arange(6).reshape(2, 3)
    rows = as_rows(matrix, Axes(1, 2), "a", "float16")
    assert rows.dtype == np.float16 and rows.flags.c_contiguous
    np.testing.assert_array_equal(rows, matrix.T)


@pytest.mark.parametrize(
    "value, message", [(np.nan, "NaN"), (-np.inf, "infinite"), (7e4, "too large for float16")]
)
def test_values_that_cannot_be_stored_are_refused(value: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_rows(np.array([[1.0, value]]), Axes(0, 2), "a", "float16")


def test_another_width_is_refused() -> None:
    options: Any = (Axes(0, 3), "a", "float32")
    with pytest.raises(InputError, match="a: is 2 wide, other videos are 3"):
        as_rows(np.ones((5, 2)), *options)
