"""How a prediction is read: intervals, probabilities, scores."""

import pytest
import torch

from tsatal.head.points import level_points
from tsatal.head.prediction import HeadOutput, Prediction, action_scores, class_probabilities


def prediction(distances: torch.Tensor, *, levels: int = 1) -> Prediction:
    points = level_points(3, levels=levels)
    valid = torch.ones(1, len(points), dtype=torch.bool)
    return Prediction(points, valid, torch.zeros(1, len(points), 2), distances)


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


@pytest.mark.parametrize("softmax", [True, False])
def test_class_probabilities_sum_to_one(softmax: bool) -> None:
    p = class_probabilities(torch.randn(2, 5, 4) * 4, softmax=softmax)
    assert p.shape[-1] == (4 if softmax else 5)
    torch.testing.assert_close(p.sum(-1), torch.ones(2, 5))


def test_background_of_sigmoid_scores_is_what_the_best_action_leaves() -> None:
    # sigmoid(0) = 1/2, sigmoid(log 3) = 3/4: background 1/4, and all are divided by their sum 3/2
    p = class_probabilities(torch.tensor([[[1.0, 3.0]]]).log(), softmax=False)
    torch.testing.assert_close(p[0, 0], torch.tensor([0.25, 0.5, 0.75]) / 1.5)


def test_action_scores_leave_background_out() -> None:
    logits = torch.tensor([[2.0, 0.0, 1.0]])
    torch.testing.assert_close(action_scores(logits, softmax=True), logits.softmax(-1)[:, 1:])
    torch.testing.assert_close(action_scores(logits, softmax=False), logits.sigmoid())
