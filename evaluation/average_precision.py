"""Average precision: the matches of stage three become the figures that papers print.

The same detections can differ by more than ten points between the two protocols of the field, so
an `Evaluation` carries its protocol, thresholds and counts, and all that is printed names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import quantity
from .matching import ANET, Matches, Measure, Predictions, Videos, match
from .matching import threshold_name as threshold_name

Curve = tuple[np.ndarray, np.ndarray]  # recall and precision at every hit, (H,) each


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """The average precision of every class at every tIoU threshold, and what it was measured on.

    `per_class[label]` is (K,) in [0, 1] for the K thresholds `tious`, for the sorted labels that
    have ground truth. `num_instances` leaves `Ambiguous` out. The figures rest on `matches`.
    """

    protocol: str
    subset: str
    tious: tuple[float, ...]
    num_videos: int
    num_instances: int
    per_class: Mapping[str, np.ndarray]
    instances_per_class: Mapping[str, int]
    notes: tuple[str, ...]
    matches: Matches = field(repr=False)

    def __repr__(self) -> str:
        """Return one line: the mAP, and what it was measured on."""
        return f"mAP {100 * self.average_map:.2f} % ({self.headline})"

    @property
    def mean_ap(self) -> np.ndarray:
        """Return the mean over classes at every threshold, (K,) in [0, 1]."""
        return np.asarray(np.mean(list(self.per_class.values()), axis=0))

    @property
    def average_map(self) -> float:
        """Return the mean of `mean_ap` over the thresholds, in [0, 1]."""
        return float(self.mean_ap.mean())

    @property
    def headline(self) -> str:
        """Return one line that names protocol, subset, and numbers of videos and instances."""
        return (
            f"{self.protocol} protocol, subset {self.subset!r}: "
            f"{quantity(self.num_videos, 'video')}, {quantity(self.num_instances, 'instance')} "
            f"of {quantity(len(self.per_class), 'class', 'classes')}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values for JSON; thresholds become keys such as "0.5"."""
        return {
            "protocol": self.protocol,
            "subset": self.subset,
            "tious": list(self.tious),
            "num_videos": self.num_videos,
            "num_instances": self.num_instances,
            "mAP": self._by_threshold(self.mean_ap),
            "average_mAP": self.average_map,
            "per_class": {label: self._by_threshold(ap) for label, ap in self.per_class.items()},
            "instances_per_class": dict(self.instances_per_class),
            "notes": list(self.notes),
        }

    def _by_threshold(self, values: np.ndarray) -> dict[str, float]:
        names = map(threshold_name, self.tious)
        return {name: float(value) for name, value in zip(names, values, strict=True)}


def evaluate(
    videos: Videos,
    predictions: Predictions,
    measure: Measure = Measure(),  # noqa: B008 (frozen)
    *,
    subset: str,
) -> Evaluation:
    """Return the average precision of `predictions` on `videos`.

    AP is the sum of the precisions at a class's hits over its number of instances. A detection in a
    video that lacks its class is a miss; a video without detections counts; no detections at all
    are a mean AP of 0. Arguments and errors are those of `matching.match`.
    """
    matches = match(videos, predictions, measure, subset=subset)
    sizes = dict(zip(matches.labels, matches.instances_per_class.tolist(), strict=True))
    at_thresholds = [_precisions(matches, k) for k in range(len(measure.tious))]
    per_class = {
        label: np.array([float(precision.sum() / size) for precision in precisions])
        for (label, size), *precisions in zip(sizes.items(), *at_thresholds, strict=True)
    }
    return Evaluation(
        protocol=measure.protocol,
        subset=subset,
        tious=measure.tious,
        num_videos=len(matches.videos),
        num_instances=len(matches.instances),
        per_class=per_class,
        instances_per_class=sizes,
        notes=matches.notes,
        matches=matches,
    )


def precision_recall(matches: Matches, *, tiou: float) -> dict[str, Curve]:
    """Return recall and precision of every class at one threshold, at each of its H hits.

    Recall rises by one instance per hit. The area under the steps, each hit's precision held back
    to the recall of the hit before, is the average precision.

    Raises:
        ValueError: `tiou` is not among the thresholds of the matches.
    """
    names = [threshold_name(t) for t in matches.measure.tious]
    if threshold_name(tiou) not in names:
        raise ValueError(f"tIoU {tiou} was not evaluated; there are: {', '.join(names)}")
    precisions = _precisions(matches, names.index(threshold_name(tiou)))
    classes = zip(matches.labels, matches.instances_per_class, precisions, strict=True)
    return {
        label: (np.arange(1, len(precision) + 1) / size, precision)
        for label, size, precision in classes
    }


def precision_at_hits(
    matches: Matches, k: int, ranked: np.ndarray, counted: np.ndarray
) -> np.ndarray:
    """Return the protocol's precision at each of the H hits of a ranking, (H,) in [0, 1].

    `thumos14` takes the precision as it is, `anet` its monotone envelope: no less than at any later
    hit. The sum over the number of instances is, for both, what the toolkits call average
    precision; for `anet` the area under the envelope, as recall moves only at hits, by one
    instance, and beyond the last hit the area is 0.

    Args:
        k: number of the threshold.
        ranked: indices of detections, best score first, (n,) int.
        counted: which detections are hits or errors, (N,) bool; others are as if never made.
    """
    hit = matches.hit[k, ranked]
    precision = np.arange(1, np.count_nonzero(hit) + 1) / np.cumsum(counted[ranked])[hit]
    if matches.measure.protocol == ANET:
        precision = np.maximum.accumulate(precision[::-1])[::-1]
    return precision


def _precisions(matches: Matches, k: int) -> list[np.ndarray]:
    """Return the precision at every hit of every class at threshold number `k`, C of (H,)."""
    counted = ~matches.neutral[k]
    return [precision_at_hits(matches, k, ranked, counted) for ranked in matches.rankings]
