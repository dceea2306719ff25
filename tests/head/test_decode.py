"""Windows, scores and decoding against cases worked by hand."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tsatal.config import DecodeConfig
from tsatal.formats.features import TimeAxis
from tsatal.head.decode import (
    PointScores,
    central_window,
    class_shares,
    decode_video,
    score_video,
    segment_scores,
    window_starts,
)
from tsatal.head.points import level_points, level_sizes
from tsatal.head.prediction import HeadOutput, Prediction


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


@pytest.mark.parametrize("align", [1, 4, 32])
@pytest.mark.parametrize("overlap", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("steps", [99, 100, 101, 127, 128, 129, 333, 1000])
def test_aligned_windows_cover_the_video(steps: int, overlap: float, align: int) -> None:
    starts = window_starts(steps, window_steps=100, overlap=overlap, align=align)
    assert all(s % align == 0 for s in starts) and starts == sorted(set(starts))
    assert starts[0] == 0 and starts[-1] < steps <= starts[-1] + 100
    assert max(np.diff(starts), default=0) <= 100


class WhereAmI(nn.Module):
    """Says for every point where it stands, from the features alone: class 0, a stride around."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, features: Tensor, valid: Tensor) -> HeadOutput:
        points = level_points(features.shape[1], levels=self.levels)
        at = points.position.long()
        distances = points.stride[:, None].expand(len(features), -1, 2)
        score = torch.logit(features / 1000)
        final = Prediction(points, valid[:, at], score[:, at], False, distances)
        steps = level_points(features.shape[1])
        every_row = Prediction(steps, valid, score, False, distances, score[..., 0])
        return HeadOutput(None, every_row, final)


def where_it_stands(
    steps: int, *, levels: int, window_steps: int = 100, overlap: float = 0.5, batch_size: int = 4
) -> PointScores:
    return score_video(
        WhereAmI(levels),
        np.arange(1, steps + 1, dtype=np.float32)[:, None],
        DecodeConfig(window_overlap=overlap),
        window_steps=window_steps,
        align=2 ** (levels - 1),
        batch_size=batch_size,
        device=torch.device("cpu"),
    )


@pytest.mark.parametrize("steps", [1, 2, 99, 100, 101, 333])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_merged_windows_are_in_order_without_gap_or_repeat(steps: int, batch_size: int) -> None:
    out = where_it_stands(steps, levels=1, batch_size=batch_size)
    np.testing.assert_allclose(out.scores[:, 0] * 1000, np.arange(1, steps + 1), rtol=1e-4)
    np.testing.assert_allclose(out.intervals[:, 0], np.arange(steps) - 1)
    np.testing.assert_allclose(out.intervals[:, 1], np.arange(steps) + 1)


@pytest.mark.parametrize("steps", [1, 2, 31, 99, 100, 101, 116, 117, 333, 640, 801])
@pytest.mark.parametrize("window_steps, overlap", [(100, 0.5), (100, 0.3), (96, 0.75), (64, 0.0)])
@pytest.mark.parametrize("levels", [2, 3, 6])
def test_merged_windows_hold_every_point_of_every_level_exactly_once(
    levels: int, window_steps: int, overlap: float, steps: int
) -> None:
    out = where_it_stands(steps, levels=levels, window_steps=window_steps, overlap=overlap)
    centre = out.intervals.mean(1)
    stride = (out.intervals[:, 1] - out.intervals[:, 0]) / 2
    # what was read is what stands there, whichever window it was read from
    np.testing.assert_allclose(out.scores[:, 0] * 1000, centre + 1, rtol=1e-4)
    np.testing.assert_allclose(out.actionness * 1000, np.arange(1, steps + 1), rtol=1e-4)
    expected = level_points(steps, levels=levels)
    assert len(centre) == sum(level_sizes(steps, levels))
    assert sorted(zip(stride.tolist(), centre.tolist(), strict=True)) == list(
        zip(expected.stride.tolist(), expected.position.tolist(), strict=True)
    )


def scores_of(final: Prediction) -> Tensor:
    return segment_scores(HeadOutput(None, None, final), class_agreement=0.0)


def test_scores_are_class_scores_times_actionness_where_there_is_one() -> None:
    points, valid = level_points(2), torch.ones(1, 2, dtype=torch.bool)
    logits = torch.tensor([[[0.0, math.log(3)], [-math.inf, 0.0]]])
    distances, actionness = torch.ones(1, 2, 2), torch.tensor([[0.0, math.inf]])
    without = Prediction(points, valid, logits, False, distances)
    torch.testing.assert_close(scores_of(without), torch.tensor([[[0.5, 0.75], [0.0, 0.5]]]))
    having = Prediction(points, valid, logits, False, distances, actionness)
    torch.testing.assert_close(scores_of(having), torch.tensor([[[0.25, 0.375], [0.0, 0.5]]]))
    exclusive = Prediction(points, valid, logits, True, distances, actionness)
    torch.testing.assert_close(scores_of(exclusive), torch.tensor([[[0.375], [1.0]]]))


def test_class_shares_are_of_the_rows_that_lie_in_the_segment() -> None:
    rows = torch.rand(2, 9, 3, generator=torch.Generator().manual_seed(0))
    rows[1, 6:] = 0  # padding
    segments = [(0.0, 8.0), (1.6, 4.4), (-3.0, 2.0), (5.2, 40.0), (3.1, 3.3), (7.0, 5.0)]
    shares = class_shares(rows, torch.tensor([segments, segments]))
    inside = [range(0, 9), range(2, 5), range(0, 3), range(5, 9), range(3, 4), range(7, 8)]
    for b in range(2):
        for n, steps in enumerate(inside):
            total = rows[b, list(steps)].sum(0)
            expected = total / total.sum() if total.sum() > 0 else total
            torch.testing.assert_close(shares[b, n], expected)


def test_a_segment_is_of_the_class_that_its_rows_are_of() -> None:
    points, valid = level_points(4), torch.tensor([[True, True, True, False]])
    final = Prediction(points, valid, torch.zeros(1, 4, 2), False, torch.full((1, 4, 2), 9.0))
    rows = torch.logit(torch.tensor([[[0.6, 0.2], [0.6, 0.2], [0.6, 0.2], [0.1, 0.9]]]))
    output = HeadOutput(None, Prediction(points, valid, rows, False, torch.ones(1, 4, 2)), final)
    scores = segment_scores(output, class_agreement=2.0)
    torch.testing.assert_close(scores[0, 0], 0.5 * torch.tensor([0.75**2, 0.25**2]))
    for same in (
        segment_scores(output, class_agreement=0.0),
        segment_scores(HeadOutput(None, None, final), class_agreement=2.0),
    ):
        torch.testing.assert_close(same, final.action_scores)


def test_detections_are_in_seconds_and_inside_the_video() -> None:
    points = PointScores(
        scores=torch.tensor([[0.0, 0.9], [0.2, 0.0]]),
        intervals=torch.tensor([[-5.0, 2.0], [1.0, 400.0]]),
        actionness=torch.zeros(2),
    )
    found = decode_video(
        points,
        TimeAxis(num_steps=2, start_sec=0.05, step_sec=0.2, duration_sec=10.0),
        ["a", "b"],
        DecodeConfig(min_score=0.1),
    )
    assert [(d.label, round(d.score, 5)) for d in found] == [("b", 0.9), ("a", 0.2)]
    assert [found[0].start_sec, found[0].end_sec] == pytest.approx([0, 0.45])
    assert [found[1].start_sec, found[1].end_sec] == pytest.approx([0.25, 10.0])


@pytest.mark.parametrize("voting_tiou", [None, 0.5])
def test_nothing_above_the_threshold_gives_no_detections(voting_tiou: float | None) -> None:
    points = PointScores(torch.zeros(4, 2), torch.zeros(4, 2), torch.zeros(4))
    axis = TimeAxis(num_steps=4, start_sec=0.0, step_sec=1.0, duration_sec=4.0)
    decode = DecodeConfig(min_score=0.1, voting_tiou=voting_tiou)
    assert decode_video(points, axis, ["a", "b"], decode) == []


def test_voting_moves_segments_and_leaves_scores_and_labels() -> None:
    points = PointScores(
        scores=torch.tensor([[0.8], [0.4]]),
        intervals=torch.tensor([[0.0, 4.0], [0.0, 5.0]]),
        actionness=torch.zeros(10),
    )
    axis = TimeAxis(num_steps=10, start_sec=0.0, step_sec=0.5, duration_sec=5.0)
    plain, voted = (
        decode_video(points, axis, ["a"], DecodeConfig(min_score=0.1, voting_tiou=voting_tiou))
        for voting_tiou in (None, 0.5)
    )
    assert [(d.label, d.score) for d in plain] == [(d.label, d.score) for d in voted]
    assert plain[0].end_sec == pytest.approx(2.0)
    assert voted[0].end_sec == pytest.approx(0.5 * (0.8 * 4 + 0.32 * 5) / (0.8 + 0.32))
