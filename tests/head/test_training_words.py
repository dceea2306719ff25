"""What a training says of its data, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tsatal.config import OptimConfig
from tsatal.evaluation.events import Events
from tsatal.evaluation.operating_point import OperatingPoint
from tsatal.formats.annotations import AMBIGUOUS, AnnotatedVideo, Instance
from tsatal.formats.features import TimeAxis
from tsatal.formats.subsets import Subsets
from tsatal.head.run import RunData
from tsatal.head.training_words import (
    background_share,
    chosen_on_few,
    how_long,
    too_short,
    what_counts,
    what_was_found,
)
from tsatal.head.windows import LabelledVideo, WindowPlan

AXIS = TimeAxis(num_steps=100, start_sec=0.0, step_sec=0.5, duration_sec=50.0)


def video(
    *segments: tuple[float, float], ignored: tuple[float, float] | None = None
) -> LabelledVideo:
    steps = np.array(segments, dtype=float).reshape(-1, 2)
    unclear = np.array([ignored] if ignored else [], dtype=float).reshape(-1, 2)
    return LabelledVideo("v", AXIS, steps, np.zeros(len(steps), dtype=np.int64), unclear)


def data(test: str = "test") -> RunData:
    subsets = Subsets("train", "validation", test)
    return RunData("f.h5", ("rgb",), ("jump", "run"), subsets, 8, 2.0, {})


def test_background_is_where_nothing_goes_on_and_somebody_looked() -> None:
    assert background_share([video((10, 20), (15, 30))]) == pytest.approx(0.8)
    assert background_share([video((10, 20), ignored=(40, 100))]) == pytest.approx(30 / 40)
    assert background_share([video((0, 100)), video()]) == pytest.approx(0.5)
    assert background_share([video(ignored=(0, 1e9))]) == 0


def test_what_was_found_is_told_with_what_it_means() -> None:
    labelled = [video((0, 10), (20, 24)), video((50, 60)), video()]
    held_out = {
        "w": AnnotatedVideo(
            "w", "validation", 9.0, (Instance("jump", 0, 1), Instance(AMBIGUOUS, 2, 3))
        )
    }
    lines = list(what_was_found(labelled, held_out, data()))
    assert lines[0] == (
        "training on 3 videos of subset 'train' (2 min, 1 of them without actions): "
        "3 actions of 2 classes"
    )
    assert lines[1].startswith("actions: jump 3, run 0; all classes have fewer than 10: rough")
    assert lines[2].startswith("an action lasts 5 s in the median, 2 to 5; in 92% of the time ")
    assert lines[3].startswith(
        "validation on 1 video of subset 'validation' (1 action), not learned from"
    )
    assert "test videos" not in lines[3]
    assert "test videos too" in list(what_was_found(labelled, held_out, data("validation")))[3]


def test_the_length_of_a_training_is_told_and_a_short_one_warned_of() -> None:
    plan = WindowPlan((3, 1), 1, np.zeros((0, 3), dtype=int))
    said = how_long(plan, OptimConfig(epochs=40), steps_per_epoch=2)
    assert said == (
        "80 steps in all: 40 epochs of 2 steps, each epoch with 4 windows around actions and 1 of "
        "background"
    )
    assert chosen_on_few(0) == "" == chosen_on_few(50)
    assert "chosen on 1 action, which is rough" in chosen_on_few(1)
    assert "few to learn from" in too_short(80) and too_short(200) == ""


def test_what_counts_is_told_also_where_nothing_does() -> None:
    point = OperatingPoint({}, 0.5, 0.995, "validation", 0.5)
    words = what_counts(point, Events(instances=4, detections=2, right=1))
    assert "(precision 99.5% at tIoU 0.5 on 'validation')" in words
    assert words.endswith("there 50 % of it is right, and 25 % of the actions are found")
    nothing = what_counts(point, Events(instances=4, detections=0, right=0))
    assert "100 %" not in nothing and nothing.endswith("none of the actions are found")
