"""A trained head at work: features of one video in, detections out.

`load_detector(RUN)` is all that a notebook or another program needs; `pipeline` uses the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..config import Config
from ..errors import InputError
from ..formats.annotations import ActionnessCurve, Detection
from ..formats.atomic import replacing
from ..formats.features import FeatureFile, TimeAxis
from .decode import decode_video, score_video
from .export import exported_program, save_onnx
from .run import RunData, load_head, load_run_description


@dataclass(frozen=True)
class Found:
    """What a head found in one video: detections, best first, and the actionness of every row."""

    detections: list[Detection]
    actionness: ActionnessCurve


@dataclass(frozen=True)
class Detector:
    """A head with what it takes to read its output."""

    head: nn.Module
    config: Config
    data: RunData
    device: torch.device

    def __call__(self, rows: np.ndarray, axis: TimeAxis) -> Found:
        """Return what is found in one video.

        Args:
            rows: features as the run was trained on, (T, D) float32.
            axis: where they stand in time.
        Raises:
            InputError: rows of another width.
        """
        if rows.ndim != 2 or rows.shape[1] != self.data.width:
            raise InputError(f"features are {rows.shape}, the run needs (T, {self.data.width})")
        decode = self.config.decode
        points = score_video(
            self.head,
            rows,
            softmax=self.config.model.classes == "softmax",
            class_agreement=decode.class_agreement,
            window_steps=decode.window_steps or self.config.data.window_steps,
            overlap=decode.window_overlap,
            align=2 ** (self.config.model.levels - 1),
            batch_size=self.config.optim.batch_size,
            device=self.device,
        )
        settings = decode.model_dump(exclude={"window_steps", "window_overlap", "class_agreement"})
        detections = decode_video(points, axis, self.data.labels, **settings)
        values = tuple(round(float(v), 4) for v in points.actionness)
        return Found(detections, ActionnessCurve(axis.start_sec, axis.step_sec, values))

    def in_file(self, file: FeatureFile, video_id: str) -> Found:
        """Return what is found in one video of a feature file."""
        return self(file.rows(video_id, self.data.streams), file.time_axis(video_id))


def load_detector(
    run_dir: str | Path,
    *,
    checkpoint: str = "last",
    device: str | torch.device = "cpu",
    changes: Sequence[str] = (),
) -> Detector:
    """Return the detector that a training left in its folder.

    Args:
        checkpoint: "last", or "best", which was chosen by its mAP on the validation subset.
        device: `cpu` or `cuda`.
        changes: see `runs.load_run_description`.
    Raises:
        InputError: the folder does not hold a run, or not that checkpoint; a wrong change.
    """
    config, data = load_run_description(Path(run_dir), changes)
    on = torch.device(device)
    return Detector(load_head(Path(run_dir), checkpoint=checkpoint, device=on), config, data, on)


def export_head(
    run_dir: Path, out: Path, *, steps: int | None = None, checkpoint: str = "last"
) -> Path:
    """Write a run's trained head as ONNX, or, where `out` ends so, as `.pt2` of `torch.export`.

    Args:
        steps: the number of rows that the file takes; as in training where not given.
    Raises:
        InputError: no such run, another ending, or the packages that write ONNX are missing.
    """
    if out.suffix not in (".onnx", ".pt2"):
        raise InputError(f"{out}: must end in .onnx or .pt2")
    detector = load_detector(run_dir, checkpoint=checkpoint)
    data, steps = detector.data, steps or detector.config.data.window_steps
    config = detector.config
    program = exported_program(
        detector.head,
        softmax=config.model.classes == "softmax",
        class_agreement=config.decode.class_agreement,
        steps=steps,
        width=data.width,
    )
    facts = {
        "labels": json.dumps(data.labels),
        "streams": json.dumps(data.streams),
        "extraction": json.dumps(data.extraction),
        "intervals": "steps: multiply by step_sec of the features and add their start_sec",
    }
    with replacing(out) as aside:
        if out.suffix == ".onnx":
            save_onnx(program, aside, facts)
        else:
            torch.export.save(program, aside, extra_files=facts)
    return out
