"""F1 of segments, the action segmentation field's figure.

After Lea, Flynn, Vidal, Reiter and Hager, "Temporal Convolutional Networks for Action Segmentation
and Detection", CVPR 2017, as MS-TCN (Farha and Gall, CVPR 2019) computes it: pieces of an action
cost, a boundary that is a little off does not.

Segmentation gives every instant one class. So each instant belongs to the detection of the highest
score there (of equals, the first), and a detection's **segment** is the longest stretch that is
left of it; one of which nothing is left has none. Where annotated actions of different classes
overlap, a video is no such line, and every class has a line of its own. Unlike in labels of frames,
segments of one class that touch stay two: they are two actions.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ..formats.annotations import AMBIGUOUS, AnnotatedVideo, Detection, Instance
from ..segments import overlap, tiou
from .matching import Videos

Action = TypeVar("Action", Instance, Detection)

OVERLAPS = (0.1, 0.25, 0.5)  # F1@10, F1@25, F1@50
TOUCHING_SEC = 1e-3  # by which annotated actions may run into each other


@dataclass(frozen=True)
class SegmentCounts:
    """Segments at each of `OVERLAPS`: how many hit an instance, how many do not.

    instances: of the ground truth.
    """

    right: tuple[int, ...]
    wrong: tuple[int, ...]
    instances: int

    def __add__(self, other: SegmentCounts) -> SegmentCounts:
        """Return the counts of both."""
        return SegmentCounts(
            tuple(a + b for a, b in zip(self.right, other.right, strict=True)),
            tuple(a + b for a, b in zip(self.wrong, other.wrong, strict=True)),
            self.instances + other.instances,
        )

    @property
    def f1(self) -> dict[str, float]:
        """F1 by its overlap in percent, "10", "25" and "50"; 1 where there is nothing to find."""
        return {
            f"{100 * least:.0f}": 2 * right / both
            if (both := right + wrong + self.instances)
            else 1.0
            for least, right, wrong in zip(OVERLAPS, self.right, self.wrong, strict=True)
        }


NONE = SegmentCounts((0,) * len(OVERLAPS), (0,) * len(OVERLAPS), 0)


def count_segments(
    videos: Videos, found: Mapping[str, Sequence[Detection]], labels: Sequence[str]
) -> dict[str, SegmentCounts]:
    """Return how many segments are right, by class.

    A segment takes the instance of its class that it overlaps most, and is right if that tIoU is
    enough and no earlier segment had the instance. One without a hit that lies by half or more in
    stretches that the annotations ignore counts neither way.

    Args:
        found: detections that count, by video.
        labels: classes to count.
    """
    one_line = not any(_classes_overlap(video.instances) for video in videos.values())
    counts = dict.fromkeys(labels, NONE)
    for video_id, video in videos.items():
        segments = segments_of(found.get(video_id, ()), one_line=one_line)
        found_by, there_by = _by_label(segments), _by_label(video.instances)
        for label in {*found_by, *there_by} & counts.keys():
            counts[label] += _count(found_by.get(label, []), there_by.get(label, []), video)
    return counts


def segments_of(detections: Sequence[Detection], *, one_line: bool) -> list[Instance]:
    """Return the segments of one video's detections, in the order of time.

    Args:
        one_line: whether an instant has one class, or one detection of each class.
    """
    lines = {"": list(detections)} if one_line else _by_label(detections)
    segments = []
    for line in lines.values():
        starts: list[float] = []  # of stretches that stronger detections have, apart and in order
        ends: list[float] = []
        for d in sorted(line, key=lambda d: -d.score):
            first, last = bisect_right(ends, d.start_sec), bisect_left(starts, d.end_sec)
            if first > last:  # of no length, within a stretch
                continue
            free = zip(
                [d.start_sec, *ends[first:last]], [*starts[first:last], d.end_sec], strict=True
            )
            start, end = max(free, key=lambda piece: piece[1] - piece[0])
            if end > start:
                segments.append(Instance(d.label, start, end))
                starts[first:last] = [min([d.start_sec, *starts[first:last]])]
                ends[first:last] = [max([d.end_sec, *ends[first:last]])]
    return sorted(segments, key=lambda s: (s.start_sec, s.end_sec, s.label))


def _by_label(actions: Iterable[Action]) -> dict[str, list[Action]]:
    grouped = defaultdict(list)
    for action in actions:
        grouped[action.label].append(action)
    return grouped


def _count(
    segments: Sequence[Instance], instances: Sequence[Instance], video: AnnotatedVideo
) -> SegmentCounts:
    """Return the counts of one class in one video."""
    right, wrong = [0] * len(OVERLAPS), [0] * len(OVERLAPS)
    truth = np.array([(i.start_sec, i.end_sec) for i in instances]).reshape(-1, 2)
    taken = np.zeros((len(OVERLAPS), len(truth)), dtype=bool)
    for segment in segments:
        own = np.array([segment.start_sec, segment.end_sec])
        fits = tiou(own, truth)
        most = int(fits.argmax()) if len(truth) else -1
        covered = is_ignored(segment, video)
        for k, least in enumerate(OVERLAPS):
            if most >= 0 and fits[most] >= least and not taken[k, most]:
                taken[k, most] = True
                right[k] += 1
            elif not covered:
                wrong[k] += 1
    return SegmentCounts(tuple(right), tuple(wrong), len(truth))


def is_ignored(segment: Instance | Detection, video: AnnotatedVideo) -> bool:
    """Return whether half or more of a segment lies where the annotations say to look away."""
    ignored = np.array(video.ignored).reshape(-1, 2)
    own = np.array([segment.start_sec, segment.end_sec])
    seconds = float(overlap(own, ignored).sum())
    return seconds > 0 and 2 * seconds >= segment.end_sec - segment.start_sec


def _classes_overlap(instances: Sequence[Instance]) -> bool:
    """Return whether annotated actions of different classes go on at once."""
    ordered = sorted(
        (i for i in instances if i.label != AMBIGUOUS), key=lambda i: (i.start_sec, i.end_sec)
    )
    ends: dict[str, float] = {}
    for i in ordered:
        if any(end > i.start_sec + TOUCHING_SEC for label, end in ends.items() if label != i.label):
            return True
        ends[i.label] = max(ends.get(i.label, i.end_sec), i.end_sec)
    return False
