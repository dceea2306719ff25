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
from .windows import LabelledVideo

ENOUGH_VIDEOS = 200  # that are read for the statistics
# A channel that varies by less than a share of the largest deviation, or of its own mean, is
# constant.
LEAST_DEVIATION, LEAST_OF_MEAN = 1e-6, 1e-4
FAR_SMALLER, FAR_LARGER = 10.0, 100.0  # times, see `are_uneven`


@dataclass(frozen=True)
class FeatureStats:
    """Statistics of the features of a data set's videos.

    scale: the root mean square of the features of videos with actions; 1 if all are zero.
    mean, deviation: of every channel, of the same videos, (D,), see `deviations`.
    uneven: whether channels vary so unlike each other as only other units do, see `are_uneven`.
    between_videos: the share of the features' variance that lies between videos, in [0, 1].
    classes_told: how well a video's mean row predicts its classes, from 0 (by chance) to 1.
    """

    scale: float
    mean: np.ndarray
    deviation: np.ndarray
    uneven: bool
    between_videos: float
    classes_told: float


def measure_features(
    file: FeatureFile, videos: Sequence[LabelledVideo], streams: Sequence[str]
) -> FeatureStats:
    """Return the statistics of evenly spread videos, each of which counts as much.

    Every video is read once. The scale is that of the videos that windows are drawn from, those
    with actions; how videos differ is measured on all of them.
    """
    measured = {v.video_id for v in evenly_spread(videos)}
    scaled = {v.video_id for v in evenly_spread([v for v in videos if v.labels.size])}
    num_classes = max((int(v.labels.max()) + 1 for v in videos if v.labels.size), default=0)
    firsts, squares = [], []
    means, variances, shares = [], [], []
    for video in videos:
        if video.video_id not in measured | scaled:
            continue
        rows = file.rows(video.video_id, streams).astype(np.float64)
        if video.video_id in scaled:
            firsts.append(rows.mean(0))
            squares.append((rows**2).mean(0))
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
        are_uneven(deviation),
        float(between / (total or 1.0)),
        classes_told(np.stack(means), np.stack(shares)),
    )


def deviations(mean: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Return the standard deviation of every channel, (D,); infinite for those that do not vary.

    So dividing by it does not turn what rounding leaves of a constant into a signal.

    Args:
        mean, square: the means of values and of their squares, (D,).
    """
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
    least = np.maximum(LEAST_DEVIATION * deviation.max(), LEAST_OF_MEAN * abs(mean))
    return np.where(deviation > least, deviation, np.inf)


def are_uneven(deviation: np.ndarray) -> bool:
    """Whether channels vary unlike each other, as metres beside degrees do.

    One in twenty varies less than a tenth as much as the median channel, or one more than a hundred
    times as much. (Of the networks at hand the two are at most 5 and 6 times; of principal
    components, which must not be standardised, 3 and 48.)
    """
    varying = deviation[np.isfinite(deviation)]
    if not len(varying):
        return False
    low, median, high = np.quantile(varying, [0.05, 0.5, 1])
    return bool(median > FAR_SMALLER * low or high > FAR_LARGER * median)


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
