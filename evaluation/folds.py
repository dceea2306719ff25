"""Detections in held-out videos in; out come the figures of folds: each, pooled, and how sure.

A fold's own mAP is that of its held-out videos. The pooled one ranks the detections of all folds
together, as a single test set; its interval is a bootstrap over videos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import InputError
from ..formats.annotations import Detection
from .average_precision import Evaluation, evaluate
from .events import Outcome, outcome
from .matching import Measure, Predictions, Videos
from .operating_point import F1, OperatingPoint, learn_operating_point
from .significance import FEWEST_VIDEOS, Interval, map_interval

ALL_FOLDS = "all folds"  # the name of the pooled videos, where a subset is named
OTHERS = "the other folds"
POINT_TIOU = 0.5


@dataclass(frozen=True, eq=False)
class FoldFigures:
    """What F folds and S seeds give.

    by_fold: average mAP of each fold's own videos, (F, S) in [0, 1]; NaN without an instance.
    pooled: of all folds' videos together, by seed.
    interval: of the mean of the pooled average mAPs; None of too few videos.
    outcome: what the first seed's detections are worth above thresholds that were chosen on the
        other folds.
    names: of the folds; none where they are numbered.
    """

    seeds: tuple[int, ...]
    folds: tuple[tuple[str, ...], ...]
    by_fold: np.ndarray
    pooled: tuple[Evaluation, ...]
    interval: Interval | None
    outcome: Outcome
    names: tuple[str, ...] = ()

    @property
    def mean(self) -> float:
        """The mean of all folds and seeds."""
        return float(np.nanmean(self.by_fold))

    @property
    def between_folds(self) -> float:
        """The standard deviation between folds, of the means over seeds; NaN of a single one."""
        return deviation(self.by_fold[~np.isnan(self.by_fold).any(axis=1)].mean(axis=1))

    @property
    def between_seeds(self) -> float:
        """The standard deviation between seeds, of the means over folds; NaN of a single one."""
        return deviation(np.nanmean(self.by_fold, axis=0))

    @property
    def pooled_map(self) -> float:
        """The mean over the seeds of the pooled average mAP."""
        return float(np.mean([e.average_map for e in self.pooled]))

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON's own types; what is not known is None."""
        spread = {"between_folds": self.between_folds, "between_seeds": self.between_seeds}
        return {
            "seeds": list(self.seeds),
            "folds": [
                {
                    **({"name": self.names[n]} if self.names else {}),
                    "held_out": list(ids),
                    "average_mAP": [_known(v) for v in row],
                }
                for n, (ids, row) in enumerate(zip(self.folds, self.by_fold.tolist(), strict=True))
            ],
            "mean": self.mean,
            "standard_deviation": {name: _known(value) for name, value in spread.items()},
            "pooled": [e.average_map for e in self.pooled],
            "pooled_mean": self.pooled_map,
            "interval_95": [self.interval.low, self.interval.high] if self.interval else None,
        }

    @property
    def notes(self) -> list[str]:
        """Return the summary in a few lines."""
        seeds = f", {len(self.seeds)} seeds" if len(self.seeds) > 1 else ""
        spread = f"standard deviation {100 * self.between_folds:.2f} between folds"
        if len(self.seeds) > 1:
            spread += f", {100 * self.between_seeds:.2f} between seeds"
        number = self.pooled[0].num_videos
        sure = (
            f"95 %: {100 * self.interval.low:.2f} to {100 * self.interval.high:.2f}, bootstrap "
            f"over {number} videos"
            if self.interval
            else f"too few videos ({number}) to say how sure"
        )
        return [
            f"mean over {len(self.folds)} folds{seeds}: mAP {100 * self.mean:.2f} ({spread})",
            f"pooled: mAP {100 * self.pooled_map:.2f} ({sure})",
        ]


def measure_folds(
    videos: Videos,
    found: Mapping[int, Predictions],
    folds: Sequence[Sequence[str]],
    measure: Measure,
    *,
    subset: str = ALL_FOLDS,
    names: Sequence[str] = (),
    precision: float | None = None,
) -> FoldFigures:
    """Return the figures of folds.

    Args:
        videos: the ground truth of all folds' videos.
        found: detections in them, by seed; each video's are of the head that held it out.
        folds: the ids of the videos that each fold holds out.
        subset: the name of the videos together.
        names: of the folds; none where they are numbered.
        precision: the least one that thresholds are chosen for; None for the best F1.
    Raises:
        InputError: see `matching.match`.
    """
    pooled = tuple(evaluate(videos, f, measure, subset=subset) for f in found.values())
    rows = [[_own_map(videos, f, fold, measure) for f in found.values()] for fold in folds]
    enough = pooled[0].num_videos >= FEWEST_VIDEOS
    return FoldFigures(
        tuple(found),
        tuple(map(tuple, folds)),
        np.array(rows),
        pooled,
        map_interval(*(e.matches for e in pooled)) if enough else None,
        held_out_outcome(
            videos, next(iter(found.values())), folds, subset=subset, precision=precision
        ),
        tuple(names),
    )


def held_out_outcome(
    videos: Videos,
    found: Predictions,
    folds: Sequence[Sequence[str]],
    *,
    subset: str,
    precision: float | None = None,
) -> Outcome:
    """Return what detections above thresholds are worth that were chosen without their own fold.

    Each fold's thresholds and calibration are those of the other folds' held-out videos, as
    `tsatal train --folds K --final` chooses them on all folds, so nothing is chosen on what it is
    measured on. The thresholds that the outcome names are the folds' means.
    """
    kept, points = dict[str, list[Detection]](), []
    rule = F1 if precision is None else precision
    for n, fold in enumerate(folds):
        own = {k: list(found.get(k, ())) for k in fold if k in videos}
        others = {k: v for k, v in videos.items() if k not in own}
        try:
            known = {k: v for k, v in found.items() if k in others}
            point = learn_operating_point(
                others, known, subset=f"all folds but {n}", tiou=POINT_TIOU, precision=precision
            )
        except InputError:  # no other fold has an instance
            point = OperatingPoint({}, 1.0, rule, OTHERS, POINT_TIOU)
        if point.calibration:
            own = point.calibration.apply_to_all(own)
        kept |= {k: [d for d in own[k] if d.score >= point.of(d.label)] for k in own}
        points.append(point)
    labels = sorted({label for point in points for label in point.thresholds})
    means = {label: float(np.mean([p.of(label) for p in points])) for label in labels}
    every = OperatingPoint(
        dict.fromkeys(labels, 0.0), 0.0, rule, OTHERS, POINT_TIOU, folds=len(folds),
        instances=max(p.instances for p in points),
        unreached=tuple(sorted({label for p in points for label in p.unreached})),
    )  # fmt: skip
    per_class = outcome(videos, kept, every, subset=subset).per_class
    return Outcome(replace(every, thresholds=means), subset, per_class)


def _own_map(videos: Videos, found: Predictions, fold: Sequence[str], measure: Measure) -> float:
    """Return the average mAP of a fold's own videos, NaN where they have no instance."""
    own = {k: v for k, v in videos.items() if k in set(fold)}
    excluded = tuple(v for v in measure.exclude if v in own)
    known = {k: v for k, v in found.items() if k in own}
    try:
        how = replace(measure, exclude=excluded)
        return evaluate(own, known, how, subset=ALL_FOLDS).average_map
    except InputError:
        return float("nan")


def deviation(values: np.ndarray) -> float:
    """Return the standard deviation of the values that are known, NaN of fewer than two."""
    known = values[~np.isnan(values)]
    return float(known.std(ddof=1)) if len(known) > 1 else float("nan")


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
