"""Thresholds that turn rankings into events, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tsatal.evaluation.matching import ANET, Matches, Measure, match
from tsatal.evaluation.operating_point import (
    Events,
    OperatingPoint,
    choose_operating_point,
    events,
    together,
)
from tsatal.formats.annotations import AnnotatedVideo, Detection, Instance


def matches(
    scores: dict[str, tuple[list[float], list[float]]], *, missed: int = 0, seconds: float = 360.0
) -> Matches:
    """One video per class, with right and wrong detections of these scores."""
    videos, found = {}, {}
    for label, (right, wrong) in scores.items():
        starts = [10.0 * n for n in range(len(right) + missed)]
        instances = tuple(Instance(label, s, s + 5) for s in starts)
        videos[label] = AnnotatedVideo(label, "validation", seconds, instances)
        hits = [Detection(label, s, s + 5, p) for s, p in zip(starts, right, strict=False)]
        found[label] = hits + [
            Detection(label, 1e4 + n, 1e4 + n + 1, p) for n, p in enumerate(wrong)
        ]
    return match(videos, found, Measure(ANET, (0.1, 0.25, 0.5)), subset="validation")


def test_a_threshold_that_parts_right_from_wrong_is_found() -> None:
    point = choose_operating_point(matches({"a": ([0.9, 0.8, 0.7], [0.3, 0.2, 0.1])}))
    assert point.thresholds["a"] == pytest.approx(0.5) and point.other == pytest.approx(0.5)
    assert (point.rule, point.subset, point.tiou) == ("f1", "validation", 0.5)


def test_it_is_the_best_of_all_thresholds() -> None:
    rng = np.random.default_rng(0)
    right, wrong = rng.beta(4, 2, 60).tolist(), rng.beta(2, 4, 200).tolist()
    found = matches({"a": (right, wrong)}, missed=10)

    def f1(threshold: float) -> float:
        hits = sum(s >= threshold for s in right)
        return 2 * hits / (70 + hits + sum(s >= threshold for s in wrong))

    point = choose_operating_point(found)
    assert f1(point.of("a")) == pytest.approx(max(f1(t) for t in [*right, *wrong]))
    assert events(found, point)["a"].f1 == pytest.approx(f1(point.of("a")))


def test_a_class_of_few_instances_leans_on_all_classes() -> None:
    many = ([0.5 + n / 200 for n in range(80)], [0.4 - n / 400 for n in range(80)])
    few: tuple[list[float], list[float]] = ([0.2], [])
    point = choose_operating_point(matches({"many": many, "few": few}))
    assert point.of("few") > 0.4
    own = choose_operating_point(matches({"many": many, "own": ([0.2] * 60, [])}))
    assert own.of("own") <= 0.2


def test_a_precision_may_be_asked_for() -> None:
    right = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    found = matches({"a": (right, [0.65, 0.45, 0.35, 0.3, 0.2, 0.1])})
    sure = events(found, choose_operating_point(found, precision=0.99))["a"]
    assert (sure.right, sure.detections) == (3, 3)
    most = events(found, choose_operating_point(found, precision=0.7))["a"]
    assert (most.right, most.detections) == (6, 8)


def test_equal_scores_are_taken_together() -> None:
    found = matches({"a": ([0.5, 0.5], [0.5] * 3)})
    seen = events(found, choose_operating_point(found))["a"]
    assert (seen.detections, seen.right) == (5, 2)


def test_events_are_counted_by_class_and_together() -> None:
    found = matches({"a": ([0.9, 0.8], [0.7]), "b": ([0.9], [])}, missed=1, seconds=1800.0)
    point = OperatingPoint({"a": 0.6}, 0.95, "f1", "validation", 0.5)
    seen = events(found, point)
    assert seen["a"] == Events(3, 3, 2, 1.0) and seen["b"] == Events(2, 0, 0, 1.0)
    assert seen["a"].precision == pytest.approx(2 / 3) and seen["a"].recall == pytest.approx(2 / 3)
    assert seen["a"].false_alarms_per_hour == pytest.approx(1.0)
    assert (seen["b"].precision, seen["b"].recall, seen["b"].count_error) == (1.0, 0.0, 1.0)
    both = together(seen)
    assert (both.instances, both.detections, both.right) == (5, 3, 2)
    assert both.f1 == pytest.approx(0.5)


def test_unknown_durations_give_no_rate_but_may_be_given() -> None:
    found = matches({"a": ([0.9], [0.8])}, seconds=0.0)
    point = OperatingPoint({}, 0.5, "f1", "validation", 0.5)
    assert events(found, point)["a"].false_alarms_per_hour is None
    known = events(found, point, durations={"a": 7200.0})["a"]
    assert known.false_alarms_per_hour == pytest.approx(0.5)


def test_no_detections_at_all() -> None:
    found = matches({"a": ([], [])}, missed=2)
    seen = events(found, choose_operating_point(found))["a"]
    assert (seen.detections, seen.f1) == (0, 0.0)
