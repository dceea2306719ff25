"""What is suggested, and which video comes first."""

from __future__ import annotations

import pytest

from tsatal.annotator.suggest import Suggested, doubt, place, suggest, suggestions, thresholds
from tsatal.evaluation.operating_point import OperatingPoint
from tsatal.formats.annotations import Detection

POINT = OperatingPoint({"jump": 0.4}, 0.2, "f1", "validation", 0.5)


def found(*scores: float, label: str = "jump") -> list[Detection]:
    return [Detection(label, 10.0 * n, 10.0 * n + 5, score) for n, score in enumerate(scores)]


def test_a_score_is_in_doubt_around_the_threshold() -> None:
    assert [doubt(s, 0.4) for s in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)] == pytest.approx(
        [0, 0.5, 1, 0.5, 0, 0]
    )
    assert doubt(0.5, 0.0) == 0


def test_suggestions_are_best_first_down_to_half_of_what_counts() -> None:
    kept = suggestions(found(0.1, 0.9, 0.21, 0.19, 0.5), POINT.of)
    assert [d.score for d in kept] == [0.9, 0.5, 0.21]


def test_an_action_is_suggested_once_for_a_label() -> None:
    ones = [
        Detection("jump", 0, 10, 0.9), Detection("jump", 1, 10, 0.8), Detection("run", 0, 10, 0.7),
        Detection("jump", 8, 20, 0.6),
    ]  # fmt: skip
    assert suggestions(ones, POINT.of) == [ones[0], ones[2], ones[3]]


def test_without_a_run_a_third_of_the_best_score_counts() -> None:
    assert thresholds({"a": found(0.9, 0.1), "b": []}, None)("x") == pytest.approx(0.3)
    assert thresholds({}, None)("x") == 0
    assert thresholds({}, POINT)("jump") == 0.4 and thresholds({}, POINT)("run") == 0.2


def test_doubts_count_per_minute_and_are_said_in_words() -> None:
    short, long = (place(found(0.41, 0.9), POINT.of, s) for s in (30.0, 60.0))
    assert short.useful == pytest.approx(2 * long.useful) == pytest.approx(2 * 0.975)
    assert long.words == (
        "1 of 2 suggestions are near the threshold, such as jump with 0.41 (counts from 0.40); "
        "1.0 in a minute"
    )
    assert place([], POINT.of, 0.0).words == "nothing is suggested in it"


def test_the_least_sure_video_comes_first_and_unknown_ones_last() -> None:
    all_found = {"sure": found(0.95), "unsure": found(0.4, 0.38), "nothing": []}
    suggested = suggest(all_found, POINT, {"sure": 60, "unsure": 60, "nothing": None})
    assert suggested.order(["nothing", "new", "sure", "unsure"]) == [
        "unsure", "nothing", "sure", "new",
    ]  # fmt: skip
    assert Suggested().order(["b", "a"]) == ["b", "a"]
