"""Soft-NMS and voting against cases worked by hand and the published algorithm."""

import math

import numpy as np

from tsatal.head.nms import soft_nms, vote
from tsatal.segments import tiou


def test_soft_nms_by_hand() -> None:
    # Second against first: [0, 4] and [2, 6] overlap 1/3; third does not meet them.
    intervals = np.array([[0.0, 4.0], [2.0, 6.0], [10.0, 12.0]])
    index, score = soft_nms(
        intervals,
        np.array([0.9, 0.8, 0.5]),
        np.zeros(3, int),
        sigma=0.5,
        min_score=0.0,
        max_count=10,
    )
    assert index.tolist() == [0, 1, 2]
    np.testing.assert_allclose(score, [0.9, 0.8 * math.exp(-((1 / 3) ** 2) / 0.5), 0.5])


def test_classes_do_not_suppress_each_other() -> None:
    intervals = np.array([[0.0, 4.0], [0.0, 4.0]])
    _, score = soft_nms(
        intervals,
        np.array([0.9, 0.8]),
        np.array([3, 7]),
        sigma=0.1,
        min_score=0.0,
        max_count=10,
    )
    assert score.tolist() == [0.9, 0.8]


def plain_soft_nms(
    intervals: np.ndarray, scores: np.ndarray, sigma: float, min_score: float
) -> list[tuple[int, float]]:
    """Bodla et al., algorithm of figure 3, literally, for one class."""
    live = dict(enumerate(scores.tolist()))
    kept = []
    while live:
        best = max(live, key=lambda n: (live[n], -n))
        if live[best] < min_score:
            break
        kept.append((best, live.pop(best)))
        for n in live:
            shared = max(
                0.0,
                min(intervals[n, 1], intervals[best, 1]) - max(intervals[n, 0], intervals[best, 0]),
            )
            union = np.ptp(intervals[n]) + np.ptp(intervals[best]) - shared
            live[n] *= math.exp(-((shared / union) ** 2) / sigma)
    return kept


def test_soft_nms_equals_the_published_algorithm_per_class() -> None:
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 50, 120)
    intervals = np.stack([start, start + rng.uniform(0.5, 20, 120)], 1)
    scores, labels = rng.uniform(0, 1, 120), rng.integers(0, 4, 120)
    index, score = soft_nms(intervals, scores, labels, sigma=0.4, min_score=0.01, max_count=1000)
    expected = {}
    for c in range(4):
        members = np.flatnonzero(labels == c)
        for n, s in plain_soft_nms(intervals[members], scores[members], 0.4, 0.01):
            expected[int(members[n])] = s
    assert set(index.tolist()) == set(expected)
    np.testing.assert_allclose(score, [expected[int(n)] for n in index])
    assert (np.diff(score) <= 0).all()


def test_soft_nms_of_nothing() -> None:
    index, score = soft_nms(
        np.zeros((0, 2)), np.zeros(0), np.zeros(0, int), sigma=0.5, min_score=0.1, max_count=5
    )
    assert len(index) == len(score) == 0


def test_soft_nms_keeps_the_best_of_all_classes() -> None:
    n = 50
    intervals = np.stack([np.arange(n) * 10.0, np.arange(n) * 10.0 + 1], 1)
    scores = np.linspace(0.1, 0.9, n)
    index, _ = soft_nms(intervals, scores, np.arange(n) % 7, sigma=0.5, min_score=0.0, max_count=5)
    assert index.tolist() == [49, 48, 47, 46, 45]


def test_vote_by_hand() -> None:
    # [0, 4] meets itself (tIoU 1, score 0.8) and [0, 5] (tIoU 4/5, score 0.4): weights 0.8, 0.32
    intervals = np.array([[0.0, 4.0], [0.0, 5.0], [3.0, 9.0]])
    averaged = vote(
        np.array([0]), intervals, np.array([0.8, 0.4, 0.9]), np.zeros(3, int), tiou_at_least=0.5
    )
    np.testing.assert_allclose(averaged, [[0.0, (0.8 * 4 + 0.32 * 5) / (0.8 + 0.32)]])


def test_only_candidates_of_the_class_that_are_alike_enough_vote() -> None:
    intervals = np.array([[0.0, 4.0], [0.0, 5.0], [0.0, 4.1]])
    scores, labels = np.array([0.8, 0.4, 0.9]), np.array([0, 0, 1])
    kept = np.array([2, 0])
    averaged = vote(kept, intervals, scores, labels, tiou_at_least=0.81)
    np.testing.assert_allclose(averaged, intervals[kept])


def test_an_interval_without_length_is_left_as_it_is() -> None:
    intervals = np.array([[3.0, 3.0], [3.0, 3.0], [0.0, 6.0]])
    averaged = vote(
        np.array([0, 2]), intervals, np.array([0.9, 0.8, 0.7]), np.zeros(3, int), tiou_at_least=0.5
    )
    np.testing.assert_allclose(averaged, intervals[[0, 2]])


def test_voters_are_never_left_behind_and_their_order_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 20, 200)
    intervals = np.stack([start, start + rng.uniform(1, 20, 200)], 1)
    scores, labels = rng.uniform(0.1, 1, 200), rng.integers(0, 3, 200)
    kept = rng.choice(200, 30, replace=False)
    averaged = vote(kept, intervals, scores, labels, tiou_at_least=0.6)
    for (start_sec, end_sec), n in zip(averaged, kept, strict=True):
        voters = intervals[(labels == labels[n]) & (tiou(intervals, intervals[n]) >= 0.6)]
        assert voters[:, 0].min() - 1e-9 <= start_sec <= voters[:, 0].max() + 1e-9
        assert voters[:, 1].min() - 1e-9 <= end_sec <= voters[:, 1].max() + 1e-9
    order = rng.permutation(200)
    place = np.argsort(order)
    again = vote(place[kept], intervals[order], scores[order], labels[order], tiou_at_least=0.6)
    np.testing.assert_allclose(again, averaged)
