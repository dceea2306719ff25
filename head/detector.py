"""A trained head at work: features of one video in, detections out.

`load_detector(RUN)` is all that a notebook or another program needs; `pipeline` uses the same.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..config import Config
from ..errors import InputError
from ..evaluation.operating_point import OperatingPoint, learn_operating_point
from ..formats.annotations import ActionnessCurve, Annotations, VideoDetections
from ..formats.features import FeatureFile, TimeAxis
from ..formats.limits import check_size
from ..formats.subsets import videos_in_subset
from .checkpoint import MISFITS, last_line
from .decode import decode_video, score_video
from .packed import run_folder, saved_head
from .run import (
    CONFIG_FILE,
    RunData,
    build_head,
    load_operating_point,
    load_run_description,
    save_operating_point,
)

logger = logging.getLogger(__name__)

SCORE_BYTES = 24  # of memory for each class at each row: of all levels, and of what sorts them


@dataclass(frozen=True)
class Detector:
    """A head with all that is needed to read its output; trained for `epoch` epochs, if known.

    point: calibrates the scores, and says from which on they count; without it, scores are the
        head's own.
    """

    head: nn.Module
    config: Config
    data: RunData
    device: torch.device
    epoch: int | None = None
    point: OperatingPoint | None = None

    def __call__(self, rows: np.ndarray, axis: TimeAxis) -> VideoDetections:
        """Return the detections and the actionness of one video, whatever their scores.

        Args:
            rows: features as the run was trained on, (T, D) float32.
            axis: where they stand in time.
        Raises:
            InputError: rows of another width.
        """
        if rows.ndim != 2 or rows.shape[1] != self.data.width:
            raise InputError(f"features are {rows.shape}, the run needs (T, {self.data.width})")
        decode = self.config.decode
        check_size(
            SCORE_BYTES * len(rows) * len(self.data.labels),
            f"scores of {len(self.data.labels):,} classes at {len(rows):,} rows",
        )
        # Float32 is float32: on CUDA convolutions round to TF32's 10 bits unless told not to.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            points = score_video(
                self.head,
                rows,
                decode,
                window_steps=decode.window_steps or self.config.data.window_steps,
                align=2 ** (self.config.model.levels - 1),
                batch_size=self.config.optim.batch_size,
                device=self.device,
            )
        detections = decode_video(points, axis, self.data.labels, decode)
        if self.point and self.point.calibration:
            detections = self.point.calibration.apply(detections)
        values = tuple(round(float(v), 4) for v in points.actionness)
        return VideoDetections(detections, ActionnessCurve(axis.start_sec, axis.step_sec, values))

    def in_file(self, file: FeatureFile, video_id: str) -> VideoDetections:
        """Return the detections and the actionness of one video of a feature file."""
        return self(file.rows(video_id, self.data.streams), file.time_axis(video_id))


def load_detector(
    run_dir: str | Path,
    *,
    checkpoint: str = "last",
    device: str | torch.device = "cpu",
    changes: Sequence[str] = (),
    own_scores: bool = False,
) -> Detector:
    """Return the detector that a training left in its folder, with its averaged weights.

    Args:
        run_dir: the run's folder, a packed model, or one on the hub; see `packed.run_folder`.
        checkpoint: "last", or "best", which was chosen by its mAP on the validation subset.
        device: `cpu` or `cuda`.
        changes: see `run.load_run_description`.
        own_scores: leave scores as the head gives them, neither calibrated nor with thresholds.
    Raises:
        InputError: the folder does not hold a run, or not that checkpoint, or one that does not
            fit the run's settings; a wrong change.
    """
    run_dir, device = run_folder(run_dir), torch.device(device)
    config, data = load_run_description(run_dir, changes)
    head = build_head(config, data)
    path, weights, epoch = saved_head(run_dir, checkpoint)
    try:
        head.load_state_dict(weights)
    except MISFITS as e:
        raise InputError(
            f"{path}: does not fit {run_dir / CONFIG_FILE} ({last_line(e)})"
            "; put back the two of one training, or train anew"
        ) from None
    point = None if own_scores else load_operating_point(run_dir)
    if point and (changes or checkpoint == "best"):
        logger.info(
            "%s: its thresholds and calibration are those of its last weights and own settings",
            run_dir,
        )
    return Detector(head.to(device).eval(), config, data, device, epoch, point)


def choose_anew(
    run_dir: Path,
    detector: Detector,
    file: FeatureFile,
    truth: Annotations,
    *,
    precision: float | str,
) -> Detector:
    """Return the detector of a run with other thresholds, which are stored in the run.

    Args:
        file, truth: hold the run's validation videos.
        precision: least one wanted on these, in (0, 1); or `f1` for the best F1.
    """
    own_scores, subset = replace(detector, point=None), detector.data.subsets.validation
    videos = videos_in_subset(file, truth, subset)
    found = {video_id: own_scores.in_file(file, video_id).detections for video_id in videos}
    least = None if isinstance(precision, str) else precision
    point = learn_operating_point(videos, found, subset=subset, precision=least)
    save_operating_point(run_dir, point)
    return replace(detector, point=point)
