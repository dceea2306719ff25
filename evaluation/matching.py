"""Which detections hit which instances: stage three's first step, which all its figures rest on.

Ground truth and detections come in; `Matches` by one of two protocols go out:

    anet       the ActivityNet toolkit's `eval_detection.py` (Heilbron et al., CVPR 2015)
    thumos14   the THUMOS Challenge 2014 toolkit's `TH14eventdetpr.m` (Jiang et al., 2014)

Both are one greedy matching read in two directions: under `anet` detections choose among
instances, under `thumos14` instances choose among detections. The toolkits leave ties to their
sort functions; here, detections of equal score keep the order of the predictions (videos, then
detections within a video), and of equal tIoUs the first in that order wins.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from operator import attrgetter

import numpy as np

from ..errors import InputError, listed, quantity, shown
from ..formats.annotations import AMBIGUOUS, AnnotatedVideo, Detection, Instance, class_labels
from ..formats.limits import check_size
from ..formats.names import nfc
from ..segments import overlap, tiou

ANET = "anet"
THUMOS14 = "thumos14"
PROTOCOLS = (ANET, THUMOS14)
THUMOS14_TIOUS = (0.3, 0.4, 0.5, 0.6, 0.7)
ACTIVITYNET_TIOUS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)

Videos = Mapping[str, AnnotatedVideo]
Predictions = Mapping[str, Sequence[Detection]]

MAX_LABELS_NAMED = 5  # in a note; the rest are counted
FAR = 1e12  # seconds; instants beyond are not told apart where pairs are looked for
PAIR_BYTES = 120  # of memory for each pair that is kept, sorted and matched
MAX_PAIRS = 1_000_000  # whose tIoUs are computed at once: 8 MB an array


@dataclass(frozen=True)
class Measure:
    """How detections are measured.

    protocol: `anet` or `thumos14`.
    tious: K thresholds in (0, 1], rounded to 10 decimals, so that 0.1 + 0.2 is 0.3.
    exclude: ids of videos to leave out of ground truth and predictions.

    Raises:
        InputError: a protocol or threshold that does not exist, or a threshold given twice.
    """

    protocol: str = ANET
    tious: tuple[float, ...] = THUMOS14_TIOUS
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the values, and round the thresholds."""
        if self.protocol not in PROTOCOLS:
            raise InputError(f"no protocol {self.protocol!r}; there are: {', '.join(PROTOCOLS)}")
        tious = tuple(round(float(t), 10) for t in self.tious)
        if not tious or not all(0 < t <= 1 for t in tious):
            raise InputError(f"tIoU thresholds in (0, 1] are needed, not {listed(self.tious)}")
        if len(set(map(threshold_name, tious))) != len(tious):
            raise InputError(f"the same tIoU threshold twice: {listed(self.tious, most=20)}")
        object.__setattr__(self, "tious", tious)
        object.__setattr__(self, "exclude", tuple(map(nfc, self.exclude)))

    def changed(
        self, protocol: str | None = None, tious: Sequence[float] = (), exclude: Sequence[str] = ()
    ) -> Measure:
        """Return the measure with what is given in place of its own; None and empty are not."""
        return Measure(
            protocol or self.protocol, tuple(tious) or self.tious, tuple(exclude) or self.exclude
        )

    def reached(self, tious: np.ndarray) -> np.ndarray:
        """Return whether tIoUs (N,) are enough for a hit at each threshold, (K, N) bool."""
        thresholds = np.array(self.tious)[:, None]
        return tious > thresholds if self.protocol == THUMOS14 else tious >= thresholds


@dataclass(frozen=True, eq=False)
class Entries:
    """N labelled segments of many videos, as columns.

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

    def __getitem__(self, chosen: np.ndarray) -> Entries:
        """Return the entries at these indices, (n,) int, or where True, (N,) bool."""
        return Entries(**{name: column[chosen] for name, column in vars(self).items()})


@dataclass(frozen=True, eq=False, repr=False)
class Matches:
    """N detections matched with M instances at K thresholds, all classes and videos together.

    videos: the V videos of the ground truth, less the excluded; they are numbered in this order.
    predictions: detections by video, as they were given.
    labels: the C labels that have instances, sorted; they are numbered in this order.
    instances: of every class, in the order of the videos; `Ambiguous` stretches are not among them.
    detections: of these labels in these videos, best score first; equals keep their order.
    score: of every detection, (N,) float.
    match: number of the instance that a detection hit, -1 where it hit none, (K, N) int.
    neutral: detections that count neither way: no hit, and half or more in stretches that the
        annotations ignore, or (`thumos14`) overlapping an `Ambiguous` one, (K, N) bool.
    notes: a line each: what was left out, and what a reader of the figures should know.
    """

    videos: Videos
    predictions: Predictions
    measure: Measure
    subset: str
    labels: tuple[str, ...]
    instances: Entries
    detections: Entries
    score: np.ndarray
    match: np.ndarray
    neutral: np.ndarray
    notes: tuple[str, ...]

    @cached_property
    def video_ids(self) -> tuple[str, ...]:
        """Return the ids of the V videos."""
        return tuple(self.videos)

    @cached_property
    def hit(self) -> np.ndarray:
        """Return whether a detection is a true positive, (K, N) bool."""
        return self.match >= 0

    @cached_property
    def found(self) -> np.ndarray:
        """Return whether an instance was hit, (K, M) bool."""
        found = np.zeros((len(self.match), len(self.instances)), dtype=bool)
        for row, match in zip(found, self.match, strict=True):
            row[match[match >= 0]] = True
        return found

    @cached_property
    def instances_per_class(self) -> np.ndarray:
        """Return the number of instances of every class, at least 1, (C,) int."""
        return np.bincount(self.instances.label, minlength=len(self.labels))

    @cached_property
    def rankings(self) -> tuple[np.ndarray, ...]:
        """Return the indices of every class's detections, best score first, C of (n,) int."""
        return _members(self.detections.label, len(self.labels))

    @cached_property
    def video_rankings(self) -> tuple[np.ndarray, ...]:
        """Return the indices of every video's detections, best score first, V of (n,) int."""
        return _members(self.detections.video, len(self.videos))


def match(videos: Videos, predictions: Predictions, measure: Measure, *, subset: str) -> Matches:
    """Return the matches of detections with the instances of their class and video.

    Detections outside `videos`, and those of labels without ground truth, are left out with a note.

    Args:
        videos: the ground truth, already narrowed to the subset.
        predictions: detections per video, in any order.
        subset: the subset's name, for the result and for messages.
    Raises:
        InputError: an excluded id that is not in the subset, no ground truth at all, or a
            detection that is not finite.
    """
    excluded = set(measure.exclude)
    _check_excluded(excluded, videos, subset)
    kept = {k: v for k, v in videos.items() if k not in excluded}
    labels = class_labels(kept.values())
    if not labels:
        raise InputError(
            f"subset {subset!r} has no ground truth: none of its {quantity(len(kept), 'video')} "
            "has a labelled instance; evaluate on a subset that is annotated"
        )

    # `Ambiguous` gets the number after the last class, which tells its stretches from instances.
    truth = _entries({k: v.instances for k, v in kept.items()}, kept, [*labels, AMBIGUOUS])
    instances, ambiguous = truth[truth.label < len(labels)], truth[truth.label == len(labels)]

    found = _entries(predictions, kept, labels)
    every = [d for each in predictions.values() for d in each]
    score = _column(every, "score")
    with np.errstate(over="ignore", invalid="ignore"):
        wrong = np.flatnonzero(~np.isfinite(found.segment[:, 0] + found.segment[:, 1] + score))
    if len(wrong):
        video = [k for k, each in predictions.items() for _ in each][wrong[0]]
        raise InputError(f"{video}: times and score must be finite: {every[wrong[0]]}")
    usable = np.flatnonzero((found.video >= 0) & (found.label >= 0))
    ranked = usable[np.argsort(-score[usable], kind="stable")]
    detections = found[ranked]
    unlabelled = np.flatnonzero((found.video >= 0) & (found.label < 0))
    unknown = Counter(every[n].label for n in unlabelled)
    notes = _notes(videos, excluded, predictions, unknown, nothing=not len(detections))

    matched = _match_classes(detections, instances, measure)
    touched = np.zeros(len(detections), dtype=bool)
    if measure.protocol == THUMOS14:
        for n, m in pairs(detections, ambiguous):
            touched[n[overlap(detections.segment[n], ambiguous.segment[m]) > 0]] = True
    covered = _covered(detections, kept)
    return Matches(
        videos=kept,
        predictions=predictions,
        measure=measure,
        subset=subset,
        labels=tuple(labels),
        instances=instances,
        detections=detections,
        score=score[ranked],
        match=matched,
        neutral=(matched < 0) & (touched | covered),
        notes=tuple(notes),
    )


def _covered(detections: Entries, videos: Videos) -> np.ndarray:
    """Return whether half or more of a detection lies in ignored stretches, (N,) bool."""
    stretches = {k: [Instance(AMBIGUOUS, *s) for s in v.ignored] for k, v in videos.items()}
    ignored = _entries(stretches, videos, [AMBIGUOUS])
    seconds = np.zeros(len(detections))
    if len(ignored):
        for n, m in pairs(detections, ignored):
            np.add.at(seconds, n, overlap(detections.segment[n], ignored.segment[m]))
    return (seconds > 0) & (2 * seconds >= np.diff(detections.segment, axis=1)[:, 0])


def pairs(
    left: Entries, right: Entries, *, same_label: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield indices of entries that overlap in time in one video, some pairs at a time, (P,) each.

    Every pair that overlaps is there once, and so are a few that do not. Work goes with the number
    of pairs, memory does not.

    Args:
        same_label: only pairs of one label.
    """
    left_group, right_group = left.video, right.video
    if same_label:
        labels = 1 + max(left.label.max(initial=0), right.label.max(initial=0))
        left_group = left_group * labels + left.label
        right_group = right_group * labels + right.label

    # All groups on one line of time, one after the other, with gaps between them. Rounding can
    # make instants of one group equal there, but never changes their order.
    low, high = np.clip([right.segment.min(initial=0), right.segment.max(initial=0)], -FAR, FAR)
    shift = 2 * (high - low) + 1
    left_start, left_end = left_group * shift + np.clip(left.segment, low, high).T
    start, end = right_group * shift + np.clip(right.segment, low, high).T

    # What overlaps a segment then lies side by side in the order of starts: from the first up to
    # which one ends after the segment's start, to the last that starts before the segment's end.
    order = np.argsort(start)
    first = np.searchsorted(np.maximum.accumulate(end[order]), left_start, side="left")
    count = np.searchsorted(start[order], left_end, side="right") - first
    count = np.maximum(count, 0)

    cuts = np.searchsorted(np.cumsum(count), np.arange(MAX_PAIRS, count.sum(), MAX_PAIRS))
    for rows in np.split(np.arange(len(left)), cuts):
        before = np.cumsum(count[rows]) - count[rows]
        n = np.repeat(rows, count[rows])
        yield n, order[first[n] + np.arange(len(n)) - np.repeat(before, count[rows])]


def _match_classes(detections: Entries, instances: Entries, measure: Measure) -> np.ndarray:
    """Return the instance that each detection hit, -1 where it hit none, (K, N) int.

    One after another, choosers take what they overlap most among what is still free, the first of
    equals, if that tIoU is enough; for each threshold on its own.
    """
    near, kept = [], 0
    for n, m in pairs(detections, instances, same_label=True):
        tious = tiou(detections.segment[n], instances.segment[m])
        enough = tious >= min(measure.tious)
        near.append((n[enough], m[enough], tious[enough]))
        kept += len(near[-1][0])
        overlapping = f"{kept:,} pairs of a detection and an instance that overlap"
        check_size(PAIR_BYTES * kept, overlapping, instead="fewer detections")
    n, m, tious = map(np.concatenate, zip(*near, strict=True))

    choosers, choices = (m, n) if measure.protocol == THUMOS14 else (n, m)
    order = np.lexsort((choices, -tious, choosers))
    n, m, choosers, choices = n[order], m[order], choosers[order], choices[order]
    matched = np.full((len(measure.tious), len(detections)), -1, dtype=np.int32)
    for row, reached in zip(matched, measure.reached(tious[order]), strict=True):
        candidates = np.flatnonzero(reached)
        hits = candidates[_claims(choosers[candidates], choices[candidates])]
        row[n[hits]] = m[hits]
    return matched


def _claims(choosers: np.ndarray, choices: np.ndarray) -> np.ndarray:
    """Return which pairs come about: those whose chooser has nothing yet and whose choice is free.

    Args:
        choosers, choices: P pairs, a chooser's own one after another and the best first, (P,) int.
    """
    # A pair that is the first of both comes about whatever else does: most pairs need no loop.
    sure = np.flatnonzero(_is_first(choosers) & _is_first(choices))
    settled = np.isin(choosers, choosers[sure]) | np.isin(choices, choices[sure])
    rest = np.flatnonzero(~settled)
    taken: dict[int, int] = {}
    served = -1
    columns = (column.tolist() for column in (rest, choosers[rest], choices[rest]))
    for pair, chooser, choice in zip(*columns, strict=True):
        if chooser != served and choice not in taken:
            taken[choice] = pair
            served = chooser
    return np.concatenate([sure, np.fromiter(taken.values(), np.int64, len(taken))])


def _is_first(values: np.ndarray) -> np.ndarray:
    """Return whether a value, a whole number from 0 on, occurs for the first time, (P,) bool."""
    places = np.arange(len(values))
    first = np.zeros(1 + values.max(initial=-1), dtype=np.int64)
    first[values[::-1]] = places[::-1]  # of those written to one place the last one stays
    return first[values] == places


def _entries(
    by_video: Mapping[str, Sequence[Instance | Detection]],
    videos: Collection[str],
    labels: Sequence[str],
) -> Entries:
    """Return all entries in the order of the mapping.

    Videos and labels are numbered as in `videos` and `labels`, and -1 where they are not there.
    """
    every = [entry for entries in by_video.values() for entry in entries]
    counts = np.array([len(entries) for entries in by_video.values()], dtype=np.int64)
    video_number = {video: n for n, video in enumerate(videos)}
    label_number = {label: n for n, label in enumerate(labels)}
    video = np.array([video_number.get(k, -1) for k in by_video], dtype=np.int64)
    label = map(label_number.get, map(attrgetter("label"), every), repeat(-1))
    return Entries(
        video=np.repeat(video, counts),
        label=np.fromiter(label, np.int64, len(every)),
        segment=np.stack([_column(every, "start_sec"), _column(every, "end_sec")], axis=1),
        place=np.arange(len(every)) - np.repeat(np.cumsum(counts) - counts, counts),
    )


def _column(entries: Sequence[Instance | Detection], name: str) -> np.ndarray:
    return np.fromiter(map(attrgetter(name), entries), np.float64, len(entries))


def _members(group: np.ndarray, number: int) -> tuple[np.ndarray, ...]:
    """Return the indices of the members of every one of `number` groups, rising."""
    ends = np.cumsum(np.bincount(group, minlength=number))
    return tuple(np.split(np.argsort(group, kind="stable"), ends[:-1]))


def _check_excluded(excluded: set[str], videos: Collection[str], subset: str) -> None:
    for wrong in sorted(excluded.difference(videos)):
        alike = difflib.get_close_matches(wrong, videos, cutoff=0.4)
        near = [k for k in videos if wrong in k] or alike
        hint = f"; the nearest: {listed(near[:3])}" if near else ""
        raise InputError(f"cannot exclude {shown(wrong)}: no such video in subset {subset!r}{hint}")


def _notes(
    videos: Collection[str], excluded: set[str], predictions: Predictions, unknown: Counter[str],
    *, nothing: bool,
) -> Iterator[str]:  # fmt: skip
    if excluded:
        yield f"{quantity(len(excluded), 'video')} excluded: {listed(sorted(excluded))}"
    outside = {k: len(found) for k, found in predictions.items() if found and k not in videos}
    if outside:
        number = quantity(sum(outside.values()), "detection")
        where = f"{quantity(len(outside), 'video')} outside the subset"
        yield f"{number} in {where} left out (the first: {next(iter(outside))!r})"
    if unknown:
        named = [f"{label!r} ({n})" for label, n in unknown.most_common(MAX_LABELS_NAMED)]
        more = [f"{len(unknown) - len(named)} more"] if len(unknown) > len(named) else []
        number = quantity(unknown.total(), "detection")
        yield f"{number} of labels without ground truth left out: {', '.join(named + more)}"
    silent = sum(not predictions.get(k) for k in videos if k not in excluded)
    if nothing:
        yield "no detections to evaluate: every average precision is 0"
    elif silent:
        number = quantity(len(videos) - len(excluded), "video")
        yield f"{silent} of {number} without detections; they count"


def threshold_name(threshold: float) -> str:
    """Return a tIoU threshold as people write it: "0.3" also for 0.1 + 0.2."""
    return f"{round(threshold, 10):g}"
