"""Who was matched with whom: every detection and every instance as arrays, for `diagnosis`.

`evaluation` says how good detections are; here the same matching (`matching.match`) keeps the
identity of what it matched, of all classes at once, and how close everything else came.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import InputError
from ..formats.annotations import AMBIGUOUS, AnnotatedVideo, Detection, Instance, class_labels
from ..segments import tiou
from .average_precision import ANET, THUMOS14
from .matching import Spans, match

MAX_CELLS = 250_000  # of a table of tIoUs: 2 MB, which stays in the cache


@dataclass(frozen=True, eq=False)
class Entries:
    """N labelled segments of many videos, in the order of their source.

    video: number of the video, (N,) int.
    label: number of the label, (N,) int.
    segment: start and end in seconds, (N, 2) float.
    place: position in the video's own list, (N,) int, so that an entry can be found again.
    """

    video: np.ndarray
    label: np.ndarray
    segment: np.ndarray
    place: np.ndarray

    def __len__(self) -> int:
        """Return N."""
        return len(self.video)

    def spans(self, chosen: np.ndarray) -> Spans:
        """Return the entries of these indices, which are of one label, for `match`."""
        return Spans(self.segment[chosen], self.video[chosen])


@dataclass(frozen=True, eq=False)
class Nearness:
    """The largest tIoU of every entry with those of the other side in its video, (N,) each.

    same: with those of its own label; other: with those of any other label.
    """

    same: np.ndarray
    other: np.ndarray


@dataclass(frozen=True, eq=False)
class Verdicts:
    """How N detections and M instances fared against each other at K thresholds.

    Instances are those of every class; `Ambiguous` stretches and detections of labels without
    ground truth are not among the entries.

    score: (N,) float.
    match: number of the instance that a detection hit, -1 where it hit none, (K, N) int.
    neutral: detections that count neither way (`thumos14`: no hit, and overlapping an
        `Ambiguous` stretch), (K, N) bool.
    order: the detections by falling score; equal scores keep their order, (N,) int.
    near: of every detection to the instances; reach: of every instance to the detections.
    """

    protocol: str
    tious: tuple[float, ...]
    video_ids: tuple[str, ...]
    labels: tuple[str, ...]
    instances: Entries
    detections: Entries
    score: np.ndarray
    match: np.ndarray
    neutral: np.ndarray
    order: np.ndarray
    near: Nearness
    reach: Nearness

    @cached_property
    def hit(self) -> np.ndarray:
        """Return which detections are true positives, (K, N) bool."""
        return self.match >= 0

    @cached_property
    def found(self) -> np.ndarray:
        """Return which instances were hit, (K, M) bool."""
        found = np.zeros((len(self.tious), len(self.instances)), dtype=bool)
        k, n = np.nonzero(self.hit)
        found[k, self.match[k, n]] = True
        return found

    @cached_property
    def instances_per_class(self) -> np.ndarray:
        """Return the number of instances of every class, at least 1, (C,) int."""
        return np.bincount(self.instances.label, minlength=len(self.labels))

    @cached_property
    def rankings(self) -> tuple[np.ndarray, ...]:
        """Return the detections of every class by falling score, as indices, (N_c,) int each."""
        return _grouped(self.order, self.detections.label, len(self.labels))

    @cached_property
    def video_rankings(self) -> tuple[np.ndarray, ...]:
        """Return the detections of every video by falling score, as indices, (N_v,) int each."""
        return _grouped(self.order, self.detections.video, len(self.video_ids))

    def reaches(self, tious: np.ndarray) -> np.ndarray:
        """Return at which of the K thresholds tIoUs (N,) are enough for a hit, (K, N) bool."""
        thresholds = np.array(self.tious)[:, None]
        return tious > thresholds if self.protocol == THUMOS14 else tious >= thresholds

    def precision_at_hits(self, hit: np.ndarray, false: np.ndarray) -> np.ndarray:
        """Return the protocol's precision at each of the H hits of a ranking, (H,).

        Their sum over the number of instances is the average precision.

        Args:
            hit, false: which are hits, which are errors, best score first, (N,) bool; what is
                neither is as if never made.
        """
        found = np.arange(1, int(hit.sum()) + 1)
        precision = found / (found + np.cumsum(false)[hit])
        if self.protocol == ANET:
            precision = np.maximum.accumulate(precision[::-1])[::-1]
        return precision


def judge(
    videos: Mapping[str, AnnotatedVideo],
    predictions: Mapping[str, Sequence[Detection]],
    *,
    protocol: str,
    tious: Sequence[float],
    exclude: Collection[str] = (),
) -> Verdicts:
    """Return the verdicts on `predictions`; arguments as `evaluation.evaluate` takes them.

    Raises:
        InputError: no ground truth.
    """
    kept = {k: v for k, v in videos.items() if k not in set(exclude)}
    labels = class_labels(kept.values())
    if not labels:
        raise InputError("no ground truth: none of the videos has a labelled instance")
    known = {k: found for k, found in predictions.items() if k in kept}
    truth = {k: v.instances for k, v in kept.items()}
    ids = tuple(kept)
    instances = _entries(truth, ids, labels)
    detections = _entries(known, ids, labels)
    score = np.array(
        [known[ids[v]][p].score for v, p in zip(detections.video, detections.place, strict=True)],
        dtype=np.float64,
    )
    order = np.argsort(-score, kind="stable")
    near, reach = _nearness(detections, instances)
    stretches = _entries(truth, ids, [AMBIGUOUS] if protocol == THUMOS14 else [])
    matched, neutral = _matched(instances, detections, stretches, order, protocol, tious)
    return Verdicts(
        protocol, tuple(tious), ids, tuple(labels), instances, detections, score, matched, neutral,
        order, near, reach,
    )  # fmt: skip


def _entries(
    by_video: Mapping[str, Sequence[Instance | Detection]],
    ids: Sequence[str],
    labels: Sequence[str],
) -> Entries:
    """Return the entries of these labels, in the order of the mapping."""
    video_number = {video: n for n, video in enumerate(ids)}
    label_number = {label: n for n, label in enumerate(labels)}
    rows = [
        (video_number[video], label_number[e.label], place, e.start_sec, e.end_sec)
        for video, entries in by_video.items()
        for place, e in enumerate(entries)
        if e.label in label_number
    ]
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    video, label, place = table[:, :3].astype(np.int64).T
    return Entries(video, label, table[:, 3:], place)


def _matched(
    instances: Entries,
    detections: Entries,
    stretches: Entries,
    order: np.ndarray,
    protocol: str,
    tious: Sequence[float],
) -> tuple[np.ndarray, np.ndarray]:
    """Return which instance every detection hit, -1 where none, and which are neutral, (K, N)."""
    matched = np.full((len(tious), len(detections)), -1)
    neutral = np.zeros(matched.shape, dtype=bool)
    classes = 1 + instances.label.max()
    ranked = _grouped(order, detections.label, classes)
    listed = _grouped(np.arange(len(instances)), instances.label, classes)
    ambiguous = stretches.spans(np.arange(len(stretches)))
    for rows, columns in zip(ranked, listed, strict=True):
        matches = match(
            detections.spans(rows),
            instances.spans(columns),
            ambiguous,
            tious,
            truth_chooses=protocol == THUMOS14,
        )
        matched[:, rows] = np.where(matches.hit, columns[matches.instance], -1)
        neutral[:, rows] = matches.neutral
    return matched, neutral


def _nearness(detections: Entries, instances: Entries) -> tuple[Nearness, Nearness]:
    """Return the nearness of detections and of instances.

    Detections that start one after the other, so few that the table of tIoUs is small, are
    compared with the instances that overlap the time from their first start to their last end.
    """
    near, reach = (Nearness(np.zeros(n), np.zeros(n)) for n in (len(detections), len(instances)))
    videos = 1 + max(instances.video.max(), detections.video.max(initial=0))
    found = _grouped(np.argsort(detections.segment[:, 0]), detections.video, videos)
    listed = _grouped(np.arange(len(instances)), instances.video, videos)
    for rows, columns in zip(found, listed, strict=True):
        if not len(rows) or not len(columns):
            continue
        start, end = instances.segment[columns].T
        step = max(1, MAX_CELLS // len(columns))
        for some in np.split(rows, range(step, len(rows), step)):
            when = detections.segment[some]
            there = columns[(start < when[:, 1].max()) & (end > when[:, 0].min())]
            if not len(there):
                continue
            tious = tiou(when[:, None], instances.segment[None, there])
            same = detections.label[some, None] == instances.label[None, there]
            right, wrong = np.where(same, tious, 0.0), np.where(same, 0.0, tious)
            near.same[some], near.other[some] = right.max(axis=1), wrong.max(axis=1)
            reach.same[there] = np.maximum(reach.same[there], right.max(axis=0))
            reach.other[there] = np.maximum(reach.other[there], wrong.max(axis=0))
    return near, reach


def _grouped(indices: np.ndarray, group: np.ndarray, number: int) -> tuple[np.ndarray, ...]:
    """Return the indices of every one of `number` groups, each in the given order."""
    sorted_ = indices[np.argsort(group[indices], kind="stable")]
    ends = np.cumsum(np.bincount(group, minlength=number))
    return tuple(np.split(sorted_, ends[:-1]))
