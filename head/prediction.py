"""What a head says about every point, and how to read it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .points import Points


@dataclass(frozen=True)
class Prediction:
    """What one stage of the head believes at each of P points.

    points: where they stand.
    valid: False where a point lies in the padding, (B, P) bool.
    class_logits: (B, P, 1 + C) for softmax, background first; (B, P, C) for sigmoid.
    distances: from the point to the start and to the end of its action, (B, P, 2), > 0, in steps.
    actionness_logits: (B, P); None where the stage has no such head.
    """

    points: Points
    valid: Tensor
    class_logits: Tensor
    distances: Tensor
    actionness_logits: Tensor | None = None

    @property
    def intervals(self) -> Tensor:
        """The intervals [p - left, p + right], (B, P, 2) in steps."""
        p = self.points.position
        left, right = self.distances.unbind(-1)
        return torch.stack([p - left, p + right], dim=-1)


@dataclass(frozen=True)
class HeadOutput:
    """Predictions before refinement, after TSA, and after TPP; the last one is decoded.

    A stage that is switched off is None; `final` is always there.
    """

    pre: Prediction | None
    refined: Prediction | None
    final: Prediction

    def stages(self) -> dict[str, Prediction]:
        """Return the stages that there are, by name."""
        named = {"pre": self.pre, "refined": self.refined, "final": self.final}
        return {name: stage for name, stage in named.items() if stage is not None}


def class_probabilities(class_logits: Tensor, *, softmax: bool) -> Tensor:
    """Return the probability of background and of every action, (B, P, 1 + C), rows sum to 1.

    Sigmoid scores are not exclusive: background gets one minus the largest, then all are
    normalised.
    """
    if softmax:
        return class_logits.softmax(-1)
    actions = class_logits.sigmoid()
    background = 1 - actions.max(-1, keepdim=True).values
    scores = torch.cat([background, actions], dim=-1)
    return scores / scores.sum(-1, keepdim=True)


def action_scores(class_logits: Tensor, *, softmax: bool) -> Tensor:
    """Return the score of every action class, (..., C) in [0, 1], without background."""
    return class_logits.softmax(-1)[..., 1:] if softmax else class_logits.sigmoid()
