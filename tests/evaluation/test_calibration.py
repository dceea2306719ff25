"""Scores as probabilities: what a calibration learns, and what it leaves as it is."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from tsatal.evaluation.average_precision import evaluate
from tsatal.evaluation.calibration import (
    Calibration,
    Curve,
    calibration_error,
    learn_calibration,
)
from tsatal.evaluation.matching import ANET, Measure, match
from tsatal.evaluation.operating_point import OperatingPoint
from tsatal.formats.annotations import AnnotatedVideo, Detection, Instance

MEASURE = Measure(ANET, (0.5,))


def drawn(
    curves: dict[str, Curve], *, number: int, seed: int
) -> tuple[dict[str, AnnotatedVideo], dict[str, list[Detection]]]:
    """Videos with detections of random scores, right as often as the curves of their classes say.

    Every class has the same number of detections, in a video of its own.
    """
    rng = np.random.default_rng(seed)
    videos, found = {}, {}
    for label, curve in curves.items():
        scores = rng.beta(0.5, 1.5, number).clip(0.001)
        right = rng.random(number) < curve(scores)
        segments = [(10.0 * n, 10.0 * n + 5) for n in range(number)]
        instances = [Instance(label, *s) for s, hit in zip(segments, right, strict=True) if hit]
        videos[label] = AnnotatedVideo(label, "validation", 1e5, tuple(instances))
        found[label] = [
            Detection(label, *s, float(p)) for s, p in zip(segments, scores, strict=True)
        ]
    return videos, found


def error(videos: dict[str, AnnotatedVideo], found: dict[str, list[Detection]]) -> float:
    matches = match(videos, found, MEASURE, subset="validation")
    return calibration_error(matches.score, matches.hit[0])


def test_the_calibration_error_is_that_of_its_definition() -> None:
    """Two bins of two and one: |0.15 - 0.5| * 2/3 + |0.95 - 1| / 3."""
    probability, right = np.array([0.12, 0.18, 0.95]), np.array([True, False, True])
    assert calibration_error(probability, right) == pytest.approx(0.35 * 2 / 3 + 0.05 / 3)
    assert calibration_error(np.array([1.0]), np.array([True])) == 0
    assert calibration_error(np.zeros(0), np.zeros(0, dtype=bool)) == 0


def test_scores_that_are_too_low_or_too_high_become_probabilities() -> None:
    curves = {"shy": Curve(0.6, 1.2, 1.5), "bold": Curve(1.5, 0.5, -1.0)}
    calibration = learn_calibration(
        match(*drawn(curves, number=3000, seed=0), MEASURE, subset="validation")
    )
    videos, found = drawn(curves, number=3000, seed=1)
    before, after = error(videos, found), error(videos, calibration.apply_to_all(found))
    assert before > 0.1 and after < 0.03
    for label, curve in curves.items():
        scores = np.linspace(0.01, 0.8, 50)
        assert calibration.of(label)(scores) == pytest.approx(curve(scores), abs=0.06)


def test_a_class_of_few_detections_has_the_curve_of_all_classes() -> None:
    many, few = Curve(1.0, 1.0, 2.0), Curve(1.0, 1.0, -2.0)
    videos, found = drawn({"many": many}, number=3000, seed=0)
    _, rare = drawn({"few": few}, number=3, seed=5)
    found["few"] = rare["few"]
    videos["few"] = AnnotatedVideo("few", "validation", 1e5, (Instance("few", 9e4, 9.1e4),))
    calibration = learn_calibration(match(videos, found, MEASURE, subset="validation"))
    half = np.array([0.5])
    assert calibration.of("few")(half) > 0.6 and calibration.of("never seen") == calibration.other


def test_no_ranking_within_a_class_changes_nor_any_average_precision() -> None:
    """Bit for bit, for curves as steep and as flat as fits can be."""
    curves = {"a": Curve(1.0, 1.0, 0.0), "b": Curve(0.5, 2.0, 1.0)}
    videos, found = drawn(curves, number=500, seed=3)
    tied = [d for d in found["a"] if d.score < 0.4] + [
        Detection("a", 1e4 + n, 1e4 + n + 1, 0.4) for n in range(20)
    ]
    found["a"] = sorted(tied, key=lambda d: -d.score)
    calibration = Calibration({"a": Curve(0.05, 0.0, -3.0), "b": Curve(3.0, 2.0, 4.0)}, Curve())
    before = evaluate(videos, found, subset="validation")
    after = evaluate(videos, calibration.apply_to_all(found), subset="validation")
    for label, values in before.per_class.items():
        assert after.per_class[label].tolist() == values.tolist()
    least_apart = np.nextafter(np.float32(0.7), np.float32(1)).astype(float)
    for curve in calibration.classes.values():
        near = curve(np.array([0.0, 1e-9, 0.001, np.float32(0.7), least_apart, 1 - 1e-7, 1.0]))
        assert np.all(np.diff(near) > 0) and near.min() >= 0 and near.max() <= 1


def test_the_curve_rises_even_where_scores_mislead() -> None:
    """Detections of a higher score are right less often: the best rising curve is a flat one."""
    videos, found = drawn({"a": Curve()}, number=400, seed=0)
    turned = [Detection(d.label, d.start_sec, d.end_sec, 1 - d.score) for d in found["a"]]
    calibration = learn_calibration(match(videos, {"a": turned}, MEASURE, subset="validation"))
    assert calibration.of("a").a == pytest.approx(0.05) and calibration.of("a").b == 0
    share = np.mean(match(videos, found, MEASURE, subset="validation").hit)
    assert calibration.of("a")(np.array([0.9])) == pytest.approx(share, abs=0.05)


def test_without_detections_scores_stay_as_they_are() -> None:
    videos, _ = drawn({"a": Curve()}, number=5, seed=0)
    videos["a"] = AnnotatedVideo("a", "validation", 9.0, (Instance("a", 1.0, 2.0),))
    calibration = learn_calibration(match(videos, {}, MEASURE, subset="validation"))
    scores = np.array([0.001, 0.3, 0.9])
    assert calibration.of("a")(scores) == pytest.approx(scores)
    assert calibration.apply([]) == []


def test_it_comes_back_from_its_file_as_it_was_and_no_other_is_taken() -> None:
    adapter = TypeAdapter(OperatingPoint)
    calibration = Calibration({"a": Curve(1 / 3, 0.1, -2.0)}, Curve())
    point = OperatingPoint({"a": 0.1}, 0.2, "f1", "validation", 0.5, calibration)
    text = json.dumps(point.to_json())
    assert adapter.validate_json(text) == point
    for wrong in ('"a": -0.5', '"a": 0.0', '"a": NaN'):
        with pytest.raises(ValidationError):
            adapter.validate_json(text.replace('"a": 0.3333333333333333', wrong))
