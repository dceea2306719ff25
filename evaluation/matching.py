"""Which detections of a class are hits: the greedy matching of both protocols, all videos at once.

Both are one matching read in two directions: under one protocol detections choose among ground
truths, under the other ground truths choose among detections (`match`). Work goes with the number
of (detection, ground truth) pairs that may overlap, memory does not, and the only loop in Python
is over those pairs that reach the lowest threshold (`_claims`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from ..formats.annotations import Detection, Instance
from ..segments import overlap, tiou

MAX_PAIRS = 1_000_000  # whose tIoUs are computed at once: 8 MB an array


@dataclass(frozen=True, eq=False)
class Spans:
    """N segments of one label: when, (N, 2) seconds, and the number of the video, (N,) int64."""

    when: np.ndarray
    video: np.ndarray

    def __len__(self) -> int:
        """Return N."""
        return len(self.video)


@dataclass(frozen=True, eq=False)
class Matches:
    """What the N detections of one class hit at K thresholds, best score first.

    instance: place of the instance that a detection hit, -1 where it hit none, (K, N) int32.
    neutral: detections that are as if never made, (K, N) bool.
    """

    instance: np.ndarray
    neutral: np.ndarray
    num_instances: int

    @property
    def hit(self) -> np.ndarray:
        """Return which detections are true positives, (K, N) bool."""
        return self.instance >= 0


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
        """Return one attribute of all N entries, (N,)."""
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
) -> Matches:
    """Return what the detections of one class hit.

    One after another takes what it overlaps most among what is still free, the first of equals, if
    that tIoU reaches the threshold; for each of the K thresholds on its own.

    Args:
        found: detections, best score first: they choose in this order, in their video.
        truth: ground truth.
        ambiguous: where detections that are no hits do not count.
        thresholds: K tIoUs above 0, in any order.
        truth_chooses: ground truths choose among detections, and must exceed the threshold.
    """
    instance = np.full((len(thresholds), len(found)), -1, dtype=np.int32)
    if truth_chooses:
        claims = [(n, m, which) for m, n, which in _claims(truth, found, thresholds, strict=True)]
    else:
        claims = list(_claims(found, truth, thresholds, strict=False))
    for k, row in enumerate(instance):
        pairs = [(detection, hit) for detection, hit, which in claims if which >> k & 1]
        row[[detection for detection, _ in pairs]] = [hit for _, hit in pairs]
    touched = np.zeros(len(found), dtype=bool)
    for detection, stretch in _pairs(found, ambiguous):
        touched[detection[overlap(found.when[detection], ambiguous.when[stretch]) > 0]] = True
    return Matches(instance, (instance < 0) & touched, len(truth))


def _claims(
    choosers: Spans, choices: Spans, thresholds: Sequence[float], *, strict: bool
) -> Iterator[tuple[int, int, int]]:
    """Yield who claimed what at which thresholds, as a number whose bit `k` is threshold `k`.

    One pass serves all thresholds: a choice carries the thresholds at which it has been taken, a
    chooser those at which it still looks, and going through its candidates by falling tIoU, the
    first that is free and reaches the threshold is the one of largest tIoU.
    """
    rising = np.argsort(thresholds)
    levels = np.asarray(thresholds)[rising]
    reaches = [sum(1 << int(k) for k in rising[:n]) for n in range(len(rising) + 1)]
    taken: dict[int, int] = {}
    current, looking = -1, 0
    for chooser, choice, tious in _candidates(choosers, choices, least=levels[0]):
        reached = np.searchsorted(levels, tious, side="left" if strict else "right")
        order = np.lexsort((choice, -tious, chooser))
        columns = (column[order].tolist() for column in (chooser, choice, reached))
        for who, what, n in zip(*columns, strict=True):
            if who != current:
                current, looking = who, reaches[-1]
            claimed = looking & reaches[n] & ~taken.get(what, 0)
            if claimed:
                taken[what] = taken.get(what, 0) | claimed
                looking &= ~claimed
                yield who, what, claimed


def _candidates(
    left: Spans, right: Spans, *, least: float
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the places and tIoUs, (P,) each, of the pairs that reach `least`, as `_pairs` does."""
    for i, j in _pairs(left, right):
        tious = tiou(left.when[i], right.when[j])
        near = tious >= least
        yield i[near], j[near], tious[near]


def _pairs(left: Spans, right: Spans) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the places of pairs of the same video, some at a time: all that overlap, and others.

    The partners of a segment lie side by side in `right` sorted by start: from the first up to
    which something ends after the segment's start, to the last that starts before its end. All of
    them are yielded together, and the segments of `left` in their order.
    """
    order = np.lexsort((right.when[:, 0], right.video))
    start, end = (instants[order] for instants in _instants(right))
    left_start, left_end = _instants(left)
    first = np.searchsorted(np.maximum.accumulate(end), left_start, side="right")
    count = np.maximum(np.searchsorted(start, left_end, side="left") - first, 0)
    before = np.cumsum(count) - count
    cuts = np.searchsorted(before, np.arange(MAX_PAIRS, count.sum(), MAX_PAIRS))
    for rows in np.split(np.arange(len(left)), cuts):
        within = np.arange(count[rows].sum()) - np.repeat(
            before[rows] - before[rows[:1]], count[rows]
        )
        yield np.repeat(rows, count[rows]), order[np.repeat(first[rows], count[rows]) + within]


def _instants(spans: Spans) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and ends, (N,) each, that are in order over all videos, one after the other.

    As complex numbers, which NumPy orders by their real parts, here the video, before all else.
    """
    start, end = np.ascontiguousarray(spans.when.T)
    return spans.video + 1j * start, spans.video + 1j * end
