"""Thresholds that turn rankings into events, against counting by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tsatal.evaluation.events import events
from tsatal.evaluation.matching import ANET, Matches, Measure, match
from tsatal.evaluation.operating_point import choose_operating_point, learn_operating_point
from tsatal.formats.annotations import AMBIGUOUS, AnnotatedVideo, Detection, Instance


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


def test_a_precision_that_no_threshold_has_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """The two classes share what is right; of each, only the surest count."""
    found = matches({"a": ([0.8], [0.9, 0.7]), "b": ([0.8], [0.9])})
    point = choose_operating_point(found, precision=0.9)
    assert "no threshold of a, b has a precision of 90 % on 'validation'" in caplog.text
    assert events(found, point)["a"].detections == 1
    # It is kept, so that a model's card claims no precision that its thresholds have not.
    assert point.in_words.endswith(" 'validation'; no threshold of a, b is sure to have it")
    assert "unreached" in point.to_json()


def test_equal_scores_are_taken_together() -> None:
    found = matches({"a": ([0.5, 0.5], [0.5] * 3)})
    seen = events(found, choose_operating_point(found))["a"]
    assert (seen.detections, seen.right) == (5, 2)


def test_no_detections_at_all() -> None:
    found = matches({"a": ([], [])}, missed=2)
    seen = events(found, choose_operating_point(found))["a"]
    assert (seen.detections, seen.f1) == (0, 0.0)


def test_what_the_annotations_ignore_counts_neither_way() -> None:
    """The same thresholds, and the same calibration, as if nothing had been found there."""
    rng = np.random.default_rng(1)
    starts = [10.0 * n for n in range(40)]
    video = AnnotatedVideo(
        "v", "validation", 800.0, tuple(Instance("a", s, s + 5) for s in starts), ((400.0, 800.0),)
    )
    inside = [
        Detection("a", s + shift, s + 5 + shift, p)
        for s in starts
        for shift, p in ((0.0, rng.beta(4, 2)), (6.0, rng.beta(2, 4)))
    ]
    outside = [Detection("a", 410.0 + n, 411.0 + n, rng.beta(6, 1)) for n in range(100)]
    point = learn_operating_point({"v": video}, {"v": inside + outside}, subset="validation")
    assert point == learn_operating_point({"v": video}, {"v": inside}, subset="validation")
    unclear = replace(video, instances=(*video.instances, Instance(AMBIGUOUS, 400.0, 800.0)))
    as_in_thumos = replace(unclear, ignored=())
    assert point == learn_operating_point(
        {"v": as_in_thumos}, {"v": inside + outside}, subset="validation"
    )
