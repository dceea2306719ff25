"""What detections above thresholds are worth, against counting by hand."""

from __future__ import annotations

import pytest

from tsatal.evaluation.events import Events, Outcome, events, outcome, together
from tsatal.evaluation.matching import ANET, Measure, match
from tsatal.evaluation.operating_point import OperatingPoint
from tsatal.formats.annotations import AMBIGUOUS, AnnotatedVideo, Detection, Instance

MEASURE = Measure(ANET, (0.5,))
POINT = OperatingPoint({"a": 0.6}, 0.95, "f1", "validation", 0.5)


def video(
    name: str, *starts: float, label: str = "a", seconds: float | None = 1800.0
) -> AnnotatedVideo:
    """A video with an action of five seconds at each start."""
    instances = tuple(Instance(label, s, s + 5) for s in starts)
    return AnnotatedVideo(name, "test", seconds, instances)


def at(start: float, score: float, label: str = "a") -> Detection:
    return Detection(label, start, start + 5, score)


def seen(
    *videos: AnnotatedVideo, point: OperatingPoint = POINT, **found: list[Detection]
) -> dict[str, Events]:
    by_id = {v.video_id: v for v in videos}
    return events(match(by_id, found, MEASURE, subset="test"), point)


def test_events_are_counted_by_class_and_together() -> None:
    first = video("one", 0, 10, 20)
    found = seen(
        first, video("two", 0, 10, label="b"),
        one=[at(0, 0.9), at(10, 0.8), at(100, 0.7), at(20, 0.5)], two=[at(0, 0.9, "b")],
    )  # fmt: skip
    a, b = found["a"], found["b"]
    assert (a.instances, a.detections, a.right, a.hours) == (3, 3, 2, 1.0)
    assert (b.instances, b.detections, b.right, b.hours) == (2, 0, 0, 1.0)
    assert a.precision == pytest.approx(2 / 3) and a.recall == pytest.approx(2 / 3)
    assert a.false_alarms_per_hour == pytest.approx(1.0) and a.count_error == 0
    assert (b.precision, b.recall, b.count_error) == (1.0, 0.0, 1.0)
    both = together(found)
    assert (both.instances, both.detections, both.right) == (5, 3, 2)
    assert both.f1 == pytest.approx(0.5)
    assert both.segments.f1["50"] == pytest.approx(0.5)


def test_unknown_durations_give_no_rate() -> None:
    assert seen(video("one", 0, seconds=None), one=[])["a"].false_alarms_per_hour is None
    whole = Outcome(POINT, "test", {"a": Events(1, 0, 0)})
    assert whole.to_json()["all"]["false_alarms_per_hour"] is None


def test_a_class_without_instances_can_only_be_wrong() -> None:
    """Its false alarms count, though it has no average precision."""
    point = OperatingPoint({"a": 0.6, "c": 0.5}, 0.95, "f1", "validation", 0.5)
    found = seen(
        video("one", 0), video("empty"), point=point,
        one=[at(0, 0.9), at(30, 0.7, "c")], empty=[at(0, 0.5, "c"), at(9, 0.4, "c"), at(0, 0.8)],
    )  # fmt: skip
    assert (found["c"].instances, found["c"].detections, found["c"].right) == (0, 2, 0)
    assert (found["a"].detections, found["a"].right) == (2, 1)
    assert together(found).false_alarms_per_hour == pytest.approx(3.0)


def test_what_is_ignored_counts_neither_way_nor_does_its_time() -> None:
    """Half of the video is annotated: figures are those of that half alone."""
    half = video("one", 0, 10)
    ignoring = AnnotatedVideo("one", "test", 3600.0, half.instances, ((1800.0, 1e9),))
    point = OperatingPoint({"a": 0.6, "c": 0.6}, 0.95, "f1", "validation", 0.5)
    inside = [at(0, 0.9), at(100, 0.7), at(200, 0.8, "c")]
    outside = [at(2000 + 10 * n, 0.9, label) for n in range(50) for label in "ac"]
    expected = seen(half, point=point, one=inside)
    assert seen(ignoring, point=point, one=inside + outside) == expected
    assert expected["a"].hours == 0.5 and expected["c"].detections == 1
    unclear = AnnotatedVideo(
        "one", "test", 3600.0, (*half.instances, Instance(AMBIGUOUS, 1800.0, 3600.0))
    )
    whole = outcome({"one": unclear}, {"one": inside + outside}, point, subset="test")
    assert whole.per_class == expected


def test_an_outcome_says_where_its_thresholds_come_from() -> None:
    videos, found = {"one": video("one", 0)}, {"one": [at(0, 0.9)]}
    elsewhere = outcome(videos, found, POINT, subset="test")
    assert "best F1 at tIoU 0.5 on 'validation'" in elsewhere.in_words
    assert "flatters" not in elsewhere.in_words
    assert "flatters" in outcome(videos, found, POINT, subset="validation").in_words
    figures = elsewhere.to_json()
    assert figures["per_class"]["a"]["threshold"] == 0.6
    assert figures["all"]["segment_f1"] == {"10": 1.0, "25": 1.0, "50": 1.0}
