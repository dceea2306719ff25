"""Training samples: random windows of the cached features that hold most of one action."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..annotations import AnnotatedVideo
from ..features import FeatureFile, TimeAxis
from ..segments import seconds_to_steps
from .targets import Targets, assign_steps

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledVideo:
    """One video's actions on the axis of its feature rows.

    segments: (N, 2) float64, steps, clipped to where there are rows; labels: (N,) int64.
    """

    video_id: str
    axis: TimeAxis
    segments: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Window:
    """Rows `start : start + steps` of one video."""

    video: LabelledVideo
    start: int


@dataclass(frozen=True)
class Batch:
    """features (B, T, D) float, valid (B, T) bool, and the targets of every step."""

    features: Tensor
    valid: Tensor
    targets: Targets

    def to(self, device: torch.device) -> Batch:
        """Return the batch on `device`."""
        targets = Targets(self.targets.classes.to(device), self.targets.intervals.to(device))
        return Batch(self.features.to(device), self.valid.to(device), targets)


def label_videos(
    file: FeatureFile, videos: Mapping[str, AnnotatedVideo], labels: Sequence[str]
) -> list[LabelledVideo]:
    """Return the annotated videos in steps; actions outside the rows or of other labels are left
    out, and how many is logged."""
    index = {label: n for n, label in enumerate(labels)}
    labelled = []
    left_out = 0
    for video in videos.values():
        axis = file.time_axis(video.video_id)
        kept = [i for i in video.instances if i.label in index]
        seconds = np.array([(i.start_sec, i.end_sec) for i in kept], dtype=float).reshape(-1, 2)
        steps = seconds_to_steps(seconds, start_sec=axis.start_sec, step_sec=axis.step_sec)
        steps = steps.clip(-0.5, axis.num_steps - 0.5)  # each row stands for half a step each side
        has_rows = steps[:, 1] > steps[:, 0]
        left_out += int((~has_rows).sum())
        classes = np.array([index[i.label] for i in kept], dtype=np.int64)
        labelled.append(LabelledVideo(video.video_id, axis, steps[has_rows], classes[has_rows]))
    if left_out:
        logger.warning("%d actions without length or without rows are left out", left_out)
    return labelled


def window_start(
    segment: np.ndarray,
    *,
    window_steps: int,
    num_steps: int,
    min_share: float,
    rng: np.random.Generator,
) -> int:
    """Return where a random window starts that holds at least `min_share` of `segment`.

    Drawn uniformly from the starts that qualify, in closed form (paper 3.2, where it is called
    a tIoU; a real tIoU of 0.75 cannot be had for actions shorter than the window). Of an action
    too long for that, the window lies inside it. A video shorter than the window starts at 0.

    Args:
        segment: (start, end) in steps, within the video.
        num_steps: of the video.
    """
    start, end = segment
    need = min(min_share * (end - start), window_steps)
    low = max(math.ceil(start + need - window_steps), 0)
    high = min(math.floor(end - need), num_steps - window_steps)
    if high <= low:  # the action fills the window, or the window the video: no choice left
        return max(min(low, num_steps - window_steps), 0)
    return int(rng.integers(low, high + 1))


def draw_windows(
    videos: Iterable[LabelledVideo],
    *,
    window_steps: int,
    windows_per_video: int,
    min_share: float,
    rng: np.random.Generator,
) -> list[Window]:
    """Return one pass over the data: so many windows of every video, in random order.

    Each window is drawn around one action, all actions of a video equally often. Videos without
    actions give no windows, since every sample must hold one.
    """
    windows = []
    for video in videos:
        count = len(video.segments)
        if count == 0:
            continue
        rounds = math.ceil(windows_per_video / count)
        order = np.concatenate([rng.permutation(count) for _ in range(rounds)])
        windows += [
            Window(
                video,
                window_start(
                    video.segments[n],
                    window_steps=window_steps,
                    num_steps=video.axis.num_steps,
                    min_share=min_share,
                    rng=rng,
                ),
            )
            for n in order[:windows_per_video]
        ]
    return [windows[n] for n in rng.permutation(len(windows))]


def batches(
    file: FeatureFile,
    windows: Sequence[Window],
    *,
    streams: Sequence[str],
    window_steps: int,
    num_classes: int,
    batch_size: int,
) -> Iterator[Batch]:
    """Yield the windows as batches, padded behind where a video is shorter than the window."""
    for first in range(0, len(windows), batch_size):
        chosen = windows[first : first + batch_size]
        rows = [
            file.rows(w.video.video_id, streams, w.start, w.start + window_steps) for w in chosen
        ]
        targets = [
            window_targets(w, window_steps=window_steps, num_classes=num_classes) for w in chosen
        ]
        features, valid = pad_rows(rows, window_steps)
        yield Batch(
            features,
            valid,
            Targets(
                torch.stack([t.classes for t in targets]),
                torch.stack([t.intervals for t in targets]),
            ),
        )


def window_targets(window: Window, *, window_steps: int, num_classes: int) -> Targets:
    """Return the targets of one window; actions may reach beyond its ends."""
    segments = torch.from_numpy(window.video.segments - window.start).float()
    labels = torch.from_numpy(window.video.labels)
    touching = (segments[:, 1] > -0.5) & (segments[:, 0] < window_steps - 0.5)
    return assign_steps(
        segments[touching], labels[touching], num_steps=window_steps, num_classes=num_classes
    )


def pad_rows(rows: Sequence[np.ndarray], steps: int) -> tuple[Tensor, Tensor]:
    """Return sequences (t, D), t <= steps, as (B, steps, D) with zeros behind, and their mask."""
    features = torch.zeros(len(rows), steps, rows[0].shape[1])
    valid = torch.zeros(len(rows), steps, dtype=torch.bool)
    for n, r in enumerate(rows):
        features[n, : len(r)] = torch.from_numpy(r)
        valid[n, : len(r)] = True
    return features, valid


def feature_scale(
    file: FeatureFile, videos: Sequence[LabelledVideo], streams: Sequence[str], *, max_videos: int
) -> float:
    """Return the root mean square of all features of evenly spread videos; 1 if all are zero."""
    chosen = videos[:: math.ceil(len(videos) / max_videos)]
    squares = [np.mean(file.rows(v.video_id, streams).astype(np.float64) ** 2) for v in chosen]
    return math.sqrt(float(np.mean(squares))) or 1.0
