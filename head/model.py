"""The whole head (paper 2): pre-judgement before TSA, TSA, shared heads, TPP, final heads."""

from __future__ import annotations

import math
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from ..config import ModelConfig
from ..formats.limits import check_size
from .aggregation import with_aggregated_classes
from .feature_stats import FeatureStats
from .layers import ConvBNReLU, ConvINReLU
from .points import Points, level_points
from .prediction import HeadOutput, Prediction
from .pyramid import MultiLevelPooling
from .tpp import TemporalPyramidPooling
from .tsa import TemporalSelfAttention

MAX_LOG_DISTANCE = math.log(1e5)  # strides; keeps exp() finite on wild features
LAYER_BYTES = 24  # of memory for each channel of each row, of what is held at once
PRIOR = 0.01  # the probability of an action before training, as in Lin et al., "Focal Loss" (2017)


class Branch(nn.Module):
    """`depth` convolution layers of kernel 3 and a linear read-out, at every row."""

    def __init__(self, width: int, width_out: int, *, depth: int, separable: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            ConvBNReLU(width, width, 3, separable=separable) for _ in range(depth)
        )
        self.read = nn.Linear(width, width_out)
        nn.init.normal_(self.read.weight, std=0.01)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Return the read-out of every row, (B, R, width_out) float32; not zero at padding."""
        for layer in self.layers:
            x = layer(x, valid)
        # As a convolution, the linear layer needs no sequence transposed.
        out = nn.functional.conv1d(x, self.read.weight[..., None], self.read.bias)
        return out.float().transpose(1, 2)  # (B, R, width_out)


class Heads(nn.Module):
    """Class, boundary and actionness of every point, from convolutions that all points share.

    (Paper 2: "different convolutions" give distribution, classifier and time boundaries.)

    Args:
        model: `width` of the input, `classes`, `separable`, and `shared_heads`.
        num_classes: C, without background.
        depth: convolution layers of each branch, or of the trunk that all of them share.
        distance: to start and end before training (a typical half length), in strides.
        actionness: whether there is an actionness head.
        levels: how many levels share the heads; each has its own factor for distances.
    """

    def __init__(
        self,
        model: ModelConfig,
        num_classes: int,
        *,
        depth: int,
        distance: float,
        actionness: bool,
        levels: int = 1,
    ) -> None:
        super().__init__()
        self.exclusive = model.classes == "softmax"
        shared = model.shared_heads != "none"
        self.trunk = nn.ModuleList(
            ConvBNReLU(model.width, model.width, 3, separable=model.separable)
            for _ in range(depth if shared else 0)
        )
        depth = 0 if shared else depth
        branch = partial(Branch, model.width, depth=depth, separable=model.separable)
        self.classes = branch(num_classes + self.exclusive)
        self.boundary = branch(2 + actionness)
        self.log_scale = nn.Parameter(torch.zeros(levels)) if levels > 1 else None
        with torch.no_grad():
            log_odds = 0.0 if self.exclusive else math.log(PRIOR / (1 - PRIOR))
            self.classes.read.bias.fill_(log_odds)
            self.boundary.read.bias.zero_()
            self.boundary.read.bias[:2] = math.log(distance)

    def share_convolutions_of(self, other: Heads) -> None:
        """Take over another stage's convolutions and read-outs (paper 2).

        Norms stay apart: a running mean over the rows of two stages would suit neither.
        """
        for own, theirs in zip(self.trunk, other.trunk, strict=True):
            cast(ConvBNReLU, own).conv = cast(ConvBNReLU, theirs).conv
        self.classes.read, self.boundary.read = other.classes.read, other.boundary.read

    def forward(self, x: Tensor, valid: Tensor, points: Points) -> Prediction:
        """Return the beliefs at every point.

        Args:
            x: (B, width, R), zero at padding; valid: (B, R) bool.
            points: P of the R rows.
        """
        for layer in self.trunk:
            x = layer(x, valid)
        class_logits, boundary = self.classes(x, valid), self.boundary(x, valid)
        if points.rows is not None:
            class_logits, boundary = class_logits[:, points.rows], boundary[:, points.rows]
            valid = valid[:, points.rows]
        log_distance = boundary[..., :2]  # (B, P, 2); open in the paper
        if self.log_scale is not None:
            log_distance = log_distance + self.log_scale[points.stride.log2().round().long(), None]
        distances = log_distance.clamp(max=MAX_LOG_DISTANCE).exp() * points.stride[:, None]
        actionness = boundary[..., 2] if boundary.shape[-1] > 2 else None
        return Prediction(points, valid, class_logits, self.exclusive, distances, actionness)


class TSATAL(nn.Module):
    """Turns (B, T, D) features into class, boundary and actionness of every point.

    Args:
        model: see each setting's sentence in `config.ModelConfig`. With `levels` above 1, the
            paper's TPP is replaced by `pyramid.MultiLevelPooling`; with `tpp` off, the heads after
            TSA are final (one level), or levels are only halved (several).
        width_in: D of the features.
        num_classes: C, without background.
        half_length: of a typical action, in steps.
        own_norm: the number of the embedding's channels that are normalised over each sequence
            by itself, the others over the batch (Pan et al., "IBN-Net", 2018; not in the paper).
    """

    def __init__(
        self,
        model: ModelConfig,
        *,
        width_in: int,
        num_classes: int,
        half_length: float,
        own_norm: int = 0,
    ) -> None:
        super().__init__()
        self.feature_scale: Tensor
        self.register_buffer("feature_scale", torch.ones(()))
        self.feature_mean: Tensor | None
        self.feature_gain: Tensor | None
        # For each auto, `run.settled` puts what it means before a training.
        each = model.standardise is True
        self.register_buffer("feature_mean", torch.zeros(width_in) if each else None)
        self.register_buffer("feature_gain", torch.ones(width_in) if each else None)
        self.width = model.width
        self.dropout = nn.Dropout(model.input_dropout)
        self.channel_dropout = nn.Dropout(
            0.0 if model.channel_dropout == "auto" else model.channel_dropout
        )
        self.connect = None
        if model.fully_connected is not None:
            self.connect = nn.Linear(width_in, model.fully_connected)
            width_in = model.fully_connected
        self.embed = ConvBNReLU(width_in, model.width - own_norm, 3)
        self.embed_own = ConvINReLU(width_in, own_norm, 3) if own_norm else None
        more = 0 if model.embed_depth == "auto" else model.embed_depth - 1
        self.embed_more = nn.ModuleList(
            ConvBNReLU(model.width, model.width, 3) for _ in range(more)
        )
        heads = partial(Heads, model, num_classes)
        early = partial(heads, depth=model.early_depth, distance=half_length)
        self.pre_heads = self.tsa = self.tpp = self.final_heads = None
        if model.tsa != "none":
            self.pre_heads = early(actionness=False)
            self.tsa = TemporalSelfAttention(model)
        self.shared_heads = early(actionness=True)
        if model.levels > 1 or model.tpp:
            one_level = model.levels == 1
            self.tpp = TemporalPyramidPooling(model) if one_level else MultiLevelPooling(model)
            self.final_heads = heads(
                depth=model.final_depth,
                distance=half_length if one_level else model.first_reach / 2,
                actionness=model.final_actionness,
                levels=model.levels,
            )
            if model.shared_heads == "stages":
                self.final_heads.share_convolutions_of(self.shared_heads)
        self.aggregate = model.aggregate

    def normalise_features(self, stats: FeatureStats) -> None:
        """Fix how features are normalised on entry: extractors differ by orders of magnitude.

        By one number for all channels, no offset: zero then stays "absent" for the dropout of
        pooled post-ReLU features, and what is common to all steps leaves in the first batch norm.
        Or, with `standardise`, every channel by its own mean and deviation.
        """
        if self.feature_mean is None or self.feature_gain is None:
            self.feature_scale.fill_(stats.scale)
        else:
            self.feature_mean.copy_(torch.from_numpy(stats.mean))
            self.feature_gain.copy_(torch.from_numpy(1 / stats.deviation))

    def forward(self, features: Tensor, valid: Tensor) -> HeadOutput:
        """Return the predictions of all stages (paper 2; its figure 1 is lost).

        Args:
            features: (B, T, D_in) float.
            valid: True at real steps, False at padding, (B, T) bool.
        Raises:
            ValueError: `features` and `valid` disagree on B or T.
        """
        if features.shape[:2] != valid.shape:
            raise ValueError(f"features {tuple(features.shape)}, valid {tuple(valid.shape)}")
        if features.device.type == "cpu":  # where too much memory is not refused by itself
            rows, width = valid.numel(), max(self.width, features.shape[2])
            check_size(
                LAYER_BYTES * rows * width,
                f"a head of width {width} on {rows:,} rows at once",
                instead="a smaller optim.batch_size, data.window_steps or decode.window_steps",
            )
        steps = level_points(features.shape[1], device=features.device)
        x = self._prepare(features, valid)  # 2.1, (B, D_in, T)
        if self.connect is not None:  # 2: the fully connected layer
            x = self.connect(x.transpose(1, 2)).transpose(1, 2) * valid[:, None]
        y = self.embed(x, valid)  # 2: y, from d' values to d; (B, D, T)
        if self.embed_own is not None:  # (not in the paper)
            y = torch.cat([y, self.embed_own(x, valid)], dim=1)
        for layer in self.embed_more:
            y = layer(y, valid)

        pre = None
        if self.pre_heads is not None and self.tsa is not None:
            pre = self.pre_heads(y, valid, steps)  # 2.2: "by decoding", f1 and f2
            beliefs = {"probabilities": pre.probabilities, "intervals": pre.intervals}
            y = self.tsa(y, valid, **beliefs)  # 2.2: TSA, Eq. 1-4; the refined y^, (B, D, T)
        refined = self.shared_heads(y, valid, steps)  # 2: distribution, classifier, boundaries
        if self.tpp is None or self.final_heads is None:
            return HeadOutput(pre, None, refined)

        y_act = refined.actionness_logits.sigmoid() * valid  # 2.3: the distribution, (B, T)
        y_fuse = torch.cat([y, y_act[:, None]], dim=1)  # 2.3: fusion [y^, y_act], (B, D + 1, T)
        z, z_valid, points = self.tpp(y_fuse, valid)  # 2.3: TPP, Eq. 7 and 8; (B, D, R)
        final = self.final_heads(z, z_valid, points)  # 2: the refined action instances
        if self.aggregate:
            final = with_aggregated_classes(final)  # 2.3: mask, aggregation, softmax
        return HeadOutput(pre, refined, final)

    def _prepare(self, features: Tensor, valid: Tensor) -> Tensor:
        """Return the features transposed, normalised, and with dropout in training, (B, D_in, T).

        (Not in the paper.) A channel is dropped for a whole sequence: no class may hang on a few.
        """
        if self.feature_mean is not None and self.feature_gain is not None:
            features = (features - self.feature_mean) * self.feature_gain
        x = features.transpose(1, 2).contiguous()  # (B, D_in, T)
        kept = self.channel_dropout(x.new_ones(*x.shape[:2], 1))
        return self.dropout(x * (kept / self.feature_scale)) * valid[:, None]
