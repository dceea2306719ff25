"""The classes of whole proposals (the last paragraph of paper 2.3)."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from .prediction import Prediction

LEAST_MASK = 1e-4  # where all rows of a proposal are background, they weigh alike


def sums_along(rows: Tensor, intervals: Tensor) -> Tensor:
    """Return the sums of rows from the start of each interval to its end.

    Args:
        rows: (B, T, C).
        intervals: (B, P, 2) in steps; at least the row nearest to the start counts. Not learned
            through, since which rows count moves by whole rows.
    Returns:
        (B, P, C) in double precision, which sums over long videos need.
    """
    last_row = rows.shape[1] - 1
    before = nn.functional.pad(rows.double().cumsum(1), (0, 0, 1, 0))  # (B, T + 1, C)
    first = intervals[..., :1].round().clamp(0, last_row).long()
    end = intervals[..., 1:].round().clamp(0, last_row).long().maximum(first) + 1
    shape = (-1, -1, rows.shape[2])
    return before.gather(1, end.expand(shape)) - before.gather(1, first.expand(shape))


def with_aggregated_classes(prediction: Prediction) -> Prediction:
    """The prediction with the class logits of every point's whole proposal instead of its own.

    "We use a mask to obtain the current action instance distribution [...] by aggregating the
    instance distributions [...] and finally obtain the category information by performing softmax
    operations on the features of each aggregated dimension" (paper 2.3). Here the mask is the
    actionness, in [0, 1] so that it is learned through; what is aggregated are the logits of
    every row of the proposal, as their mean under the mask; the softmax comes after it.

    Args:
        prediction: of one level, a point at every row, with an actionness.
    """
    assert prediction.actionness_logits is not None
    actionness = prediction.actionness_logits.sigmoid() + LEAST_MASK
    mask = (actionness * prediction.valid)[..., None]  # (B, T, 1)
    intervals = prediction.intervals.detach()
    weight = sums_along(mask, intervals).clamp(min=LEAST_MASK)  # 0 at padding
    logits = sums_along(prediction.class_logits * mask, intervals) / weight
    return replace(prediction, class_logits=logits.to(prediction.class_logits.dtype))
