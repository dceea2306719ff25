"""The output of the head: what each stage believes at every point, and how to read it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .points import Points


@dataclass(frozen=True)
class Prediction:
    """The beliefs of one stage of the head at each of P points.

    points: where the points stand.
    valid: False where a point lies in the padding, (B, P) bool.
    class_logits: (B, P, 1 + C), background first, or (B, P, C); see `exclusive`.
    exclusive: softmax with a background, as in the paper; else sigmoid (not in the paper).
    distances: from the point to the start and to the end of its action, (B, P, 2), > 0, in steps.
    actionness_logits: (B, P); None where the stage has no such head.
    """

    points: Points
    valid: Tensor
    class_logits: Tensor
    exclusive: bool
    distances: Tensor
    actionness_logits: Tensor | None = None

    @property
    def intervals(self) -> Tensor:
        """The intervals [p - left, p + right], (B, P, 2) in steps."""
        p = self.points.position
        left, right = self.distances.unbind(-1)
        return torch.stack([p - left, p + right], dim=-1)

    @property
    def probabilities(self) -> Tensor:
        """The probability of background and of every action, (B, P, 1 + C); rows sum to 1.

        Of independent scores, background gets one minus the largest; then all are normalised.
        """
        if self.exclusive:
            return self.class_logits.softmax(-1)
        actions = self.class_logits.sigmoid()
        background = 1 - actions.max(-1, keepdim=True).values
        scores = torch.cat([background, actions], dim=-1)
        return scores / scores.sum(-1, keepdim=True)

    @property
    def action_scores(self) -> Tensor:
        """The score of every action class, without background, (B, P, C) in [0, 1]."""
        if self.exclusive:
            return self.class_logits.softmax(-1)[..., 1:]
        return self.class_logits.sigmoid()


@dataclass(frozen=True)
class HeadOutput:
    """Predictions before TSA, after TSA, and after TPP; the last one is decoded.

    A stage that is switched off is None; `final` is always there.
    """

    pre: Prediction | None
    refined: Prediction | None
    final: Prediction

    def stages(self) -> dict[str, Prediction]:
        """Return the stages that are switched on, by name."""
        named = {"pre": self.pre, "refined": self.refined, "final": self.final}
        return {name: stage for name, stage in named.items() if stage is not None}

    @property
    def actionness(self) -> Tensor:
        """The actionness of every step, by the heads after TSA, (B, T) in [0, 1]."""
        logits = (self.refined or self.final).actionness_logits
        assert logits is not None  # only the pre-judgement and the heads after TPP may have none
        return logits.sigmoid()
