"""What a backbone's own classifier says of a video, as a feature file stores it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClassScores:
    """Scores of classes at every row of a video: `values[t, c]` of `classes[c]`.

    `values` are (T, C) float32 in [0, 1]; each row sums to 1. Rows stand where those of the
    features do.
    """

    values: np.ndarray
    classes: tuple[str, ...]

    def best(self, count: int = 5) -> list[tuple[str, float]]:
        """Return the classes of the highest mean scores over the video, with these, best first."""
        means = self.values.mean(axis=0)
        return [(self.classes[c], float(means[c])) for c in np.argsort(-means)[:count]]
