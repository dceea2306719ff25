"""The whole head: pre-judgement, TSA, shared heads, TPP, final heads (paper, figure 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .layers import ConvBNReLU, ConvINReLU, StepLinear, join_widths, turned
from .points import Points, level_points
from .prediction import HeadOutput, Prediction, class_probabilities
from .tpp import MultiLevelPooling, TemporalPyramidPooling
from .tsa import TemporalSelfAttention

MAX_LOG_DISTANCE = math.log(1e5)  # strides; keeps exp() finite on wild features
PRIOR = 0.01  # the probability of an action before training, as in Lin et al., "Focal Loss" (2017)


class Branch(nn.Module):
    """`depth` convolution layers of kernel 3 and a linear read-out, at every row."""

    def __init__(self, width: int, width_out: int, *, depth: int, separable: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            ConvBNReLU(width, width, 3, separable=separable) for _ in range(depth)
        )
        self.read = StepLinear(width, width_out)
        nn.init.normal_(self.read.weight, std=0.01)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Return (B, R, width_out); not zero at padding."""
        for layer in self.layers:
            x = layer(x, valid)
        out: Tensor = self.read(x)
        return out


class Heads(nn.Module):
    """Class, boundary and actionness of every point.

    Args:
        width: of the input.
        num_logits: of the class head.
        softmax: whether logit 0 is background.
        reach: the distance to start and end to begin with (a typical half length), in strides.
        actionness: whether there is an actionness head.
        depth, separable: convolution layers of each branch.
        levels: how many levels share the heads; each has its own factor for distances.
    """

    def __init__(
        self,
        width: int,
        *,
        num_logits: int,
        softmax: bool,
        reach: float,
        actionness: bool,
        depth: int,
        separable: bool,
        levels: int = 1,
    ) -> None:
        super().__init__()
        self.classes = Branch(width, num_logits, depth=depth, separable=separable)
        self.boundary = Branch(width, 2 + actionness, depth=depth, separable=separable)
        self.log_scale = nn.Parameter(torch.zeros(levels)) if levels > 1 else None
        with torch.no_grad():
            self.classes.read.bias.fill_(0.0 if softmax else math.log(PRIOR / (1 - PRIOR)))
            self.boundary.read.bias.zero_()
            self.boundary.read.bias[:2] = math.log(reach)

    def forward(
        self,
        x: Tensor,
        valid: Tensor,
        points: Points,
        *,
        rows: Tensor | None = None,
    ) -> Prediction:
        """Return the beliefs at every point.

        Args:
            x: (B, R, width), zero at padding; valid: (B, R) bool.
            rows: which rows are points, (P,) integer; None: all are.
        """
        class_logits = self.classes(x, valid).float()
        boundary = self.boundary(x, valid).float()
        if rows is not None:
            class_logits, boundary, valid = class_logits[:, rows], boundary[:, rows], valid[:, rows]
        log_distance = boundary[..., :2]
        if self.log_scale is not None:
            log_distance = log_distance + self.log_scale[points.stride.log2().long(), None]
        return Prediction(
            points,
            valid,
            class_logits,
            log_distance.clamp(max=MAX_LOG_DISTANCE).exp() * points.stride[:, None],
            boundary[..., 2] if boundary.shape[-1] > 2 else None,
        )


class TSATAL(nn.Module):
    """Turns (B, T, D) features into class, boundary and actionness of every point.

    Args:
        width_in: D of the features.
        num_classes: C, without background.
        width: inside the head.
        softmax: exclusive classes with a background, the paper's; else sigmoid, multi-label.
        tsa: "hard" (the paper's), "soft", or "none" to leave the module out.
        tsa_threshold, tsa_reach: see `tsa.novelty` and `tsa.TemporalSelfAttention`.
        tpp: whether TPP is there. Without it the heads after TSA are final (one level), or the
            levels are halved and no more (several).
        pyramid_levels, dilations: see `tpp.TemporalPyramidPooling`.
        levels: temporal levels with heads of their own reach, the first with all T steps; 1 is
            the paper, more replace its TPP by `tpp.MultiLevelPooling`.
        first_reach: see `points.level_points`.
        early_depth, final_depth: convolution layers in the branches of the heads before TPP, and
            of those behind it.
        final_actionness: whether the final heads have an actionness, which scores are times.
        separable: whether convolutions behind the embedding are separable.
        input_dropout: share of the input values dropped in training.
        channel_dropout: share of the input channels dropped in training, each for a whole
            sequence: a class must not hang on a few of them.
        own_norm: how many of the embedding's channels are normalised over each sequence by
            itself, the others over the batch (Pan et al., "IBN-Net", 2018).
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
        tsa_reach: int | None,
        tpp: bool,
        pyramid_levels: int,
        dilations: Sequence[int],
        levels: int,
        first_reach: float,
        early_depth: int,
        final_depth: int,
        final_actionness: bool,
        separable: bool,
        input_dropout: float,
        channel_dropout: float,
        own_norm: int,
        reach_steps: float,
    ) -> None:
        super().__init__()
        self.softmax, self.levels, self.first_reach = softmax, levels, first_reach
        self.feature_scale: Tensor
        self.register_buffer("feature_scale", torch.ones(()))
        classes: dict[str, Any] = {"num_logits": num_classes + softmax, "softmax": softmax}
        early: dict[str, Any] = {**classes, "reach": reach_steps, "depth": early_depth}
        early["separable"] = separable
        self.dropout = nn.Dropout(input_dropout)
        self.channel_dropout = nn.Dropout(channel_dropout)
        self.embed = ConvBNReLU(width_in, width - own_norm, 3)
        self.embed_own = ConvINReLU(width_in, own_norm, 3) if own_norm else None
        self.pre_heads = self.tsa = None
        if tsa != "none":
            self.pre_heads = Heads(width, **early, actionness=False)
            self.tsa = TemporalSelfAttention(
                width, soft=tsa == "soft", threshold=tsa_threshold, reach=tsa_reach
            )
        self.shared_heads = Heads(width, **early, actionness=True)
        self.tpp: TemporalPyramidPooling | MultiLevelPooling | None = None
        self.final_heads = None
        if levels > 1:
            self.tpp = MultiLevelPooling(
                width + 1,
                width,
                levels=levels,
                dilations=dilations,
                context=tpp,
                separable=separable,
            )
        elif tpp:
            self.tpp = TemporalPyramidPooling(
                width + 1, width, pyramid_levels=pyramid_levels, dilations=dilations
            )
        if self.tpp is not None:
            self.final_heads = Heads(
                width,
                **classes,
                reach=reach_steps if levels == 1 else first_reach / 2,
                actionness=final_actionness,
                depth=final_depth,
                separable=separable,
                levels=levels,
            )

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
        steps = level_points(features.shape[1], device=features.device)
        kept = self.channel_dropout(features.new_ones(len(features), 1, features.shape[2]))
        x = self.dropout(turned(features) * (kept / self.feature_scale)) * valid[..., None]
        y = self.embed(x, valid)
        if self.embed_own is not None:
            y = join_widths([y, self.embed_own(x, valid)])
        pre = None
        if self.pre_heads is not None and self.tsa is not None:
            pre = self.pre_heads(y, valid, steps)
            probabilities = class_probabilities(pre.class_logits, softmax=self.softmax)
            y = self.tsa(y, valid, probabilities=probabilities, intervals=pre.intervals)
        refined: Prediction = self.shared_heads(y, valid, steps)
        if self.tpp is None or self.final_heads is None:
            return HeadOutput(pre=pre, refined=None, final=refined)
        assert refined.actionness_logits is not None
        y_act = refined.actionness_logits.sigmoid() * valid
        y = join_widths([y, y_act[..., None]])
        return HeadOutput(pre=pre, refined=refined, final=self._final(self.tpp, y, valid))

    def _final(
        self,
        tpp: TemporalPyramidPooling | MultiLevelPooling,
        y: Tensor,
        valid: Tensor,
    ) -> Prediction:
        """Return the prediction of the final heads behind TPP at every point of every level."""
        assert self.final_heads is not None
        num_steps = y.shape[1]
        points = level_points(
            num_steps, levels=self.levels, first_reach=self.first_reach, device=y.device
        )
        prediction: Prediction
        if isinstance(tpp, MultiLevelPooling):
            z, row_valid = tpp(y, valid)
            rows = tpp.point_rows(num_steps, y.device)
            prediction = self.final_heads(z, row_valid, points, rows=rows)
        else:
            prediction = self.final_heads(tpp(y, valid), valid, points)
        return prediction
