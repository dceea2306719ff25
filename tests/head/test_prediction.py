"""How a prediction is read: intervals, probabilities, scores."""

from dataclasses import replace

import pytest
import torch

from tsatal.head.points import level_points
from tsatal.head.prediction import HeadOutput, Prediction


def prediction(distances: torch.Tensor, *, levels: int = 1) -> Prediction:
    points = level_points(3, levels=levels)
    valid = torch.ones(1, len(points), dtype=torch.bool)
    return Prediction(points, valid, torch.zeros(1, len(points), 2), True, distances)


def beliefs(class_logits: torch.Tensor, *, exclusive: bool) -> Prediction:
    points = level_points(class_logits.shape[1])
    valid = torch.ones(class_logits.shape[:2], dtype=torch.bool)
    return Prediction(points, valid, class_logits, exclusive, torch.ones(*valid.shape, 2))


def test_intervals_surround_their_point() -> None:
    d = torch.tensor([[[1.0, 2.0], [0.5, 0.0], [2.0, 3.0]]])
    assert prediction(d).intervals.tolist() == [[[-1, 2], [0.5, 1], [0, 5]]]


def test_intervals_of_every_level_are_in_steps() -> None:
    # three steps: points at 0, 1, 2 and, twice as far apart, at 0, 2
    intervals = prediction(torch.full((1, 5, 2), 1.5), levels=2).intervals
    assert intervals.mean(-1).tolist() == [[0, 1, 2, 0, 2]]
    assert (intervals[..., 1] - intervals[..., 0]).tolist() == [[3.0] * 5]


def test_a_stage_that_is_switched_off_is_not_named() -> None:
    p = prediction(torch.ones(1, 3, 2))
    assert list(HeadOutput(None, None, p).stages()) == ["final"]
    assert list(HeadOutput(p, p, p).stages()) == ["pre", "refined", "final"]


@pytest.mark.parametrize("exclusive", [True, False])
def test_class_probabilities_sum_to_one(exclusive: bool) -> None:
    p = beliefs(torch.randn(2, 5, 4) * 4, exclusive=exclusive).probabilities
    assert p.shape[-1] == (4 if exclusive else 5)
    torch.testing.assert_close(p.sum(-1), torch.ones(2, 5))


def test_background_of_sigmoid_scores_is_what_the_best_action_leaves() -> None:
    # sigmoid(0) = 1/2, sigmoid(log 3) = 3/4: background 1/4, and all are divided by their sum 3/2
    p = beliefs(torch.tensor([[[1.0, 3.0]]]).log(), exclusive=False).probabilities
    torch.testing.assert_close(p[0, 0], torch.tensor([0.25, 0.5, 0.75]) / 1.5)


def test_action_scores_leave_background_out() -> None:
    logits = torch.tensor([[[2.0, 0.0, 1.0]]])
    of_exclusive, of_independent = (
        beliefs(logits, exclusive=exclusive).action_scores for exclusive in (True, False)
    )
    torch.testing.assert_close(of_exclusive, logits.softmax(-1)[..., 1:])
    torch.testing.assert_close(of_independent, logits.sigmoid())


def test_actionness_is_that_of_the_heads_before_tpp_where_there_are_some() -> None:
    base, logits = prediction(torch.ones(1, 3, 2)), torch.tensor([[0.0, 1.0, -1.0]])
    refined, final = (replace(base, actionness_logits=x) for x in (logits, 2 * logits))
    assert torch.equal(HeadOutput(None, refined, final).actionness, logits.sigmoid())
    assert torch.equal(HeadOutput(None, None, final).actionness, (2 * logits).sigmoid())
