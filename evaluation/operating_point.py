"""From rankings to events: scores from which on detections count, chosen on one set of videos.

An average precision judges the order of all detections. Who wants events needs a threshold, class
by class; `events` says what the detections above it are worth on other videos.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..errors import listed, quantity
from ..formats.annotations import AMBIGUOUS, AnnotatedVideo
from ..segments import united
from .calibration import Calibration, learn_calibration
from .matching import ANET, Matches, Measure, Predictions, Videos, match, threshold_name

logger = logging.getLogger(__name__)

# Instances of all classes together that join each class's own when its threshold is chosen, so that
# a class of few instances does not hang on one of them.
PRIOR_INSTANCES = 10.0
# Where scores are calibrated, which detections were right on so many instances weighs as much as
# which probably are: the best threshold of a few hits is an accident of them.
SURE_INSTANCES = 200.0
F1 = "f1"


@dataclass(frozen=True)
class OperatingPoint:
    """The least scores of detections that count, by class, and how scores become probabilities.

    thresholds: of calibrated scores, where there is a calibration.
    other: for a class that was not among those it was chosen on.
    rule: `f1`, the best F1; or the least precision asked for, in (0, 1).
    subset, tiou: what it was chosen on, and the tIoU from which on a detection was right.
    calibration: None in runs of older versions, whose scores stay as they are.
    folds: how many heads it was chosen with, each on the videos that it held out, which `subset`
        says in words; 0 where it was this head, on one subset.
    instances: how many it was chosen on; 0 in runs of older versions.
    unreached: the classes of which no threshold has that precision: only the surest counts.
    """

    thresholds: Mapping[str, float]
    other: float
    rule: str | float
    subset: str
    tiou: float
    calibration: Calibration | None = None
    folds: int = 0
    instances: int = 0
    unreached: tuple[str, ...] = ()

    def of(self, label: str) -> float:
        """Return the least score of detections of a class."""
        return self.thresholds.get(label, self.other)

    def of_all(self, labels: Sequence[str]) -> dict[str, float]:
        """Return the least score of each of these classes."""
        return {label: self.of(label) for label in labels}

    @property
    def in_words(self) -> str:
        """What they were chosen for, and on what."""
        wish = "best F1" if self.rule == F1 else f"precision {100 * float(self.rule):g}%"
        where = self.subset if self.folds else repr(self.subset)
        number = f"{quantity(self.instances, 'action')} of " if self.instances else ""
        but = ""
        if self.unreached:
            but = f"; no threshold of {listed(self.unreached)} is sure to have it"
        return f"{wish} at tIoU {self.tiou:g} on {number}{where}{but}"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON's own types."""
        return {**asdict(self), "thresholds": dict(self.thresholds)}


def learn_operating_point(
    videos: Videos,
    found: Predictions,
    *,
    subset: str,
    tiou: float = 0.5,
    precision: float | None = None,
    copies: int = 1,
) -> OperatingPoint:
    """Return the thresholds of a head, and the calibration of its scores.

    Args:
        videos: that the head did not learn from.
        found: its detections in them, with its own scores.
        subset: the name of these videos.
        tiou, precision, copies: see `choose_operating_point`.
    """
    measure, videos = Measure(ANET, (tiou,)), looking_away(videos)
    calibration = learn_calibration(match(videos, found, measure, subset=subset), copies=copies)
    calibrated = match(videos, calibration.apply_to_all(found), measure, subset=subset)
    return choose_operating_point(
        calibrated, tiou=tiou, precision=precision, calibration=calibration, copies=copies
    )


def choose_operating_point(
    matches: Matches,
    *,
    tiou: float = 0.5,
    precision: float | None = None,
    calibration: Calibration | None = None,
    copies: int = 1,
) -> OperatingPoint:
    """Return each class's threshold of the best F1, or of the best recall at a precision.

    Each class's counts are taken together with those of all classes, which weigh as much as ten
    instances (`PRIOR_INSTANCES`). The threshold lies half-way to the next lower score. Of few
    instances, detections count with their probabilities more than as right or wrong
    (`SURE_INSTANCES`).

    Args:
        matches: of the videos to choose on, made by the `anet` protocol.
        tiou: one of the thresholds of the matches.
        precision: the least precision wanted; None for the best F1.
        calibration: what gave the detections their scores, which are probabilities then.
        copies: how often each video stands among them, with the detections of another head each
            time; an instance that stands there twice says no more than one.
    """
    k = threshold_number(matches, tiou)
    right, counted = matches.hit[k].astype(float), ~matches.neutral[k]
    every = np.flatnonzero(counted)
    instances = matches.instances_per_class
    if calibration:
        seen = instances.sum() / (instances.sum() + copies * SURE_INSTANCES)
        right = seen * right + (1 - seen) * matches.score
    share = copies * PRIOR_INSTANCES / max(instances.sum(), 1)
    thresholds, short = {}, []
    pooled, _ = _best(matches.score, right, [(every, 1.0)], float(instances.sum()), precision)
    for label, ranked, count in zip(matches.labels, matches.rankings, instances, strict=True):
        groups = [(ranked[counted[ranked]], 1.0), (every, share)]
        total = count + copies * PRIOR_INSTANCES
        thresholds[label], reached = _best(matches.score, right, groups, total, precision)
        short += [] if reached else [label]
    if short:
        logger.warning(
            "no threshold of %s has a precision of %g %% on %r; only the surest detections count",
            listed(short), 100 * (precision or 0), matches.subset,
        )  # fmt: skip
    rule = F1 if precision is None else precision
    return OperatingPoint(
        thresholds, pooled, rule, matches.subset, tiou, calibration,
        instances=int(instances.sum()) // copies, unreached=tuple(short),
    )  # fmt: skip


def looking_away(videos: Videos) -> dict[str, AnnotatedVideo]:
    """Return the videos with their `Ambiguous` stretches among those that count neither way."""
    unclear = {
        k: [(i.start_sec, i.end_sec) for i in v.instances if i.label == AMBIGUOUS]
        for k, v in videos.items()
    }
    return {k: replace(v, ignored=united([*v.ignored, *unclear[k]])) for k, v in videos.items()}


def threshold_number(matches: Matches, tiou: float) -> int:
    """Return the place of a tIoU among those of the matches."""
    names = [threshold_name(t) for t in matches.measure.tious]
    return names.index(threshold_name(tiou))


def _best(
    score: np.ndarray,
    right: np.ndarray,
    groups: list[tuple[np.ndarray, float]],
    instances: float,
    precision: float | None,
) -> tuple[float, bool]:
    """Return the threshold that is best for groups of detections, each with its weight.

    And whether it has the precision. `right` is the share of each detection that is.
    """
    ranked = np.concatenate([indices for indices, _ in groups])
    weight = np.concatenate([np.full(len(indices), w) for indices, w in groups])
    order = np.argsort(-score[ranked], kind="stable")
    ranked, weight = ranked[order], weight[order]
    scores = score[ranked]
    if not len(scores):
        return 1.0, True
    found, made = np.cumsum(weight * right[ranked]), np.cumsum(weight)
    # A threshold lies between two scores, so it takes all detections of equal score, or none.
    ends = np.flatnonzero(np.append(scores[1:] < scores[:-1], True))
    value, reached = 2 * found[ends] / (made[ends] + instances), True
    if precision is not None:
        enough = found[ends] >= precision * made[ends]
        reached = bool(enough.any())
        value = np.where(enough, found[ends], -made[ends])  # none is enough: as few as possible
    end = ends[int(np.argmax(value))]
    following = scores[end + 1] if end + 1 < len(scores) else 0.0
    return float((scores[end] + max(following, 0.0)) / 2), reached
