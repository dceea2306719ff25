"""The whole head: pre-judgement, TSA, shared heads, TPP, final heads (paper, figure 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .layers import ConvBNReLU, MaskedConv
from .tpp import TemporalPyramidPooling
from .tsa import TemporalSelfAttention

MAX_LOG_DISTANCE = math.log(1e5)  # steps; keeps exp() finite on wild features
PRIOR = 0.01  # the probability of an action before training, as in Lin et al., "Focal Loss" (2017)


@dataclass(frozen=True)
class Prediction:
    """What one stage of the head believes at every step.

    class_logits: (B, T, 1 + C) for softmax, background first; (B, T, C) for sigmoid.
    distances: from the step to the start and to the end of its action, (B, T, 2), > 0, in steps.
    actionness_logits: (B, T); None where the stage has no such head.
    """

    class_logits: Tensor
    distances: Tensor
    actionness_logits: Tensor | None = None


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


def intervals_at_steps(distances: Tensor) -> Tensor:
    """Return the intervals [t - left, t + right], (..., T, 2) in steps, from distances."""
    t = torch.arange(distances.shape[-2], device=distances.device, dtype=distances.dtype)
    return torch.stack([t - distances[..., 0], t + distances[..., 1]], dim=-1)


def class_probabilities(class_logits: Tensor, *, softmax: bool) -> Tensor:
    """Return the probability of background and of every action, (B, T, 1 + C), rows sum to 1.

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


class StepHeads(nn.Module):
    """Class, boundary and actionness of every step, each from one convolution layer and a linear.

    Args:
        width: of the input.
        num_logits: of the class head.
        softmax: whether logit 0 is background.
        reach_steps: the distance to start and end to begin with (a typical half length).
        actionness: whether there is an actionness head.
    """

    def __init__(
        self, width: int, *, num_logits: int, softmax: bool, reach_steps: float, actionness: bool
    ) -> None:
        super().__init__()
        self.class_branch = ConvBNReLU(width, width, 3)
        self.boundary_branch = ConvBNReLU(width, width, 3)
        self.to_class = MaskedConv(width, num_logits, 1)
        self.to_distance = MaskedConv(width, 2, 3)
        self.to_actionness = MaskedConv(width, 1, 1) if actionness else None
        for layer in (self.to_class, self.to_distance):
            nn.init.normal_(layer.weight, std=0.01)
        assert self.to_class.bias is not None and self.to_distance.bias is not None
        with torch.no_grad():
            self.to_distance.bias.fill_(math.log(reach_steps))
            self.to_class.bias.fill_(0.0 if softmax else math.log(PRIOR / (1 - PRIOR)))

    def forward(self, x: Tensor, valid: Tensor) -> Prediction:
        """Return the beliefs at every step of `x` (B, T, width)."""
        classes = self.class_branch(x, valid)
        boundary = self.boundary_branch(x, valid)
        log_distance = self.to_distance(boundary, valid)
        return Prediction(
            class_logits=self.to_class(classes, valid),
            distances=log_distance.clamp(max=MAX_LOG_DISTANCE).exp(),
            actionness_logits=(
                self.to_actionness(boundary, valid).squeeze(-1) if self.to_actionness else None
            ),
        )


class TSATAL(nn.Module):
    """Turns (B, T, D) features into class, boundary and actionness of every step.

    Args:
        width_in: D of the features.
        num_classes: C, without background.
        width: inside the head.
        softmax: exclusive classes with a background, the paper's; else sigmoid, multi-label.
        tsa: "hard" (the paper's), "soft", or "none" to leave the module out.
        tsa_threshold: see `tsa.novelty`.
        tpp: whether TPP and the final heads are there; else the heads after TSA are final.
        pyramid_levels, dilations: see `tpp.TemporalPyramidPooling`.
        input_dropout: share of the input features dropped in training.
        reach_steps: typical half length of an action, in steps.
    """

    def __init__(
        self,
        *,
        width_in: int,
        num_classes: int,
        width: int,
        softmax: bool,
        tsa: str,
        tsa_threshold: float | None,
        tpp: bool,
        pyramid_levels: int,
        dilations: Sequence[int],
        input_dropout: float,
        reach_steps: float,
    ) -> None:
        super().__init__()
        self.softmax = softmax
        self.feature_scale: Tensor
        self.register_buffer("feature_scale", torch.ones(()))
        heads: dict[str, Any] = {
            "num_logits": num_classes + softmax,
            "softmax": softmax,
            "reach_steps": reach_steps,
        }
        self.dropout = nn.Dropout(input_dropout)
        self.embed = ConvBNReLU(width_in, width, 3)
        self.pre_heads = self.tsa = None
        if tsa != "none":
            self.pre_heads = StepHeads(width, **heads, actionness=False)
            self.tsa = TemporalSelfAttention(width, soft=tsa == "soft", threshold=tsa_threshold)
        self.shared_heads = StepHeads(width, **heads, actionness=True)
        self.tpp = self.final_heads = None
        if tpp:
            self.tpp = TemporalPyramidPooling(
                width + 1, width, pyramid_levels=pyramid_levels, dilations=dilations
            )
            self.final_heads = StepHeads(width, **heads, actionness=True)

    def divide_features_by(self, scale: float) -> None:
        """Fix what features are divided by on entry: extractors differ by orders of magnitude.

        One number, no offset: zero must stay "absent" for the dropout of pooled post-ReLU
        features, and what is common to all steps leaves in the first batch norm.
        """
        self.feature_scale.fill_(scale)

    def forward(self, features: Tensor, valid: Tensor) -> HeadOutput:
        """Return the predictions of all stages.

        Args:
            features: (B, T, D) float.
            valid: True at real steps, False at padding, (B, T) bool.
        Raises:
            ValueError: `features` and `valid` disagree on B or T.
        """
        if features.shape[:2] != valid.shape:
            raise ValueError(f"features {tuple(features.shape)}, valid {tuple(valid.shape)}")
        y = self.embed(self.dropout(features / self.feature_scale), valid)
        pre = None
        if self.pre_heads is not None and self.tsa is not None:
            pre = self.pre_heads(y, valid)
            probabilities = class_probabilities(pre.class_logits, softmax=self.softmax)
            intervals = intervals_at_steps(pre.distances)
            y = self.tsa(y, valid, probabilities=probabilities, intervals=intervals)
        refined: Prediction = self.shared_heads(y, valid)
        if self.tpp is None or self.final_heads is None:
            return HeadOutput(pre=pre, refined=None, final=refined)
        assert refined.actionness_logits is not None
        y_act = refined.actionness_logits.sigmoid()[..., None]  # (B, T, 1)
        pooled = self.tpp(torch.cat([y, y_act], dim=-1), valid)
        return HeadOutput(pre=pre, refined=refined, final=self.final_heads(pooled, valid))
