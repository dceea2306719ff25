"""The check of what decoding assumes, on made-up detections."""

from __future__ import annotations

import pytest

from tsatal.evaluation.matching import ANET, Measure
from tsatal.formats.annotations import AnnotatedVideo, Detection, Instance
from tsatal.head.agreement import ENOUGH_VIDEOS, check_agreement
from tsatal.head.decode import AGREEMENT

MEASURE = Measure(ANET, (0.5,))
Found = dict[str, list[Detection]]


def videos(count: int) -> dict[str, AnnotatedVideo]:
    """Videos with one action each."""
    there = (Instance("a", 0.0, 5.0),)
    return {f"v{n}": AnnotatedVideo(f"v{n}", "validation", 60.0, there) for n in range(count)}


def detections(truth: dict[str, AnnotatedVideo], right: float) -> Found:
    """One right detection of this score in each video, and a wrong one of 0.5."""
    return {
        v: [Detection("a", 0.0, 5.0, right), Detection("a", 30.0, 35.0, 0.5 + n / 1000)]
        for n, v in enumerate(truth)
    }


def test_another_power_is_taken_where_it_is_better_beyond_chance() -> None:
    truth = videos(ENOUGH_VIDEOS)
    tried = {0.4: detections(truth, 0.4), 0.0: detections(truth, 0.9)}
    found = detections(truth, 0.1)
    power, kept = check_agreement(
        truth, found, tried.__getitem__, measure=MEASURE, subset="validation"
    )
    assert power == 0.0 and kept is tried[0.0]


@pytest.mark.parametrize("count", [1, ENOUGH_VIDEOS - 1])
def test_few_videos_say_nothing(count: int) -> None:
    truth = videos(count)
    found = detections(truth, 0.1)

    def never(power: float) -> Found:
        raise AssertionError(power)

    assert check_agreement(truth, found, never, measure=MEASURE, subset="validation") == (
        AGREEMENT,
        found,
    )


def test_what_is_better_in_one_video_alone_is_chance() -> None:
    truth = videos(8)
    found = detections(truth, 0.9)
    found["v0"] = detections(truth, 0.1)["v0"]
    other = detections(truth, 0.9)
    power, kept = check_agreement(
        truth, found, lambda power: other, measure=MEASURE, subset="validation"
    )
    assert power == AGREEMENT and kept is found
