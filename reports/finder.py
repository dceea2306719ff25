"""A run's head over one video after the other: rows in, the detections that count out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InputError, shown
from ..evaluation.video_scores import with_video_scores
from ..formats.features import FeatureFile, TimeAxis, VideoFeatures
from ..formats.video_scores import VideoScores
from ..head.detector import Detector
from .detections import DetectedVideo

logger = logging.getLogger(__name__)


@dataclass
class Finder:
    """Finds actions in one video after the other, and keeps those that count, by video.

    For all but `found`, see `detect`. Without a `min_score`, the detector's thresholds hold.
    """

    detector: Detector
    labels: Sequence[str]
    paths: Mapping[str, Path]
    min_score: float | None
    top: int | None
    scores: VideoScores | None
    on_video: Callable[[DetectedVideo], None]
    found: dict[str, DetectedVideo] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Say which thresholds hold."""
        if self.min_score is None and self.detector.point:
            logger.info(
                "keeping what scores at least the run's thresholds (%s); --min-score 0 keeps all",
                self.detector.point.in_words,
            )

    def in_file(self, file: FeatureFile, video_ids: Iterable[str]) -> None:
        """Find actions in videos of a feature file."""
        for video_id in video_ids:
            rows = file.rows(video_id, self.detector.data.streams)
            self._in_rows(video_id, rows, file.time_axis(video_id))

    def in_features(self, video: VideoFeatures) -> None:
        """Find actions in a video that was just extracted."""
        rows = video.rows(self.detector.data.streams)
        self._in_rows(video.video_id, rows, video.axis)

    def _in_rows(self, video_id: str, rows: np.ndarray, axis: TimeAxis) -> None:
        if video_id in self.found:
            raise InputError(
                f"two videos have the id {shown(video_id)}; detect in one after the other"
            )
        seen = self.detector(rows, axis)
        detections = seen.detections
        if self.scores:
            one = {video_id: detections}
            classes = self.detector.data.labels
            weighted = with_video_scores(one, self.scores, self.labels, classes=classes)
            detections = weighted[video_id]
        kept = [d for d in detections if d.score >= self._least(d.label)][: self.top]
        self.found[video_id] = DetectedVideo(
            video_id,
            axis.duration_sec,
            kept,
            seen.actionness,
            self.labels,
            self.paths.get(video_id),
        )
        self.on_video(self.found[video_id])

    def _least(self, label: str) -> float:
        if self.min_score is None and self.detector.point:
            return self.detector.point.of(label)
        return self.min_score or 0.0
