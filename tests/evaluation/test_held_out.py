"""An operating point out of what several heads have found, each in videos that it held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tsatal.evaluation.held_out import learn_from_held_out
from tsatal.evaluation.operating_point import learn_operating_point
from tsatal.formats.annotations import AnnotatedVideo, Detection, Instance


def drawn(seed: int) -> tuple[dict[str, AnnotatedVideo], dict[str, list[Detection]]]:
    """Six videos of eight actions, found with higher scores than what is wrong, and what is."""
    rng = np.random.default_rng(seed)
    videos, found = {}, {}
    for n in range(6):
        starts = [20.0 * k for k in range(8)]
        instances = tuple(Instance("a", s, s + 5) for s in starts)
        videos[f"v{n}"] = AnnotatedVideo(f"v{n}", "all", 400.0, instances)
        right = zip(starts, rng.beta(4, 2, 8), strict=True)
        wrong = zip([200.0 + 9 * k for k in range(9)], rng.beta(2, 4, 9), strict=True)
        found[f"v{n}"] = [Detection("a", s, s + 5, float(p)) for s, p in [*right, *wrong]]
    return videos, found


def test_it_says_what_it_was_chosen_on() -> None:
    videos, found = drawn(0)
    one = learn_from_held_out(videos, [found], folds=5)
    assert one.in_words == "best F1 at tIoU 0.5 on 48 actions of the held-out videos of 5 folds"
    two = learn_from_held_out(videos, [found, found], folds=5, precision=0.8)
    assert (
        two.in_words
        == "precision 80% at tIoU 0.5 on 48 actions of the held-out videos of 5 folds and 2 seeds"
    )
    assert one.folds == 5


def test_of_one_seed_it_is_that_of_the_pooled_detections() -> None:
    videos, found = drawn(1)
    pooled = learn_operating_point(videos, found, subset="all")
    point = learn_from_held_out(videos, [found], folds=3)
    assert (point.thresholds, point.calibration) == (pooled.thresholds, pooled.calibration)


def test_the_same_seed_twice_says_nothing_more() -> None:
    """Without the weights, twice the instances would lean half as much on what is held to."""
    videos, found = drawn(2)
    once = learn_from_held_out(videos, [found], folds=3)
    thrice = learn_from_held_out(videos, [found] * 3, folds=3)
    assert once.calibration and thrice.calibration
    assert thrice.calibration.of("a").numbers() == pytest.approx(once.calibration.of("a").numbers())
    assert thrice.of("a") == pytest.approx(once.of("a"))
    plain = learn_operating_point(
        {f"{v} {n}": video for n in range(3) for v, video in videos.items()},
        {f"{v} {n}": d for n in range(3) for v, d in found.items()}, subset="all",
    )  # fmt: skip
    assert plain.calibration
    assert plain.calibration.of("a").c != pytest.approx(once.calibration.of("a").c, abs=1e-3)


def test_seeds_are_pooled() -> None:
    """A second head whose scores are lower draws the threshold of both down."""
    videos, high = drawn(3)
    low = {v: [replace(d, score=d.score / 3) for d in found] for v, found in high.items()}
    first, both = (learn_from_held_out(videos, f, folds=3) for f in ([high], [high, low]))
    assert first.calibration and both.calibration
    score = np.array([0.3])
    assert both.calibration.of("a")(score) > first.calibration.of("a")(score)
