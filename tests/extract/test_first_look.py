"""Class scores to stretches of one class, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tsatal.errors import InputError
from tsatal.extract.first_look import (
    find_classes,
    look,
    smoothed,
    stretches,
    without_last,
)
from tsatal.formats.class_scores import ClassScores
from tsatal.formats.features import TimeAxis

CLASSES = ("push up", "pull ups", "squat", "swimming backstroke", "swimming breast stroke")


def scores(*stretches: tuple[int, int, float]) -> tuple[ClassScores, TimeAxis]:
    """Rows of 0.2 s: class, number of rows, score of that class; the rest is spread."""
    rows = []
    for number, count, score in stretches:
        row = np.full(len(CLASSES), (1 - score) / (len(CLASSES) - 1), np.float32)
        row[number] = score
        rows += [row] * count
    axis = TimeAxis(len(rows), 0.1, 0.2, 0.2 * len(rows))
    return ClassScores(np.array(rows), CLASSES), axis


def test_stretches_of_one_class_are_found_best_first() -> None:
    found = look(*scores((0, 50, 0.6), (2, 100, 0.9))).detections
    assert [d.label for d in found] == ["squat", "push up"]
    assert (found[1].start_sec, found[0].end_sec) == pytest.approx((0.0, 30.0))
    assert found[1].end_sec == pytest.approx(10.0, abs=0.3) == found[0].start_sec
    assert found[0].score == pytest.approx(0.9, abs=0.05)


def test_what_no_class_fits_is_nothing() -> None:
    given, axis = scores((0, 50, 0.2), (1, 50, 0.21))
    found = look(given, axis)
    assert found.detections == [] and len(found.actionness.values) == axis.num_steps
    assert [d.label for d in look(given, axis, classes=[1]).detections] == ["pull ups"]


def test_a_flicker_is_none_and_a_short_gap_closes() -> None:
    found = look(*scores((0, 50, 0.8), (2, 2, 0.9), (0, 50, 0.8))).detections
    assert [(d.label, d.start_sec, round(d.end_sec, 1)) for d in found] == [("push up", 0.0, 20.4)]


def test_the_last_row_says_nothing_by_itself() -> None:
    """A second of squats at 0.64 s a row; what stands last is of the padding."""
    values = np.array([[0.9, 0.1], [0.0, 1.0]], np.float32)
    given, axis = ClassScores(values, ("squat", "archery")), TimeAxis(2, 0.4, 0.64, 1.0)
    assert look(given, axis).detections[0].label == "archery"
    [found] = look(without_last(given), axis).detections
    assert (found.label, found.start_sec, found.end_sec) == ("squat", 0.0, 1.0)
    single = without_last(ClassScores(values[1:], given.classes))
    assert look(single, TimeAxis(1, 0.4, 0.64, 0.3)).detections == []


def test_means_over_time_are_those_of_the_rows_that_there_are() -> None:
    values = np.arange(10.0)[:, None]
    assert smoothed(values, 4)[:, 0].tolist() == [1, 1.5, 2, 3, 4, 5, 6, 7, 7.5, 8]
    assert smoothed(values, 0)[:, 0].tolist() == list(range(10))


def test_runs_of_numbers() -> None:
    best = np.array([-1, 3, 3, -1, 3, 1, -1, -1, 1])
    assert list(stretches(best, most_gap=1)) == [(3, 1, 5), (1, 5, 6), (1, 8, 9)]
    assert list(stretches(np.array([-1, -1]), most_gap=1)) == []


def test_classes_are_known_by_name_and_near_ones_are_offered() -> None:
    assert find_classes(["Pull-Ups", "pushups", "SQUATS"], CLASSES) == [1, 0, 2]
    with pytest.raises(InputError, match="no class 'pusch up'; there are 'push up'"):
        find_classes(["pusch up"], CLASSES)
    with pytest.raises(InputError, match="'swimming b"):
        find_classes(["swimming"], CLASSES)
