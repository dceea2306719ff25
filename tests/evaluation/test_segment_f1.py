"""F1 of segments: against frame labels counted as the segmentation field does, and by hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pytest

from tsatal.evaluation.segment_f1 import OVERLAPS, SegmentCounts, count_segments, segments_of
from tsatal.formats.annotations import AnnotatedVideo, Detection, Instance

LABELS = "abc"


def reference(truth: Sequence[str], said: Sequence[str], least: float) -> tuple[int, int, int]:
    """True positives, false positives and missed segments of two lists of frame labels.

    By the field's definition: runs of one label are segments; in the order of time, each takes the
    true segment of its label that it overlaps most, if that is enough and still free.
    """

    def runs(labels: Sequence[str]) -> list[tuple[str, set[int]]]:
        grouped = groupby(enumerate(labels), key=lambda pair: pair[1])
        segments = [(label, {n for n, _ in frames}) for label, frames in grouped]
        return [(label, frames) for label, frames in segments if label != "-"]

    true, free = runs(truth), [True] * len(runs(truth))
    right = wrong = 0
    for label, frames in runs(said):
        fits = [len(frames & t) / len(frames | t) * (name == label) for name, t in true]
        most = int(np.argmax(fits)) if fits else -1
        if most >= 0 and fits[most] >= least and free[most]:
            right, free[most] = right + 1, False
        else:
            wrong += 1
    return right, wrong, len(true) - right


def random_line(rng: np.random.Generator, frames: int) -> list[str]:
    lengths = rng.integers(1, 12, frames)
    return [c for n in lengths for c in [str(rng.choice([*LABELS, "-", "-"]))] * n][:frames]


def as_actions(labels: Sequence[str]) -> list[tuple[str, float, float]]:
    actions, at = [], 0
    for label, frames in groupby(labels):
        number = len(list(frames))
        if label != "-":
            actions.append((label, float(at), float(at + number)))
        at += number
    return actions


def counts(videos: dict[str, AnnotatedVideo], found: dict[str, list[Detection]]) -> SegmentCounts:
    parts = list(count_segments(videos, found, list(LABELS)).values())
    return parts[0] + parts[1] + parts[2]


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_segmentation_fields_figure_where_nothing_overlaps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    videos, found, lines = {}, {}, []
    for name in ("one", "two"):
        truth = random_line(rng, 200)
        said = random_line(rng, 200)
        said = [t if rng.random() < 0.9 else s for t, s in zip(truth, said, strict=True)]
        lines.append((truth, said))
        instances = tuple(Instance(*a) for a in as_actions(truth))
        videos[name] = AnnotatedVideo(name, "test", 200.0, instances)
        found[name] = [Detection(*a, float(rng.random())) for a in as_actions(said)]
    seen = counts(videos, found)
    for k, least in enumerate(OVERLAPS):
        right, wrong, missed = np.sum([reference(*line, least) for line in lines], axis=0)
        assert (seen.right[k], seen.wrong[k]) == (right, wrong)
        assert list(seen.f1.values())[k] == pytest.approx(2 * right / (2 * right + wrong + missed))


def test_an_instant_belongs_to_the_detection_of_the_highest_score() -> None:
    detections = [
        Detection("a", 0, 10, 0.5),
        Detection("b", 2, 4, 0.9),  # leaves 6 of the 10 seconds in one piece
        Detection("a", 20, 30, 0.5),
        Detection("a", 28, 36, 0.5),  # of equals the first has what both cover
        Detection("b", 21, 29, 0.4),  # nothing is left
    ]
    assert segments_of(detections, one_line=True) == [
        Instance("b", 2, 4), Instance("a", 4, 10), Instance("a", 20, 30), Instance("a", 30, 36)
    ]  # fmt: skip
    assert segments_of(detections, one_line=False) == [
        Instance("a", 0, 10), Instance("b", 2, 4), Instance("a", 20, 30), Instance("b", 21, 29),
        Instance("a", 30, 36),
    ]  # fmt: skip
    assert segments_of([], one_line=True) == []
    assert segments_of([Detection("a", 5, 5, 0.9)], one_line=True) == []


@pytest.mark.parametrize("seed", range(3))
def test_segments_are_the_longest_runs_of_what_is_left(seed: int) -> None:
    """Against painting whole seconds, the weakest first."""
    rng = np.random.default_rng(seed)
    starts, lengths = rng.integers(0, 80, 30), rng.integers(1, 20, 30)
    detections = [
        Detection("a", float(s), float(s + n), float(p))
        for s, n, p in zip(starts, lengths, rng.permutation(30) / 30, strict=True)
    ]
    line = np.full(100, -1)
    for n in sorted(range(30), key=lambda n: detections[n].score):
        line[int(detections[n].start_sec) : int(detections[n].end_sec)] = n
    longest: dict[int, tuple[int, int]] = {}
    at = 0
    for owner, run in groupby(line.tolist()):
        length = len(list(run))
        if owner >= 0 and length > longest.get(owner, (0, 0))[0]:
            longest[owner] = (length, at)
        at += length
    expected = sorted((float(s), float(s + n)) for n, s in longest.values())
    found = [(s.start_sec, s.end_sec) for s in segments_of(detections, one_line=True)]
    assert found == expected


def test_classes_that_go_on_at_once_have_a_line_each() -> None:
    both = (Instance("a", 0.0, 10.0), Instance("b", 2.0, 8.0))
    videos = {"v": AnnotatedVideo("v", "test", 20.0, both)}
    found = {"v": [Detection("a", 0.0, 10.0, 0.9), Detection("b", 2.0, 8.0, 0.8)]}
    assert counts(videos, found).f1 == {"10": 1.0, "25": 1.0, "50": 1.0}
    apart = {"v": AnnotatedVideo("v", "test", 20.0, both[:1])}
    assert counts(apart, found).wrong == (0, 0, 0)  # nothing of "b" is left on one line


def test_what_is_ignored_counts_neither_way() -> None:
    video = AnnotatedVideo("v", "test", 90.0, (Instance("a", 0.0, 10.0),), ((50.0, 90.0),))
    found = {"v": [Detection("a", 60.0, 70.0, 0.9), Detection("a", 0.0, 10.0, 0.8)]}
    assert counts({"v": video}, found) == SegmentCounts((1, 1, 1), (0, 0, 0), 1)
