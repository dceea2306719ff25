"""In what the videos of a data set differ as a whole, and whether that tells their classes.

Place, camera, light and person are the same in all rows of a video, and sometimes its class is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..formats.features import FeatureFile
from .dataset import ENOUGH_VIDEOS, LabelledVideo, evenly_spread


@dataclass(frozen=True)
class BetweenVideos:
    """What lies between the videos of a feature file.

    variance: its share of the features' variance, in [0, 1].
    classes: how well it tells a video's classes, from 0, as by chance, to 1.
    """

    variance: float
    classes: float


def between_videos(
    file: FeatureFile,
    videos: Sequence[LabelledVideo],
    streams: Sequence[str],
    *,
    max_videos: int = ENOUGH_VIDEOS,
) -> BetweenVideos:
    """Return how evenly spread videos differ as a whole, each of which counts as much."""
    means, variances, shares = [], [], []
    num_classes = max((int(v.labels.max()) + 1 for v in videos if v.labels.size), default=0)
    for video in evenly_spread(videos, max_videos):
        rows = file.rows(video.video_id, streams).astype(np.float64)
        means.append(rows.mean(0))
        variances.append(rows.var(0).sum())
        shares.append(class_shares(video, num_classes))
    return BetweenVideos(
        variance_between(np.stack(means), np.stack(variances)),
        classes_told(np.stack(means), np.stack(shares)),
    )


def class_shares(video: LabelledVideo, num_classes: int) -> np.ndarray:
    """Return each class's share of the time of a video's actions, (num_classes,), or zeros."""
    lengths = np.diff(video.segments, axis=1).ravel()
    seconds = np.bincount(video.labels, weights=lengths, minlength=num_classes)
    return np.asarray(seconds / (seconds.sum() or 1.0))


def variance_between(means: np.ndarray, variances: np.ndarray) -> float:
    """Return the share of the features' variance that lies between videos; 0 if nothing varies.

    Args:
        means: of the rows of each video, (V, D).
        variances: within each video, added up over channels, (V,).
    """
    between = means.var(axis=0).sum()
    return float(between / ((between + variances.mean()) or 1.0))


def classes_told(means: np.ndarray, shares: np.ndarray) -> float:
    """Return how well a video's mean row tells its classes, from 0, as by chance, to 1.

    That is how far the class shares of the video with the nearest mean overlap with its own, less
    how far those of any other video do on average, over the most that this can be (the form of
    Cohen's kappa). 0 too where all videos have the same classes, and where there are none.

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
