"""Average precision of detections, under the two protocols of the field.

    anet       the ActivityNet toolkit's `eval_detection.py` (Heilbron et al., CVPR 2015)
    thumos14   the THUMOS Challenge 2014 toolkit's `TH14eventdetpr.m` (Jiang et al., 2014)

The same detections can differ by more than ten points between them, so an `Evaluation` carries
its protocol, thresholds and counts, and everything printed from it names them.

Both protocols are one greedy matching (`matching.match`) read in two directions: under `anet`
detections choose among ground truths, under `thumos14` ground truths choose among detections. What
the toolkits leave to their sort functions is settled, for both: detections of equal score keep the
order of the predictions (videos, then detections within a video), and of equal tIoUs the first in
line wins.
"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..formats.annotations import AMBIGUOUS, AnnotatedVideo, Detection, class_labels
from .matching import NOWHERE, Matches, detections_by_label, instances_by_label, match

ANET = "anet"
THUMOS14 = "thumos14"
PROTOCOLS = (ANET, THUMOS14)
THUMOS14_TIOUS = (0.3, 0.4, 0.5, 0.6, 0.7)
ACTIVITYNET_TIOUS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)

MAX_LABELS_NAMED = 5  # in a note; the rest are counted

Curve = tuple[np.ndarray, np.ndarray]  # recall and precision at every hit, (H,) each


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The average precision of every class at every tIoU threshold, and what it was measured on.

    `per_class[label]` is (K,) in [0, 1] for the K thresholds `tious`, for the sorted labels that
    have ground truth. `num_instances` leaves `Ambiguous` out. `notes` are one line each: what was
    left out of the predictions, and what a reader of the figure should know.
    """

    protocol: str
    subset: str
    tious: tuple[float, ...]
    num_videos: int
    num_instances: int
    per_class: Mapping[str, np.ndarray]
    instances_per_class: Mapping[str, int]
    notes: tuple[str, ...]

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
    videos: Mapping[str, AnnotatedVideo],
    predictions: Mapping[str, Sequence[Detection]],
    *,
    protocol: str,
    tious: Sequence[float],
    subset: str,
    exclude: Collection[str] = (),
) -> Evaluation:
    """Return the average precision of `predictions` on `videos`.

    A detection in a video that lacks its class is a miss; a video without detections counts;
    detections outside `videos`, or of labels without ground truth, are left out with a note.

    Args:
        videos: the ground truth, already narrowed to the subset.
        predictions: detections per video, in any order; empty is a mean AP of 0, with a note.
        protocol: `anet` or `thumos14`.
        tious: thresholds in (0, 1], rounded to 10 decimals, so that 0.1 + 0.2 is 0.3.
        subset: the subset's name, for the result and for messages.
        exclude: ids of videos to leave out of ground truth and predictions.
    Raises:
        InputError: a protocol or threshold that does not exist, an excluded id that is not in
            the subset, no ground truth at all, or a detection that is not finite.
    """
    thresholds = _checked(protocol, tious)
    task = _select(videos, predictions, subset=subset, exclude=exclude)
    matches = _matched(task, thresholds, protocol)
    per_class = {
        label: np.array([_average_precision(m, k, protocol) for k in range(len(thresholds))])
        for label, m in matches.items()
    }
    instances = {label: m.num_instances for label, m in matches.items()}
    return Evaluation(
        protocol=protocol,
        subset=subset,
        tious=thresholds,
        num_videos=len(task.videos),
        num_instances=sum(instances.values()),
        per_class=per_class,
        instances_per_class=instances,
        notes=task.notes,
    )


def precision_recall(
    videos: Mapping[str, AnnotatedVideo],
    predictions: Mapping[str, Sequence[Detection]],
    *,
    protocol: str,
    tiou: float,
    subset: str,
    exclude: Collection[str] = (),
) -> dict[str, Curve]:
    """Return recall and precision of every class at one threshold, at each of its H hits.

    Arguments and errors are those of `evaluate`. Recall rises by one instance per hit; precision
    is the protocol's (its monotone envelope under `anet`), so that the area under the steps,
    each hit's precision held back to the recall of the hit before, is the average precision.
    """
    thresholds = _checked(protocol, [tiou])
    task = _select(videos, predictions, subset=subset, exclude=exclude)
    matches = _matched(task, thresholds, protocol)
    return {label: _curve(m, 0, protocol) for label, m in matches.items()}


def threshold_name(threshold: float) -> str:
    """Return a tIoU threshold as people write it: "0.3" also for 0.1 + 0.2."""
    return f"{round(threshold, 10):g}"


def quantity(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: "1 video", "2 videos"."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


@dataclass(frozen=True, eq=False)
class _Task:
    """What is evaluated: the videos, their detections of labels with ground truth, and notes."""

    videos: Mapping[str, AnnotatedVideo]
    predictions: Mapping[str, Sequence[Detection]]
    notes: tuple[str, ...]


def _checked(protocol: str, tious: Sequence[float]) -> tuple[float, ...]:
    if protocol not in PROTOCOLS:
        raise InputError(f"no protocol {protocol!r}; there are: {', '.join(PROTOCOLS)}")
    thresholds = tuple(round(float(t), 10) for t in tious)
    if not thresholds or not all(0 < t <= 1 for t in thresholds):
        raise InputError(f"tIoU thresholds in (0, 1] are needed, not {list(tious) or 'none'}")
    if len(set(map(threshold_name, thresholds))) != len(thresholds):
        raise InputError(f"the same tIoU threshold twice: {list(tious)}")
    return thresholds


def _select(
    videos: Mapping[str, AnnotatedVideo],
    predictions: Mapping[str, Sequence[Detection]],
    *,
    subset: str,
    exclude: Collection[str],
) -> _Task:
    _check_excluded(exclude, videos, subset)
    _check_finite(predictions)
    kept = {k: v for k, v in videos.items() if k not in set(exclude)}
    known = set(class_labels(kept.values()))
    if not known:
        raise InputError(
            f"subset {subset!r} has no ground truth: none of its {quantity(len(kept), 'video')} "
            "has a labelled instance; evaluate on a subset that is annotated"
        )
    within = {k: found for k, found in predictions.items() if k in kept}
    usable = {k: [d for d in found if d.label in known] for k, found in within.items()}
    notes = _notes(
        excluded=sorted(set(exclude)),
        outside={k: v for k, v in predictions.items() if v and k not in videos},
        unknown=Counter(d.label for v in within.values() for d in v if d.label not in known),
        silent=sum(not within.get(k) for k in kept),
        num_videos=len(kept),
        nothing=not any(usable.values()),
    )
    return _Task(kept, usable, tuple(notes))


def _check_excluded(exclude: Collection[str], videos: Iterable[str], subset: str) -> None:
    ids = list(videos)
    for wrong in sorted(set(exclude) - set(ids)):
        near = [k for k in ids if wrong in k] or difflib.get_close_matches(wrong, ids, cutoff=0.4)
        hint = f"; the nearest: {', '.join(near[:3])}" if near else ""
        raise InputError(f"cannot exclude {wrong!r}: no such video in subset {subset!r}{hint}")


def _check_finite(predictions: Mapping[str, Sequence[Detection]]) -> None:
    for video, found in predictions.items():
        for d in found:
            if not math.isfinite(d.start_sec + d.end_sec + d.score):
                raise InputError(f"{video}: times and score must be finite: {d}")


def _notes(
    *,
    excluded: Collection[str],
    outside: Mapping[str, Sequence[Detection]],
    unknown: Counter[str],
    silent: int,
    num_videos: int,
    nothing: bool,
) -> Iterator[str]:
    if excluded:
        yield f"{quantity(len(excluded), 'video')} excluded: {', '.join(excluded)}"
    if outside:
        number = quantity(sum(map(len, outside.values())), "detection")
        where = f"{quantity(len(outside), 'video')} outside the subset"
        yield f"{number} in {where} left out (the first: {next(iter(outside))!r})"
    if unknown:
        named = [f"{label!r} ({n})" for label, n in unknown.most_common(MAX_LABELS_NAMED)]
        more = [f"{len(unknown) - len(named)} more"] if len(unknown) > len(named) else []
        number = quantity(unknown.total(), "detection")
        yield f"{number} of labels without ground truth left out: {', '.join(named + more)}"
    if nothing:
        yield "no detections to evaluate: every average precision is 0"
    elif silent:
        yield f"{silent} of {quantity(num_videos, 'video')} without detections; they count"


def _matched(task: _Task, thresholds: Sequence[float], protocol: str) -> dict[str, Matches]:
    """Return the matches of the detections of every label with ground truth, sorted."""
    number = {video: n for n, video in enumerate(task.videos)}
    truth = instances_by_label({n: task.videos[k].instances for k, n in number.items()})
    found = detections_by_label({number[k]: each for k, each in task.predictions.items()})
    ambiguous = truth.get(AMBIGUOUS, NOWHERE) if protocol == THUMOS14 else NOWHERE
    return {
        label: match(
            found.get(label, NOWHERE),
            truth[label],
            ambiguous,
            thresholds,
            truth_chooses=protocol == THUMOS14,
        )
        for label in class_labels(task.videos.values())
    }


def _curve(matches: Matches, k: int, protocol: str) -> Curve:
    hit = matches.hit[k]
    found = np.arange(1, hit.sum() + 1)
    precision = found / np.cumsum(~matches.neutral[k])[hit]
    if protocol == ANET:
        precision = np.maximum.accumulate(precision[::-1])[::-1]
    return found / matches.num_instances, precision


def _average_precision(matches: Matches, k: int, protocol: str) -> float:
    """Return the AP at threshold number `k`: the sum of precisions at hits over the instances.

    For `thumos14` that is the toolkit's definition. For `anet` it is the toolkit's area under the
    envelope: recall moves only at hits, by one instance, and beyond the last hit the area is 0.
    """
    return float(_curve(matches, k, protocol)[1].sum() / matches.num_instances)
