"""The matching by hand and in pieces; that it is the protocols' is in test_evaluation*.py."""

import numpy as np
import pytest

from tsatal.evaluation import matching
from tsatal.evaluation.matching import NOWHERE, Spans, match
from tsatal.formats.annotations import Detection, Instance
from tsatal.segments import overlap


def spans(*entries: tuple[int, float, float]) -> Spans:
    """Return segments, each (video, start, end)."""
    when = np.array([e[1:] for e in entries], dtype=float).reshape(-1, 2)
    return Spans(when, np.array([e[0] for e in entries], dtype=np.int64))


def random_spans(seed: int, count: int) -> Spans:
    rng = np.random.default_rng(seed)
    start, video = rng.integers(0, 20, count), rng.integers(0, 6, count)
    when = np.stack([start, start + rng.integers(0, 9, count)], axis=1).astype(float)
    return Spans(when, video)


def test_labels_are_told_apart_and_equal_scores_keep_their_order() -> None:
    found = matching.detections_by_label(
        {
            3: [Detection("b", 0, 1, 0.5), Detection("a", 1, 2, 0.9), Detection("b", 2, 3, 0.7)],
            1: [],
            0: [Detection("b", 3, 4, 0.5), Detection("b", 4, 5, 0.6)],
        }
    )
    assert list(found) == ["a", "b"]
    assert found["a"].video.tolist() == [3] and found["a"].when.tolist() == [[1, 2]]
    assert found["b"].when[:, 0].tolist() == [2, 4, 0, 3]  # 0.7, 0.6, 0.5 and 0.5
    assert found["b"].video.tolist() == [3, 0, 3, 0]
    truth = matching.instances_by_label({0: [Instance("b", 5, 6), Instance("b", 1, 2)]})
    assert truth["b"].when.tolist() == [[5, 6], [1, 2]]
    assert matching.detections_by_label({}) == {}


@pytest.mark.parametrize("most", [1, 7, 10**6])
def test_all_that_overlap_in_a_video_are_paired_once_however_many_at_a_time(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(matching, "MAX_PAIRS", most)
    left, right = random_spans(0, 40), random_spans(1, 25)
    pieces = list(matching._pairs(left, right))
    found = [pair for piece in pieces for pair in zip(*map(np.ndarray.tolist, piece), strict=True)]
    assert len(found) == len(set(found))
    assert [i for i, _ in found] == sorted(i for i, _ in found)
    assert all(left.video[i] == right.video[j] for i, j in found)
    missing = {(i, j) for i in range(40) for j in range(25)} - set(found)
    for i, j in missing:
        apart = left.video[i] != right.video[j] or overlap(left.when[i], right.when[j]) == 0
        assert apart, (left.when[i], right.when[j])
    largest = max(len(piece[0]) for piece in pieces)
    assert largest < most + 25
    split = [set(i.tolist()) for i, _ in pieces]
    assert sum(map(len, split)) == len(set().union(*split)), "the pairs of a segment were split"
    assert sum(len(i) for i, _ in matching._pairs(NOWHERE, right)) == 0
    assert sum(len(i) for i, _ in matching._pairs(left, NOWHERE)) == 0


def test_what_is_far_apart_is_not_compared() -> None:
    """Of 30,000 x 30,000 segments in one video, 900 million pairs, those side by side."""
    row = spans(*((0, n, n + 1.5) for n in range(30_000)))
    assert sum(len(i) for i, _ in matching._pairs(row, row)) == 3 * 30_000 - 2


@pytest.mark.parametrize("truth_chooses", [False, True])
def test_every_threshold_is_matched_on_its_own(truth_chooses: bool) -> None:
    """In one pass over a hundred of them, more than a machine word has bits, in any order."""
    found, truth = random_spans(2, 60), random_spans(3, 30)
    stretches = random_spans(4, 3)
    thresholds = np.random.default_rng(0).permutation(np.linspace(0.01, 1, 100)).tolist()
    together = match(found, truth, stretches, thresholds, truth_chooses=truth_chooses)
    for k, threshold in enumerate(thresholds):
        alone = match(found, truth, stretches, [threshold], truth_chooses=truth_chooses)
        np.testing.assert_array_equal(together.instance[k], alone.instance[0])
        np.testing.assert_array_equal(together.neutral[k], alone.neutral[0])
    assert together.hit.sum(axis=1).max() > 10 > together.hit.sum(axis=1).min()


def test_a_chooser_takes_at_each_threshold_what_is_still_free_there() -> None:
    # tIoU of the detections with the instances [0, 10] and [0, 5]:
    #   [0, 8]   0.8   0.625      takes the first at 0.7, and at 0.3 too
    #   [0, 9]   0.9   0.556      finds it taken at both; the second will do at 0.3 only
    found, truth = spans((0, 0, 8), (0, 0, 9)), spans((0, 0, 10), (0, 0, 5))
    matches = match(found, truth, NOWHERE, [0.7, 0.3], truth_chooses=False)
    assert matches.instance.tolist() == [[0, -1], [0, 1]]
    assert matches.hit.tolist() == [[True, False], [True, True]]
    # The instances choose: [0, 10] the second detection; [0, 5] the first, if 0.625 will do.
    matches = match(found, truth, NOWHERE, [0.7, 0.3], truth_chooses=True)
    assert matches.instance.tolist() == [[-1, 0], [1, 0]]
    assert not matches.neutral.any() and matches.num_instances == 2


def test_what_overlaps_an_ambiguous_stretch_does_not_count_unless_it_is_a_hit() -> None:
    found = spans((0, 0, 10), (0, 5, 20), (1, 5, 20), (0, 12, 20))
    matches = match(found, spans((0, 0, 10)), spans((0, 8, 12)), [0.5], truth_chooses=True)
    assert matches.neutral.tolist() == [[False, True, False, False]]
