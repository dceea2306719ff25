"""Who was matched with whom: every detection and every instance as arrays, for `diagnosis`.

`evaluation` says how good detections are; here the same matching keeps the identity of what it
matched, and how close everything else came. Both protocols are read as `evaluation` reads them
(the tests hold the two beside each other): under `anet` detections take instances by falling
score, under `thumos14` instances take detections in the order of the file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..annotations import AMBIGUOUS, AnnotatedVideo, Detection, Instance, class_labels
from ..errors import InputError
from ..evaluation import ANET, THUMOS14
from ..segments import overlap, tiou


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
        return len(self.video)


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
    near, reach, match = _matched(instances, detections, order, protocol, np.array(tious))
    stretches = _entries(truth, ids, [AMBIGUOUS] if protocol == THUMOS14 else [])
    neutral = (match < 0) & _overlapping(detections, stretches)
    return Verdicts(
        protocol, tuple(tious), ids, tuple(labels), instances, detections, score, match, neutral,
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
    order: np.ndarray,
    protocol: str,
    thresholds: np.ndarray,
) -> tuple[Nearness, Nearness, np.ndarray]:
    """Return the nearness of detections and of instances, and the matches, (K, N)."""
    near, reach = (Nearness(np.zeros(n), np.zeros(n)) for n in (len(detections), len(instances)))
    match = np.full((len(thresholds), len(detections)), -1)
    videos = 1 + max(instances.video.max(), detections.video.max(initial=0))
    found = _grouped(order, detections.video, videos)
    listed = _grouped(np.arange(len(instances)), instances.video, videos)
    for rows, columns in zip(found, listed, strict=True):
        if not len(rows) or not len(columns):
            continue
        tious = tiou(detections.segment[rows, None], instances.segment[None, columns])
        same = detections.label[rows, None] == instances.label[None, columns]
        right, wrong = np.where(same, tious, 0.0), np.where(same, 0.0, tious)
        near.same[rows], near.other[rows] = right.max(axis=1), wrong.max(axis=1)
        reach.same[columns], reach.other[columns] = right.max(axis=0), wrong.max(axis=0)
        if protocol == ANET:
            taken = _claimed(right, thresholds, strict=False)
            k, n = np.nonzero(taken >= 0)
            match[k, rows[n]] = columns[taken[k, n]]
        else:
            taken = _claimed(right.T, thresholds, strict=True)
            k, m = np.nonzero(taken >= 0)
            match[k, rows[taken[k, m]]] = columns[m]
    return near, reach, match


def _grouped(indices: np.ndarray, group: np.ndarray, number: int) -> tuple[np.ndarray, ...]:
    """Return the indices of every one of `number` groups, each in the given order."""
    sorted_ = indices[np.argsort(group[indices], kind="stable")]
    ends = np.cumsum(np.bincount(group, minlength=number))
    return tuple(np.split(sorted_, ends[:-1]))


def _claimed(tious: np.ndarray, thresholds: np.ndarray, *, strict: bool) -> np.ndarray:
    """Return the column that every row took, -1 where none, (K, R), from tIoUs (R, C).

    Row after row takes the free column of largest tIoU, the first of equals, if that reaches
    the threshold, or exceeds it where `strict`; for each of the K thresholds on its own.
    """
    every = np.arange(len(thresholds))
    claimed = np.full((len(thresholds), len(tious)), -1)
    taken = np.zeros((len(thresholds), tious.shape[1]), dtype=bool)
    for row in np.flatnonzero(tious.max(axis=1) >= thresholds.min()):
        free = np.where(taken, -1.0, tious[row])  # (K, C)
        best = free.argmax(axis=1)
        largest = free[every, best]
        claims = largest > thresholds if strict else largest >= thresholds
        claimed[claims, row] = best[claims]
        taken[every[claims], best[claims]] = True
    return claimed


def _overlapping(entries: Entries, stretches: Entries) -> np.ndarray:
    """Return which entries overlap a stretch of their video, (N,) bool."""
    touched = np.zeros(len(entries), dtype=bool)
    for video in np.unique(stretches.video):
        at = np.flatnonzero(entries.video == video)
        within = stretches.segment[stretches.video == video]
        touched[at] = (overlap(entries.segment[at, None], within[None]) > 0).any(axis=1)
    return touched
