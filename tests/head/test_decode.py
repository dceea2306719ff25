"""Windows, soft-NMS and decoding against cases worked by hand."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tsatal.features import TimeAxis
from tsatal.head.decode import (
    StepScores,
    central_window,
    decode_video,
    score_video,
    soft_nms,
    window_starts,
)
from tsatal.head.model import HeadOutput, Prediction


def test_windows_cover_the_video_and_end_with_it() -> None:
    assert window_starts(100, window_steps=100, overlap=0.5) == [0]
    assert window_starts(7, window_steps=100, overlap=0.5) == [0]
    assert window_starts(230, window_steps=100, overlap=0.5) == [0, 50, 100, 130]
    assert window_starts(101, window_steps=100, overlap=0.5) == [0, 1]


def test_every_step_is_read_where_it_lies_most_centrally() -> None:
    starts = window_starts(200, window_steps=100, overlap=0.5)  # 0, 50, 100
    window = central_window(200, starts, 100)
    # step 74 is 25 from the end of window 0, 24 from the start of window 1
    assert window[74] == 0 and window[75] == 1
    assert window[0] == 0 and window[199] == 2


class WhereAmI(nn.Module):
    """Says for every step where it stands, from the features alone: class 0, one step around."""

    def forward(self, features: Tensor, valid: Tensor) -> HeadOutput:
        score = torch.logit(features[..., :1] / 1000)
        distances = torch.ones(*features.shape[:2], 2)
        return HeadOutput(None, None, Prediction(score, distances))


@pytest.mark.parametrize("steps", [1, 2, 99, 100, 101, 333])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_merged_windows_are_in_order_without_gap_or_repeat(steps: int, batch_size: int) -> None:
    rows = np.arange(1, steps + 1, dtype=np.float32)[:, None]
    out = score_video(
        WhereAmI(),
        rows,
        softmax=False,
        window_steps=100,
        overlap=0.5,
        batch_size=batch_size,
        device=torch.device("cpu"),
    )
    np.testing.assert_allclose(out.scores[:, 0] * 1000, rows[:, 0], rtol=1e-4)
    np.testing.assert_allclose(out.intervals[:, 0], np.arange(steps) - 1)
    np.testing.assert_allclose(out.intervals[:, 1], np.arange(steps) + 1)


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


def test_detections_are_in_seconds_and_inside_the_video() -> None:
    steps = StepScores(
        scores=torch.tensor([[0.0, 0.9], [0.2, 0.0]]),
        intervals=torch.tensor([[-5.0, 2.0], [1.0, 400.0]]),
    )
    found = decode_video(
        steps,
        TimeAxis(num_steps=2, start_sec=0.05, step_sec=0.2, duration_sec=10.0),
        ["a", "b"],
        min_score=0.1,
        max_candidates=10,
        nms_sigma=0.5,
        max_detections=10,
    )
    assert [(d.label, round(d.score, 5)) for d in found] == [("b", 0.9), ("a", 0.2)]
    assert [found[0].start_sec, found[0].end_sec] == pytest.approx([0, 0.45])
    assert [found[1].start_sec, found[1].end_sec] == pytest.approx([0.25, 10.0])


def test_nothing_above_the_threshold_gives_no_detections() -> None:
    steps = StepScores(torch.zeros(4, 2), torch.zeros(4, 2))
    axis = TimeAxis(num_steps=4, start_sec=0.0, step_sec=1.0, duration_sec=4.0)
    assert decode_video(
        steps, axis, ["a", "b"], min_score=0.1, max_candidates=5, nms_sigma=0.5, max_detections=5
    ) == []  # fmt: skip
