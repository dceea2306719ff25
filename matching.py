"""Which detections of a class are hits: the greedy matching of both protocols, all videos at once.

Both are one matching read in two directions: under one protocol detections choose among ground
truths, under the other ground truths choose among detections (`match`). Work and memory go with
the number of (detection, ground truth) pairs of the same video, and the only loop in Python is
over those pairs that reach the lowest threshold (`_claims`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from .annotations import Detection, Instance
from .segments import overlap, tiou

MAX_PAIRS = 4_000_000  # whose tIoUs are computed at once: 32 MB an array


@dataclass(frozen=True, eq=False)
class Spans:
    """N segments of one label: when, (N, 2) seconds, and the number of the video, (N,) int64."""

    when: np.ndarray
    video: np.ndarray

    def __len__(self) -> int:
        return len(self.video)


@dataclass(frozen=True, eq=False)
class Verdicts:
    """How the N detections of one class fared at K thresholds, best score first.

    `hit` and `counted` are (K, N) bool; a detection that is not counted is as if never made.
    """

    hit: np.ndarray
    counted: np.ndarray
    num_instances: int


NOWHERE = Spans(np.zeros((0, 2)), np.zeros(0, dtype=np.int64))


def instances_by_label(videos: Mapping[int, Sequence[Instance]]) -> dict[str, Spans]:
    """Return the instances of every label there is, in the order of videos and instances."""
    return _by_label(videos, ranked=False)


def detections_by_label(videos: Mapping[int, Sequence[Detection]]) -> dict[str, Spans]:
    """Return the detections of every label there is, best score first; equals keep their order."""
    return _by_label(videos, ranked=True)


def _by_label(
    videos: Mapping[int, Sequence[Instance | Detection]], *, ranked: bool
) -> dict[str, Spans]:
    entries = [entry for found in videos.values() for entry in found]

    def column(name: str, kind: type) -> np.ndarray:
        return np.fromiter(map(attrgetter(name), entries), dtype=kind, count=len(entries))

    labels = sorted({entry.label for entry in entries})
    number = {label: n for n, label in enumerate(labels)}
    label = np.fromiter((number[e.label] for e in entries), dtype=np.int64, count=len(entries))
    order = np.lexsort((-column("score", float), label) if ranked else (label,))
    when = np.stack([column("start_sec", float), column("end_sec", float)], axis=1)[order]
    video = np.repeat(list(videos), [len(found) for found in videos.values()])[order]
    ends = np.cumsum(np.bincount(label, minlength=len(labels)))[:-1]
    parts = zip(np.split(when, ends), np.split(video, ends), strict=True)
    return {name: Spans(*part) for name, part in zip(labels, parts, strict=False)}


def match(
    found: Spans,
    truth: Spans,
    ambiguous: Spans,
    thresholds: Sequence[float],
    *,
    truth_chooses: bool,
) -> Verdicts:
    """Return the verdicts on the detections of one class.

    One after another takes what it overlaps most among what is still free, the first of equals, if
    that tIoU reaches the threshold; for each of the K thresholds on its own.

    Args:
        found: detections, best score first: they choose in this order, in their video.
        truth: ground truth, the videos in ascending order.
        ambiguous: where detections that are no hits do not count, likewise in ascending order.
        thresholds: K tIoUs, in any order.
        truth_chooses: ground truths choose among detections, and must exceed the threshold.
    """
    detection, instance, tious = _candidates(found, truth, least=min(thresholds))
    if truth_chooses:
        claims = _claims(instance, detection, tious, thresholds, strict=True)
        hits = [(chosen, which) for _, chosen, which in claims]
    else:
        claims = _claims(detection, instance, tious, thresholds, strict=False)
        hits = [(chooser, which) for chooser, _, which in claims]
    hit = np.zeros((len(thresholds), len(found)), dtype=bool)
    for k, row in enumerate(hit):
        row[[place for place, which in hits if which >> k & 1]] = True
    neutral = np.zeros(len(found), dtype=bool)
    for detection, stretch in _pairs(found, ambiguous):
        neutral[detection[overlap(found.when[detection], ambiguous.when[stretch]) > 0]] = True
    return Verdicts(hit, hit | ~neutral, len(truth))


def _candidates(
    found: Spans, truth: Spans, *, least: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return detection, ground truth and tIoU, (P,) each, of all pairs that reach `least`."""
    kept = [(NOWHERE.video, NOWHERE.video, np.zeros(0))]
    for detection, instance in _pairs(found, truth):
        tious = tiou(found.when[detection], truth.when[instance])
        near = tious >= least
        kept.append((detection[near], instance[near], tious[near]))
    detection, instance, tious = (np.concatenate(column) for column in zip(*kept, strict=True))
    return detection, instance, tious


def _pairs(left: Spans, right: Spans) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the places of all pairs of the same video, some at a time; `right` is in order."""
    first = np.searchsorted(right.video, left.video, side="left")
    count = np.searchsorted(right.video, left.video, side="right") - first
    before = np.cumsum(count) - count
    cuts = np.searchsorted(before, np.arange(MAX_PAIRS, count.sum(), MAX_PAIRS))
    for rows in np.split(np.arange(len(left)), cuts):
        within = np.arange(count[rows].sum()) - np.repeat(
            before[rows] - before[rows[:1]], count[rows]
        )
        yield np.repeat(rows, count[rows]), np.repeat(first[rows], count[rows]) + within


def _claims(
    chooser: np.ndarray,
    choice: np.ndarray,
    tious: np.ndarray,
    thresholds: Sequence[float],
    *,
    strict: bool,
) -> Iterator[tuple[int, int, int]]:
    """Yield who claimed what at which thresholds, as a number whose bit `k` is threshold `k`.

    One pass serves all thresholds: a choice carries the thresholds at which it has been taken, a
    chooser those at which it still looks, and going through its candidates by falling tIoU, the
    first that is free and reaches the threshold is the one of largest tIoU.
    """
    rising = np.argsort(thresholds)
    reached = np.searchsorted(
        np.asarray(thresholds)[rising], tious, side="left" if strict else "right"
    )
    reaches = [sum(1 << int(k) for k in rising[:n]) for n in range(len(rising) + 1)]
    order = np.lexsort((choice, -tious, chooser))
    taken: dict[int, int] = {}
    current, looking = -1, 0
    columns = (column[order].tolist() for column in (chooser, choice, reached))
    for who, what, n in zip(*columns, strict=True):
        if who != current:
            current, looking = who, reaches[-1]
        claimed = looking & reaches[n] & ~taken.get(what, 0)
        if claimed:
            taken[what] = taken.get(what, 0) | claimed
            looking &= ~claimed
            yield who, what, claimed
