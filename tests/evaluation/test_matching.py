"""The matching by hand and in pieces; test_average_precision*.py hold it to the protocols."""

import subprocess
import sys
from collections.abc import Sequence
from itertools import chain

import numpy as np
import pytest

from tsatal.evaluation import matching
from tsatal.evaluation.matching import PROTOCOLS, Entries, Matches, Measure, match, pairs
from tsatal.formats.annotations import AnnotatedVideo, Detection, Instance
from tsatal.segments import overlap

Span = tuple[int, float, float]  # video, start, end

WITHOUT_TORCH = """
import sys
import tsatal.evaluation.diagnosis
print("torch" in sys.modules)
"""


def entries(*spans: Span) -> Entries:
    """Entries of one label."""
    segment = np.array([s[1:] for s in spans], dtype=float).reshape(-1, 2)
    zeros = np.zeros(len(spans), dtype=np.int64)
    return Entries(np.array([s[0] for s in spans], dtype=np.int64), zeros, segment, zeros)


def random_spans(seed: int, count: int) -> list[Span]:
    rng = np.random.default_rng(seed)
    start, video = rng.integers(0, 20, count), rng.integers(0, 6, count)
    end = start + rng.integers(0, 9, count)
    return list(zip(video.tolist(), start.tolist(), end.tolist(), strict=True))


def matched(
    found: Sequence[Span],
    truth: Sequence[Span],
    protocol: str,
    tious: Sequence[float],
    ambiguous: Sequence[Span] = (),
) -> Matches:
    """The matches of one class, of detections by falling score."""
    instances: dict[int, list[Instance]] = {n: [] for n, *_ in chain(found, truth, ambiguous)}
    detections: dict[str, list[Detection]] = {str(n): [] for n in instances}
    for spans, label in ((truth, "A"), (ambiguous, "Ambiguous")):
        for n, start, end in spans:
            instances[n].append(Instance(label, start, end))
    for rank, (n, start, end) in enumerate(found):
        detections[str(n)].append(Detection("A", start, end, -rank))
    videos = {str(n): AnnotatedVideo(str(n), "", None, tuple(i)) for n, i in instances.items()}
    return match(videos, detections, Measure(protocol, tuple(tious)), subset="test")


def test_labels_are_told_apart_and_equal_scores_keep_their_order() -> None:
    truth = {k: (Instance("b", 5, 6), Instance("a", 1, 2), Instance("b", 1, 2)) for k in "xyz"}
    videos = {k: AnnotatedVideo(k, "test", None, instances) for k, instances in truth.items()}
    predictions = {
        "z": [Detection("b", 0, 1, 0.5), Detection("a", 1, 2, 0.9), Detection("b", 2, 3, 0.7)],
        "y": [],
        "x": [Detection("b", 3, 4, 0.5), Detection("b", 4, 5, 0.6)],
    }
    made = match(videos, predictions, Measure(), subset="test")
    assert made.labels == ("a", "b") and made.instances_per_class.tolist() == [3, 6]
    a, b = (made.detections[ranked] for ranked in made.rankings)
    assert a.video.tolist() == [2] and a.segment.tolist() == [[1, 2]]
    assert b.segment[:, 0].tolist() == [2, 4, 0, 3]  # 0.7, 0.6, 0.5 and 0.5
    assert b.video.tolist() == [2, 0, 2, 0] and b.place.tolist() == [2, 1, 0, 0]
    assert made.score.tolist() == [0.9, 0.7, 0.6, 0.5, 0.5]
    places = [made.detections.place[ranked].tolist() for ranked in made.video_rankings]
    assert places == [[1, 0], [], [1, 2, 0]]
    assert made.instances.segment[:3].tolist() == [[5, 6], [1, 2], [1, 2]]
    assert made.instances.label.tolist() == [1, 0, 1] * 3
    assert not len(match(videos, {}, Measure(), subset="test").detections)


def test_a_measure_is_rounded_and_compares_by_value() -> None:
    assert Measure("anet", (0.1 + 0.2,)) == Measure("anet", (0.3,))
    assert Measure().tious == (0.3, 0.4, 0.5, 0.6, 0.7)


@pytest.mark.parametrize("same_label", [False, True])
@pytest.mark.parametrize("most", [1, 7, 10**6])
def test_all_that_overlap_in_a_video_are_paired_once_however_many_at_a_time(
    monkeypatch: pytest.MonkeyPatch, most: int, same_label: bool
) -> None:
    monkeypatch.setattr(matching, "MAX_PAIRS", most)
    left, right = entries(*random_spans(0, 40)), entries(*random_spans(1, 25))
    left.label[::3] = 2
    right.label[::2] = 1
    pieces = list(pairs(left, right, same_label=same_label))
    found = [pair for piece in pieces for pair in zip(*map(np.ndarray.tolist, piece), strict=True)]
    assert len(found) == len(set(found))
    assert all(left.video[i] == right.video[j] for i, j in found)
    assert not same_label or all(left.label[i] == right.label[j] for i, j in found)
    missing = {(i, j) for i in range(40) for j in range(25)} - set(found)
    for i, j in missing:
        apart = left.video[i] != right.video[j] or overlap(left.segment[i], right.segment[j]) == 0
        assert apart or (same_label and left.label[i] != right.label[j])
    largest = max(len(piece[0]) for piece in pieces)
    assert largest < most + 25
    split = [set(i.tolist()) for i, _ in pieces]
    assert sum(map(len, split)) == len(set().union(*split)), "the pairs of a segment were split"
    assert sum(len(i) for i, _ in pairs(entries(), right)) == 0
    assert sum(len(i) for i, _ in pairs(left, entries())) == 0


def test_what_is_far_apart_is_not_compared() -> None:
    """Of 30,000 x 30,000 segments in one video, 900 million pairs, those side by side."""
    row = entries(*((0, n, n + 1.5) for n in range(30_000)))
    assert sum(len(i) for i, _ in pairs(row, row)) == 3 * 30_000 - 2


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_threshold_is_matched_on_its_own(protocol: str) -> None:
    """As one of a hundred in any order, and alone."""
    found, truth, stretches = random_spans(2, 60), random_spans(3, 30), random_spans(4, 3)
    thresholds = np.random.default_rng(0).permutation(np.linspace(0.01, 1, 100)).tolist()
    together = matched(found, truth, protocol, thresholds, stretches)
    for k, threshold in enumerate(thresholds):
        alone = matched(found, truth, protocol, [threshold], stretches)
        np.testing.assert_array_equal(together.match[k], alone.match[0])
        np.testing.assert_array_equal(together.neutral[k], alone.neutral[0])
        np.testing.assert_array_equal(together.found[k].sum(), alone.hit[0].sum())
    assert together.hit.sum(axis=1).max() > 10 > together.hit.sum(axis=1).min()


def test_a_chooser_takes_at_each_threshold_what_is_still_free_there() -> None:
    # tIoU of the detections with the instances [0, 10] and [0, 5]:
    #   [0, 8]   0.8   0.625      takes the first at 0.7, and at 0.3 too
    #   [0, 9]   0.9   0.556      finds it taken at both; the second will do at 0.3 only
    found, truth = [(0, 0.0, 8.0), (0, 0.0, 9.0)], [(0, 0.0, 10.0), (0, 0.0, 5.0)]
    matches = matched(found, truth, "anet", [0.7, 0.3])
    assert matches.match.tolist() == [[0, -1], [0, 1]]
    assert matches.hit.tolist() == [[True, False], [True, True]]
    assert matches.found.tolist() == [[True, False], [True, True]]
    # The instances choose: [0, 10] the second detection; [0, 5] the first, if 0.625 will do.
    matches = matched(found, truth, "thumos14", [0.7, 0.3])
    assert matches.match.tolist() == [[-1, 0], [1, 0]]
    assert not matches.neutral.any() and matches.instances_per_class.tolist() == [2]


def test_what_overlaps_an_ambiguous_stretch_does_not_count_unless_it_is_a_hit() -> None:
    found = [(0, 0.0, 10.0), (0, 5.0, 20.0), (1, 5.0, 20.0), (0, 12.0, 20.0)]
    truth, stretch = [(0, 0.0, 10.0)], [(0, 8.0, 12.0)]
    matches = matched(found, truth, "thumos14", [0.5], stretch)
    assert matches.neutral.tolist() == [[False, True, False, False]]
    assert not matched(found, truth, "anet", [0.5], stretch).neutral.any()


def test_evaluation_needs_no_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["False"], done.stderr


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_where_nobody_has_labelled_a_detection_counts_neither_way(protocol: str) -> None:
    instances = (Instance("A", 0, 10),)
    ignored = ((20.0, 30.0), (50.0, 1e9))
    videos = {"v": AnnotatedVideo("v", "test", None, instances, ignored)}
    spans = [(21, 25), (15, 25), (15, 24), (45, 70), (40, 45), (0, 10)]
    found = {"v": [Detection("A", s, e, -n) for n, (s, e) in enumerate(spans)]}
    matches = match(videos, found, Measure(protocol, (0.5,)), subset="test")
    assert matches.neutral[0].tolist() == [True, True, False, True, False, False]
    assert matches.hit[0].tolist() == [False] * 5 + [True]
