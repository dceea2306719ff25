"""The classes of whole proposals, by hand."""

import pytest
import torch
from torch import Tensor

from tsatal.head.aggregation import sums_along, with_aggregated_classes
from tsatal.head.points import level_points
from tsatal.head.prediction import Prediction


def prediction(logits: Tensor, distances: Tensor, actionness: Tensor) -> Prediction:
    steps = logits.shape[1]
    valid = torch.ones(1, steps, dtype=torch.bool)
    return Prediction(level_points(steps), valid, logits, True, distances, actionness)


def test_sums_along_an_interval_are_of_the_rows_it_meets() -> None:
    rows = torch.tensor([[[1.0], [2.0], [4.0], [8.0]]])
    intervals = torch.tensor([[[0.2, 2.4], [-5.0, 9.0], [2.6, 2.9], [3.0, 3.0]]])
    assert sums_along(rows, intervals)[0, :, 0].tolist() == [7, 15, 8, 8]


def test_classes_are_the_mean_of_the_proposals_rows_under_the_mask() -> None:
    logits = torch.tensor([[[0.0, 6.0], [0.0, 2.0], [0.0, -4.0]]])
    distances = torch.tensor([[[0.4, 1.1], [0.1, 0.1], [9.0, 0.1]]])  # rows 0-1, 1, and 0-2
    half, none = 0.0, -100.0
    actionness = torch.tensor([[half, half, none]])
    told = with_aggregated_classes(prediction(logits, distances, actionness))
    expected = torch.tensor([[[0.0, 4.0], [0.0, 2.0], [0.0, 4.0]]])
    torch.testing.assert_close(told.class_logits, expected, atol=5e-3, rtol=0)


def test_where_all_rows_are_background_they_weigh_alike() -> None:
    logits, distances = torch.tensor([[[0.0, 6.0], [0.0, 2.0]]]), torch.full((1, 2, 2), 3.0)
    told = with_aggregated_classes(prediction(logits, distances, torch.full((1, 2), -200.0)))
    torch.testing.assert_close(told.class_logits[0, :, 1], torch.tensor([4.0, 4.0]))


@pytest.mark.parametrize("part", ["class_logits", "actionness_logits"])
def test_classes_and_mask_are_learned_through(part: str) -> None:
    torch.manual_seed(0)
    made = prediction(torch.randn(1, 5, 3), torch.ones(1, 5, 2), torch.randn(1, 5))
    leaf = getattr(made, part).requires_grad_()
    with_aggregated_classes(made).class_logits.square().sum().backward()
    assert (leaf.grad != 0).all()
