"""Channels of different units are standardised; components, probabilities and networks' are not."""

from __future__ import annotations

import numpy as np
import pytest

from tsatal.formats.features import TimeAxis
from tsatal.head.channel_scales import (
    Probe,
    are_uneven,
    deviations,
    probe,
    rows_of_each,
    should_be_standardised,
    together,
)
from tsatal.head.windows import LabelledVideo

CLASSES, COUNT = 3, 2000


def drawn(seed: int = 0) -> tuple[np.ndarray, np.random.Generator]:
    """Return a class for every row, in stretches of ten rows as actions are."""
    draw = np.random.default_rng(seed)
    return np.repeat(draw.integers(0, CLASSES, COUNT // 10), 10), draw


def decided(rows: np.ndarray, classes: np.ndarray) -> bool:
    return should_be_standardised(deviations(rows.mean(0), (rows**2).mean(0)), Probe(rows, classes))


def codes(classes: np.ndarray, draw: np.random.Generator, channels: int) -> np.ndarray:
    """Return channels of deviation about 1 that tell the classes."""
    return draw.normal(0, 1, (CLASSES, channels))[classes] + draw.normal(0, 1, (COUNT, channels))


def test_small_units_are_seen_beside_large_ones() -> None:
    classes, draw = drawn()
    metres, degrees = 0.05 * codes(classes, draw, 8), 60 * draw.normal(0, 1, (COUNT, 8))
    assert decided(np.hstack([metres + 3, degrees]), classes)
    assert not decided(np.hstack([metres, degrees]), draw.permutation(classes))  # tells nothing
    assert not decided(np.hstack([metres, degrees / 1000]), classes)  # of like size


def test_a_constant_channel_is_no_signal() -> None:
    classes, draw = drawn()
    metres, degrees = 0.05 * codes(classes, draw, 8), 60 * draw.normal(0, 1, (COUNT, 8))
    constant = np.full((COUNT, 1), 0.1) + np.linspace(0, 1e-12, COUNT)[:, None]
    rows = np.hstack([metres, degrees, constant, np.zeros((COUNT, 1))])
    deviation = deviations(rows.mean(0), (rows**2).mean(0))
    assert np.isinf(deviation).tolist() == [False] * 16 + [True] * 2
    assert decided(rows, classes)
    assert not are_uneven(np.full(3, np.inf))


def test_components_whose_small_ones_are_noise_stay_as_they_are() -> None:
    classes, draw = drawn()
    noise = draw.normal(0, 1, (COUNT, 300)) / np.arange(1, 301) ** 2
    rows = np.hstack([3 * codes(classes, draw, 3), noise])
    assert are_uneven(rows.std(0))
    assert not decided(rows, classes)


def test_probabilities_most_of_which_never_come_up_stay_as_they_are() -> None:
    classes, draw = drawn()
    seldom = draw.normal(-9, 1, (COUNT, 200)) - 3 * draw.random(200)
    logits = np.hstack([3 * codes(classes, draw, 6), seldom])
    rows = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert are_uneven(rows.std(0))
    assert not decided(rows, classes)


@pytest.mark.parametrize(
    "units",
    [
        [1] * 6 + [1000] * 94, [1] * 94 + [1000] * 6, [1000] + [1] * 99,
        [0] * 9 + [0.05] * 2 + [1] * 9,
    ],
)  # fmt: skip
def test_channels_are_uneven_whichever_of_them_are_the_few(units: list[float]) -> None:
    rows = np.random.default_rng(0).normal(0, 1, (COUNT, len(units))) * units
    assert are_uneven(deviations(rows.mean(0), (rows**2).mean(0)))


def test_channels_of_networks_are_not_uneven() -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(0, 1, (COUNT, 100))
    pooled = np.maximum(rows + draw.normal(-1, 0.5, 100), 0) * draw.lognormal(0, 0.6, 100)
    for ones in (rows * 7, pooled, np.hstack([rows, np.zeros((COUNT, 50))])):
        assert not are_uneven(deviations(ones.mean(0), (ones**2).mean(0)))


def test_rows_that_count_neither_way_are_not_probed() -> None:
    axis = TimeAxis(10, 0.0, 1.0, 10.0)
    segments, ignored = np.array([[2.0, 4.0]]), np.array([[3.0, 6.0]])
    video = LabelledVideo("v", axis, segments, np.array([1]), ignored)
    one = probe(np.arange(10.0)[:, None], video, 3, most=100)
    assert one.rows[:, 0].tolist() == [0, 1, 2, 3, 4, 7, 8, 9]
    assert one.classes.tolist() == [3, 3, 1, 1, 1, 3, 3, 3]
    few = probe(np.arange(10.0)[:, None], video, 3, most=3)
    assert few.rows[:, 0].tolist() == [0, 4, 9]
    assert len(together([one, few]).rows) == 11


def test_of_wide_rows_fewer_are_probed() -> None:
    assert [rows_of_each(10, width) for width in (1, 1024, 20_000, 100_000)] == [300, 300, 20, 4]
    assert rows_of_each(200, 100_000) == rows_of_each(10_000, 1) == 1
    assert rows_of_each(0, 100) == 3000
