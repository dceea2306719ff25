"""Results of trainings on more and more videos in; out comes what twice the labels would bring.

What is missing to a mAP of 1 falls as a power of the number of labels over wide ranges (Hestness et
al., "Deep Learning Scaling is Predictable, Empirically", 2017), so a line is fitted to its
logarithm over that of the labels, and drawn on by one doubling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .matching import Matches
from .significance import FEWEST_VIDEOS, SAMPLES, Interval, map_draws, percentiles

LEAST_ERROR = 1e-3  # so that a mAP of 1 has a logarithm


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """What trainings on P shares of the labels gave, in S draws.

    shares: of the training videos, (P,).
    labels: the mean number of actions in each share, (P,).
    by_draw: average mAP, (P, S) in [0, 1].
    fitted: of the curve at each share, (P,).
    twice: the average mAP at twice the labels, and its interval.
    gain: by how much that is more than the curve at all labels, and its interval.
    videos: the number of videos that all were measured on.
    """

    shares: np.ndarray
    labels: np.ndarray
    by_draw: np.ndarray
    fitted: np.ndarray
    twice: Interval
    gain: Interval
    videos: int

    @property
    def sentence(self) -> str:
        """Return in plain words what twice the labels would bring, or why nobody can say."""
        every = round(float(self.labels[-1]))
        low, high = 100 * self.gain.low, 100 * self.gain.high
        about = f"{100 * self.gain.value:+.1f} points of mAP (95 %: {low:+.1f} to {high:+.1f})"
        why = ""
        if self.videos < FEWEST_VIDEOS:
            why = f"{self.videos} validation videos, where at least {FEWEST_VIDEOS} are needed"
        elif self.by_draw.shape[1] < 2:
            why = "one draw; more --seeds tell how much draws differ"
        elif not self.gain.certain:
            why = f"{about}, so it may be nothing"
        if why:
            return f"too few data to say what twice the labels ({every} actions) would bring: {why}"
        return (
            f"twice the labels ({2 * every} actions for {every}) would bring {about}, to "
            f"{100 * self.twice.value:.1f} %"
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON's own types."""
        return {
            "shares": self.shares.tolist(),
            "labels": self.labels.tolist(),
            "average_mAP": self.by_draw.tolist(),
            "fitted": self.fitted.tolist(),
            "at_twice": vars(self.twice),
            "gain_of_twice": vars(self.gain),
            "videos": self.videos,
            "sentence": self.sentence,
        }


def fit_curve(
    results: Sequence[Sequence[Matches]],
    labels: Sequence[Sequence[int]],
    shares: Sequence[float],
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> LearningCurve:
    """Return the learning curve of trainings that were measured on the same videos.

    The interval is a bootstrap over draws and over validation videos at once.

    Args:
        results: share by share, of each draw.
        labels: the number of actions that each was trained on, alike.
        shares: of the training videos, rising; the last is 1.
    Raises:
        ValueError: the videos of the results differ.
    """
    number = len(results[0])
    values = map_draws([m for row in results for m in row], samples=samples, seed=seed)
    values = values.reshape(len(results), number, -1)  # (P, S, 1 + samples)
    counts = np.asarray(labels, dtype=float)
    # At first all draws as they are, then as many as there are, with replacement.
    chosen = np.random.default_rng(seed).integers(0, number, (samples, number))
    chosen = np.concatenate([np.arange(number)[None], chosen])  # (1 + samples, S)
    at = np.arange(len(chosen))[:, None]
    means = values[:, chosen, at].mean(axis=2)  # (P, 1 + samples)
    x = np.log2(counts[:, chosen].mean(axis=2))
    y = np.log2(np.maximum(1 - means, LEAST_ERROR))
    slope = ((x - x.mean(0)) * (y - y.mean(0))).sum(0) / np.maximum(
        ((x - x.mean(0)) ** 2).sum(0), 1e-12
    )
    line = y.mean(0) + slope * (x - x.mean(0))  # (P, 1 + samples)
    twice = line[-1] + slope
    return LearningCurve(
        np.asarray(shares, dtype=float),
        counts.mean(axis=1),
        values[:, :, 0],
        1 - 2 ** line[:, 0],
        percentiles(1 - 2**twice),
        percentiles(2 ** line[-1] - 2**twice),
        len(results[0][0].videos),
    )
