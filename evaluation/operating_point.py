"""From rankings to events: scores from which on detections count, and what is right above them.

An average precision judges the order of all detections. Who wants events needs a threshold: chosen
here on one set of videos, class by class, and judged on another by precision, recall, counts and
false alarms per hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .matching import ANET, Matches, Measure, Predictions, Videos, match, threshold_name

# Instances of all classes together that join each class's own when its threshold is chosen, so that
# a class of few instances does not hang on one of them.
PRIOR_INSTANCES = 10.0
F1 = "f1"


@dataclass(frozen=True)
class OperatingPoint:
    """The least scores of detections that count, by class.

    other: for a class that was not among those it was chosen on.
    rule: `f1`, the best F1; or the least precision asked for, in (0, 1).
    subset, tiou: what it was chosen on, and the tIoU from which on a detection was right.
    """

    thresholds: Mapping[str, float]
    other: float
    rule: str | float
    subset: str
    tiou: float

    def of(self, label: str) -> float:
        """Return the least score of detections of a class."""
        return self.thresholds.get(label, self.other)

    @property
    def in_words(self) -> str:
        """What they were chosen for, and on what."""
        wish = "best F1" if self.rule == F1 else f"precision {float(self.rule):.0%}"
        return f"{wish} at tIoU {self.tiou:g} on {self.subset!r}"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON's own types."""
        return {**asdict(self), "thresholds": dict(self.thresholds)}


@dataclass(frozen=True)
class Events:
    """What the detections above an operating point are worth.

    instances, detections, right: how many there are, and how many detections hit an instance.
    hours: of the videos, as far as known; 0 where not.
    """

    instances: int
    detections: int
    right: int
    hours: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return counts and shares as JSON's own types."""
        shares = ("precision", "recall", "f1", "count_error", "false_alarms_per_hour")
        return {**asdict(self), **{name: getattr(self, name) for name in shares}}

    @property
    def precision(self) -> float:
        """The share of detections that are right; 1 where there are none."""
        return self.right / self.detections if self.detections else 1.0

    @property
    def recall(self) -> float:
        """The share of instances that are found; 1 where there are none."""
        return self.right / self.instances if self.instances else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        both = self.detections + self.instances
        return 2 * self.right / both if both else 1.0

    @property
    def count_error(self) -> float:
        """How far the number of detections is off, as a share of the instances."""
        return abs(self.detections - self.instances) / max(self.instances, 1)

    @property
    def false_alarms_per_hour(self) -> float | None:
        """Detections per hour that are wrong; None where the videos' durations are unknown."""
        return (self.detections - self.right) / self.hours if self.hours else None


def choose_operating_point(
    matches: Matches, *, tiou: float = 0.5, precision: float | None = None
) -> OperatingPoint:
    """Return each class's threshold of the best F1, or of the best recall at a precision.

    Each class's counts are taken together with those of all classes, which weigh as much as ten
    instances (`PRIOR_INSTANCES`). The threshold lies half-way to the next lower score.

    Args:
        matches: of the videos to choose on, made by the `anet` protocol.
        tiou: one of the thresholds of the matches.
        precision: the least precision wanted; None for the best F1.
    """
    hit = matches.hit[_threshold(matches, tiou)]
    every = np.arange(len(matches.score))
    instances = matches.instances_per_class
    share = PRIOR_INSTANCES / max(instances.sum(), 1)
    thresholds = {}
    pooled = _best(matches.score, hit, [(every, 1.0)], float(instances.sum()), precision)
    for label, ranked, count in zip(matches.labels, matches.rankings, instances, strict=True):
        groups = [(ranked, 1.0), (every, share)]
        total = count + PRIOR_INSTANCES
        thresholds[label] = _best(matches.score, hit, groups, total, precision)
    rule = F1 if precision is None else precision
    return OperatingPoint(thresholds, pooled, rule, matches.subset, tiou)


def events(
    matches: Matches,
    point: OperatingPoint,
    *,
    tiou: float = 0.5,
    durations: Mapping[str, float] | None = None,
) -> dict[str, Events]:
    """Return what the detections above an operating point are worth, by class.

    Args:
        tiou: one of the thresholds of the matches.
        durations: of the videos in seconds, where the ground truth does not say.
    """
    hit = matches.hit[_threshold(matches, tiou)]
    known = [v.duration_sec or (durations or {}).get(k) for k, v in matches.videos.items()]
    hours = sum(d for d in known if d) / 3600 if all(known) else 0.0
    found = {}
    for label, ranked, count in zip(
        matches.labels, matches.rankings, matches.instances_per_class, strict=True
    ):
        kept = ranked[matches.score[ranked] >= point.of(label)]
        found[label] = Events(int(count), len(kept), int(hit[kept].sum()), hours)
    return found


def events_above(
    videos: Videos,
    found: Predictions,
    point: OperatingPoint,
    *,
    subset: str,
) -> dict[str, Events]:
    """Return what the detections above an operating point are worth in these videos, by class."""
    matches = match(videos, found, Measure(ANET, (point.tiou,)), subset=subset)
    return events(matches, point, tiou=point.tiou)


def events_in_words(found: Mapping[str, Events], point: OperatingPoint, subset: str) -> str:
    """Return one line on all classes' events together, measured on a subset."""
    all_classes = together(found)
    alarms = all_classes.false_alarms_per_hour
    return (
        f"above the run's own thresholds ({point.in_words}): precision "
        f"{all_classes.precision:.0%}, recall {all_classes.recall:.0%}, F1 {all_classes.f1:.0%}; "
        f"{all_classes.detections} detections for {all_classes.instances} instances"
        + (f"; {alarms:.1f} false alarms per hour" if alarms is not None else "")
        + ("; chosen on these very videos, which flatters" if subset == point.subset else "")
    )


def together(found: Mapping[str, Events]) -> Events:
    """Return all classes' events as one."""
    every = list(found.values())
    return Events(
        sum(e.instances for e in every),
        sum(e.detections for e in every),
        sum(e.right for e in every),
        max((e.hours for e in every), default=0.0),
    )


def _threshold(matches: Matches, tiou: float) -> int:
    names = [threshold_name(t) for t in matches.measure.tious]
    return names.index(threshold_name(tiou))


def _best(
    score: np.ndarray,
    hit: np.ndarray,
    groups: list[tuple[np.ndarray, float]],
    instances: float,
    precision: float | None,
) -> float:
    """Return the threshold that is best for groups of detections, each with its weight."""
    ranked = np.concatenate([indices for indices, _ in groups])
    weight = np.concatenate([np.full(len(indices), w) for indices, w in groups])
    order = np.argsort(-score[ranked], kind="stable")
    ranked, weight = ranked[order], weight[order]
    scores = score[ranked]
    if not len(scores):
        return 1.0
    right, made = np.cumsum(weight * hit[ranked]), np.cumsum(weight)
    # A threshold lies between two scores, so it takes all detections of equal score, or none.
    ends = np.flatnonzero(np.append(scores[1:] < scores[:-1], True))
    value = 2 * right[ends] / (made[ends] + instances)
    if precision is not None:
        enough = right[ends] >= precision * made[ends]
        value = np.where(enough, right[ends], -made[ends])  # none is enough: as few as possible
    end = ends[int(np.argmax(value))]
    following = scores[end + 1] if end + 1 < len(scores) else 0.0
    return float((scores[end] + max(following, 0.0)) / 2)
