"""Statistics of the training features, for the head to be built: scale, and videos as a whole.

The rows of a video have things in common: place, camera, light, person. If videos differ in these
more than in their classes, a head that sees few videos learns them by heart. `run.build_head`
decides by these numbers whether the head normalises within each video (not in the paper).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..formats.features import FeatureFile
from .channel_scales import deviations, probe, rows_of_each, should_be_standardised, together
from .windows import LabelledVideo

ENOUGH_VIDEOS = 200  # that are read for the statistics


@dataclass(frozen=True)
class FeatureStats:
    """Statistics of the features of a data set's videos.

    scale: the root mean square of the features of videos with actions; 1 if all are zero.
    mean, deviation: of every channel, of the same videos, (D,), see `deviations`.
    standardise: whether channels should be standardised, see `channel_scales`.
    between_videos: the share of the features' variance that lies between videos, in [0, 1].
    classes_told: how well a video's mean row predicts its classes, from 0 (by chance) to 1.
    """

    scale: float
    mean: np.ndarray
    deviation: np.ndarray
    standardise: bool
    between_videos: float
    classes_told: float


def measure_features(
    file: FeatureFile, videos: Sequence[LabelledVideo], streams: Sequence[str]
) -> FeatureStats:
    """Return the statistics of evenly spread videos, each of which counts as much.

    Every video is read once; one without rows says nothing. The scale is that of the videos that
    windows are drawn from, those with actions; how videos differ is measured on all of them.
    """
    measured = {v.video_id for v in evenly_spread(videos)}
    scaled = {v.video_id for v in evenly_spread([v for v in videos if v.labels.size])}
    num_classes = max((int(v.labels.max()) + 1 for v in videos if v.labels.size), default=0)
    most = rows_of_each(len(scaled), file.width(streams))
    firsts, squares, probes = [], [], []
    means, variances, shares = [], [], []
    for video in videos:
        if video.video_id not in measured | scaled:
            continue
        rows = file.rows(video.video_id, streams).astype(np.float64)
        if not len(rows):  # which nothing can be told from
            continue
        if video.video_id in scaled:
            firsts.append(rows.mean(0))
            squares.append((rows**2).mean(0))
            probes.append(probe(rows, video, num_classes, most=most))
        if video.video_id in measured:
            means.append(rows.mean(0))
            variances.append(rows.var(0).sum())
            shares.append(time_shares(video, num_classes))
    between = np.var(means, axis=0).sum()
    total = between + np.mean(variances)
    nothing = [np.zeros_like(means[0])]
    mean, square = (np.mean(of_videos or nothing, axis=0) for of_videos in (firsts, squares))
    deviation = deviations(mean, square)
    return FeatureStats(
        math.sqrt(float(square.mean())) or 1.0,
        mean,
        deviation,
        bool(probes) and should_be_standardised(deviation, together(probes)),
        float(between / (total or 1.0)),
        classes_told(np.stack(means), np.stack(shares)),
    )


def evenly_spread(videos: Sequence[LabelledVideo]) -> Sequence[LabelledVideo]:
    """Return at most `ENOUGH_VIDEOS` videos, evenly spread."""
    return videos[:: max(1, math.ceil(len(videos) / ENOUGH_VIDEOS))]


def time_shares(video: LabelledVideo, num_classes: int) -> np.ndarray:
    """Return each class's share of the time of a video's actions, (num_classes,), or zeros."""
    lengths = np.diff(video.segments, axis=1).ravel()
    seconds = np.bincount(video.labels, weights=lengths, minlength=num_classes)
    return np.asarray(seconds / (seconds.sum() or 1.0))


def classes_told(means: np.ndarray, shares: np.ndarray) -> float:
    """Return how well a video's mean row predicts its classes, from 0 (by chance) to 1.

    The class shares of a video are compared with those of the video of the nearest mean: their
    overlap, less the mean overlap with any other video, over the most that this can be (the form
    of Cohen's kappa). 0 too where all videos have the same classes, and where there are none.

    Args:
        means: of the rows of each video, (V, D).
        shares: of the classes in each video, (V, C), zeros if it has no actions.
    """
    there = shares.sum(axis=1) > 0
    means, shares = means[there] - means.mean(axis=0), shares[there]
    count = len(means)
    if count < 2:
        return 0.0
    overlap = np.stack([np.minimum(own, shares).sum(axis=1) for own in shares])  # (V, V)
    squares = (means**2).sum(axis=1)
    distance = squares[:, None] + squares - 2 * means @ means.T
    np.fill_diagonal(distance, np.inf)
    of_nearest = overlap[np.arange(count), distance.argmin(axis=1)].mean()
    of_any = overlap[~np.eye(count, dtype=bool)].mean()
    if of_any >= 1 - 1e-9:
        return 0.0
    return float(max((of_nearest - of_any) / (1 - of_any), 0.0))
