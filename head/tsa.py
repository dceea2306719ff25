"""TSA, the temporal self-attention module (paper 2.2), one function per equation.

The pre-judgement says what and where each step believes its action to be; those beliefs decide
which steps may exchange features: steps of the same or of another action, but not steps that
cover the same instance, whose features are redundant.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..segments import tiou

# Eq. 1: the weight of a pair of steps by what the two are.
SAME_ACTION, OTHER_ACTION, ONE_ACTION, BOTH_BACKGROUND = 0.5, 0.4, 0.1, 0.0


def condition_matrix(classes: Tensor) -> Tensor:
    """Return the condition matrix A of Eq. 1 from decided classes.

    "Both background" is tested first, since two background steps also have the same class.

    Args:
        classes: the class of every step, 0 for background, (B, T) integer.
    Returns:
        (B, T, T) float in {0, 0.1, 0.4, 0.5}.
    """
    action = classes > 0
    i, j = action[:, :, None], action[:, None, :]
    same = classes[:, :, None] == classes[:, None, :]
    a = torch.full(same.shape, ONE_ACTION, device=classes.device)
    a = a.masked_fill(i & j & ~same, OTHER_ACTION)
    a = a.masked_fill(i & j & same, SAME_ACTION)
    return a.masked_fill(~i & ~j, BOTH_BACKGROUND)


def soft_condition_matrix(probabilities: Tensor) -> Tensor:
    """Return the expectation of Eq. 1 when classes are drawn from `probabilities`.

    Unlike `condition_matrix` it can be learned through. (Not in the paper.)

    Args:
        probabilities: (B, T, 1 + C), background first, each row sums to 1.
    Returns:
        (B, T, T) float in [0, 0.5].
    """
    background, actions = probabilities[..., :1], probabilities[..., 1:]
    action = 1 - background  # (B, T, 1)
    same = actions @ actions.transpose(1, 2)
    both = action @ action.transpose(1, 2)
    one = action @ background.transpose(1, 2) + background @ action.transpose(1, 2)
    return SAME_ACTION * same + OTHER_ACTION * (both - same) + ONE_ACTION * one


def distance_similarity(intervals: Tensor) -> Tensor:
    """Return the distance similarity B of Eq. 2: tIoU of the intervals predicted at i and j.

    Args:
        intervals: (start, end) predicted at every step, (B, T, 2).
    Returns:
        (B, T, T) in [0, 1], symmetric.
    """
    return tiou(intervals[:, :, None], intervals[:, None, :])


def attention_map(query: Tensor, key: Tensor, valid: Tensor) -> Tensor:
    """Return M = softmax(Q K^T / sqrt(d)) of Eq. 4; no weight goes to padding.

    Args:
        query, key: (B, T, d).
        valid: (B, T) bool.
    Returns:
        (B, T, T); each row sums to 1 over the valid steps.
    """
    logits = query @ key.transpose(1, 2) / math.sqrt(query.shape[-1])
    logits = logits.masked_fill(~valid[:, None, :], torch.finfo(logits.dtype).min)
    return logits.softmax(-1)


def novelty(similarity: Tensor, *, threshold: float | None) -> Tensor:
    """Return how much each pair has to tell each other, from the similarity B, in [0, 1].

    The paper leaves the fusion of A, B and M open, but says that pairs covering the same
    instance are redundant and must be avoided "by calculating tIoU": hence 1 - B.

    Args:
        similarity: B, (B, T, T) in [0, 1].
        threshold: None for 1 - B; a number for the paper's other reading, B < threshold.
    """
    if threshold is None:
        return 1 - similarity
    return (similarity < threshold).to(similarity.dtype)


class TemporalSelfAttention(nn.Module):
    """Mixes every step with the steps it is related to (paper, Eq. 1-4).

    Args:
        width: D, the width of the features.
        soft: use the expectation of Eq. 1 instead of arg-max classes.
        threshold: see `novelty`.
    """

    def __init__(self, width: int, *, soft: bool = False, threshold: float | None = None) -> None:
        super().__init__()
        self.soft, self.threshold = soft, threshold
        # The paper calls these f1, f2, f3, names it has already given to the pre-judgement heads.
        self.to_query = nn.Linear(width, width)
        self.to_key = nn.Linear(width, width)
        self.to_value = nn.Linear(width, width)
        self.to_out = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.to_out.weight)  # refinement begins as no change

    def forward(
        self, y: Tensor, valid: Tensor, *, probabilities: Tensor, intervals: Tensor
    ) -> Tensor:
        """Return y + W_o (G V) with G = A * (1 - B) * M.

        A step related to nothing has a zero row in G and keeps its feature.

        Args:
            y: (B, T, D).
            valid: (B, T) bool.
            probabilities: pre-judged classes, (B, T, 1 + C), background first.
            intervals: pre-judged (start, end) in steps, (B, T, 2); never learned through.
        Returns:
            Refined features, (B, T, D); zero at padding.
        """
        query = self.to_query(y).sigmoid()  # Eq. 3
        key = self.to_key(y).sigmoid()
        value = self.to_value(y).sigmoid()
        if self.soft:
            a = soft_condition_matrix(probabilities)
        else:
            a = condition_matrix(probabilities.argmax(-1))  # detached: arg-max has no gradient
        b = distance_similarity(intervals.detach())
        m = attention_map(query, key, valid)
        g = a * novelty(b, threshold=self.threshold) * m
        return (y + self.to_out(g @ value)) * valid[..., None]
