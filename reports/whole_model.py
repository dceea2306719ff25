"""Backbone, projection, head and scores as one ONNX file: frames in, scored segments out.

What is left to whoever uses it is to decode a video, and to take the best segment again and again;
`examples/run_onnx.py` does both in 30 lines.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ..config import DecodeConfig
from ..errors import InputError
from ..evaluation.calibration import Curve
from ..extract.backbones.table import whole_clip
from ..extract.engine import Recipe, prepare
from ..extract.settings import ExtractSettings
from ..formats.atomic import replacing
from ..formats.limits import check_size
from ..head.decode import agreement
from ..head.detector import Detector
from ..head.export import Exportable, onnx_bytes

INPUTS = ("frames", "seconds")
OUTPUTS = ("scores", "segments", "kept", "actionness")
DEFAULT_ROWS = 128  # that a file takes; a head's window may be far longer than memory allows
FEWEST_FRAMES = 2  # a row
EXAMPLE_ROWS = 9  # of the clip that the export is traced with
# Of memory for each pixel of a frame: the largest layers' input, output and shortcut, in float32.
BYTES_PER_PIXEL = 200
ALMOST_ONE = 1 - 2.0**-53  # the logarithm of what is missing to 1 stays finite


class WholeModel(nn.Module):
    """Frames of one clip to the scores and the segments of all points.

    Args:
        backbone: see `table.whole_clip`.
        recipe: of the run's features.
        head: what the run has learned.
        decode: of the run.
        rows: the most that a clip may have.
    """

    def __init__(
        self,
        backbone: nn.Module,
        recipe: Recipe,
        head: Exportable,
        decode: DecodeConfig,
        rows: int,
    ) -> None:
        super().__init__()
        self.decode = decode
        settings = recipe.settings
        self.backbone, self.head, self.rows = backbone, head, rows
        self.start_sec, self.step_sec = settings.start_sec, settings.step_sec
        self.as_float16 = settings.store == "float16"
        matrix = recipe.projections.get("rgb")
        factor = None if matrix is None else torch.from_numpy(matrix).double()
        self.register_buffer("projection", factor)

    def forward(self, frames: Tensor, seconds: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the predictions for one clip, at P points, ready for suppression.

        Args:
            frames: (N, crop, crop, 3) uint8, RGB.
            seconds: how long the video is, a double.
        Returns:
            scores, segments, kept: see `ready_for_suppression`; 0 at points after the clip.
            actionness: of every row, (rows,) in [0, 1]; 0 after the clip.
        """
        rows = self.backbone(frames)  # (t, D)
        if self.projection is not None:
            rows = (rows.double() @ self.projection).float()
        if self.as_float16:
            rows = rows.half().float()
        count = rows.shape[0]
        features = pad(rows, (0, 0, 0, self.rows - count))[None]
        valid = (torch.arange(self.rows) < count)[None]
        scores, intervals, point_valid, actionness = self.head(features, valid)
        segments = (self.start_sec + intervals[0] * self.step_sec).double().clamp(min=0)
        ready = ready_for_suppression(
            (scores[0] * point_valid[0][:, None]).double().T,
            torch.minimum(segments, seconds),
            min_score=self.decode.min_score,
            sigma=self.decode.nms_sigma,
            voting_tiou=self.decode.voting_tiou,
        )
        return (*ready, actionness[0] * valid[0])


def ready_for_suppression(
    scores: Tensor,
    segments: Tensor,
    *,
    min_score: float,
    sigma: float,
    voting_tiou: float | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return all that `nms.soft_nms` and `nms.vote` make of points, but for the order.

    Soft-NMS is then: while the best score of a class is `min_score` or more, take its segment, and
    multiply all scores of the class by its row of `kept`.

    Args:
        scores: (C, P) double; segments: (P, 2) double, in seconds.
        min_score, sigma, voting_tiou: see `config.DecodeConfig`.
    Returns:
        scores: (C, P), 0 where they are below `min_score`, or the segment has no length.
        segments: each averaged with those of its class that are much like it, (C, P, 2).
        kept: the share of its score that each point keeps when another is taken, (P, P), 0 of that
            one itself.
    """
    start, end = segments.unbind(1)
    length = end - start
    inside = torch.minimum(end[:, None], end) - torch.maximum(start[:, None], start)
    inside = inside.clamp(min=0)
    tiou = inside / (length[:, None] + length - inside).clamp(min=1e-9)
    live = torch.where((scores >= min_score) & (length > 0), scores, 0).clamp(max=ALMOST_ONE)
    votes = torch.eye(len(segments), dtype=tiou.dtype)
    if voting_tiou is not None:
        votes = torch.where(tiou >= voting_tiou, tiou, 0)
    total = (votes @ live[..., None]).clamp(min=1e-30)
    averaged = votes @ (live[..., None] * segments) / total
    others = 1 - torch.eye(len(segments), dtype=tiou.dtype)
    return live, averaged, torch.exp(-(tiou**2) / sigma) * others


def export_whole(
    detector: Detector, settings: ExtractSettings, out: Path, *, rows: int | None
) -> Path:
    """Write a detector and the backbone of its features as one ONNX file.

    Args:
        settings: of the extraction of the run's features.
        rows: the most that a clip may have; as many as the head's windows have, at most 128,
            where not given.
    Raises:
        InputError: a backbone that cannot be exported whole, or the packages that write ONNX are
            missing.
    """
    family = settings.family
    if out.suffix != ".onnx":
        raise InputError(f"{out}: must end in .onnx with --whole")
    if detector.data.streams != ("rgb",) or not settings.exact:
        raise InputError(
            f"--whole: a file takes RGB frames, and rows of the uncut video; the features are of "
            f"{', '.join(detector.data.streams)} with context {settings.context}: export the head"
        )
    recipe = prepare(settings.changed(dtype="float32"), device="cpu")
    backbone = whole_clip(family, recipe.weights["rgb"])
    if backbone is None:
        raise InputError(
            f"--whole: works for the backbone i3d_r50 alone; the features are of {family.name}: "
            "export the head, and make rows with tsatal"
        )
    rows = rows or min(detector.config.data.window_steps, DEFAULT_ROWS)
    most = rows * settings.stride
    check_size(
        BYTES_PER_PIXEL * most * settings.crop**2,
        f"--whole: a clip of {most:,} frames of {settings.crop} x {settings.crop} pixels",
        instead="a smaller --steps",
    )
    head = Exportable(detector.head, class_agreement=agreement(detector.config.decode))
    whole = WholeModel(backbone, recipe, head, detector.config.decode, rows).eval()
    example = torch.zeros(
        min(EXAMPLE_ROWS, rows) * settings.stride, settings.crop, settings.crop, 3,
        dtype=torch.uint8,
    )  # fmt: skip
    length = torch.export.Dim("frames", min=FEWEST_FRAMES, max=most)
    with torch.no_grad():
        program = torch.export.export(
            whole,
            (example, torch.tensor(1.0, dtype=torch.float64)),
            dynamic_shapes=({0: length}, None),
            # Strides of a batch of one are guarded by what holds for every length.
            prefer_deferred_runtime_asserts_over_guards=True,
        )
    facts = facts_of(detector, settings, most)
    content = onnx_bytes(program, facts, inputs=INPUTS, outputs=OUTPUTS)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as aside:
        aside.write_bytes(content)
    return out


def facts_of(detector: Detector, settings: ExtractSettings, most: int) -> dict[str, str]:
    """Return what a user of the file needs to know, as JSON by name."""
    labels, decode, point = detector.data.labels, detector.config.decode, detector.point
    calibration = point.calibration if point else None
    of = calibration.of if calibration else lambda label: Curve()
    facts: Mapping[str, Any] = {
        "labels": labels,
        "fps": settings.fps,
        "resize": settings.resize,
        "crop": settings.crop,
        "frames": {"least": FEWEST_FRAMES, "most": most},
        "decode": decode.model_dump(mode="json"),
        "thresholds": point.of_all(labels) if point else {},
        "calibration": {label: list(map(float, of(label).numbers())) for label in labels},
        "extraction": detector.data.extraction,
    }
    return {name: json.dumps(value) for name, value in facts.items()}
