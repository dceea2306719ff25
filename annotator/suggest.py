"""Detections in; out come suggestions to accept or reject, and the order of videos to look at.

The order asks for what teaches most for a minute of looking: detections whose scores are near the
threshold, where the head is least sure of its answer, per minute of video.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..evaluation.operating_point import OperatingPoint
from ..formats.annotations import Detection
from ..segments import temporal_iou

MOST = 200  # suggestions of a video
SHOWN = 0.5  # from this share of the threshold on, a detection is a suggestion
SAME = 0.5  # tIoU from which on two detections of a label are one suggestion
DOUBTFUL = 0.5  # doubt from which on a detection is counted as near the threshold
OF_BEST = 1 / 3  # where no run says a threshold, it is this share of the best score


@dataclass(frozen=True)
class Place:
    """Why a video comes where it does: how useful it is, and the same in words."""

    useful: float
    words: str


def thresholds(
    found: Mapping[str, Sequence[Detection]], point: OperatingPoint | None
) -> Callable[[str], float]:
    """Return the least score of a detection of a label that counts.

    Args:
        found: all detections, by video.
        point: a run's own; where there is none, a third of the best score is taken.
    """
    if point:
        return point.of
    best = max((d.score for ones in found.values() for d in ones), default=0.0)
    return lambda label: OF_BEST * best


def suggestions(detections: Sequence[Detection], least: Callable[[str], float]) -> list[Detection]:
    """Return the detections to look at, best first, each action once.

    They score at least half of what counts: right below the threshold lie the actions that the
    head has nearly found.
    """
    kept = list[Detection]()
    for one in sorted(detections, key=lambda d: -d.score):
        if one.score < SHOWN * least(one.label) or len(kept) == MOST:
            continue
        if all(one.label != k.label or _tiou(one, k) < SAME for k in kept):
            kept.append(one)
    return kept


def doubt(score: float, threshold: float) -> float:
    """Return how unsure a score is: 1 at the threshold, 0 from twice the threshold on and at 0."""
    if threshold <= 0:
        return 0.0
    return max(0.0, 1 - abs(score - threshold) / threshold)


def place(
    suggested: Sequence[Detection], least: Callable[[str], float], duration_sec: float
) -> Place:
    """Return how useful the labels of a video would be: doubts per minute.

    Args:
        suggested: of the video, see `suggestions`.
        duration_sec: of the video; a minute where unknown.
    """
    minutes = (duration_sec or 60.0) / 60
    doubts = {d: doubt(d.score, least(d.label)) for d in suggested}
    near = [d for d in suggested if doubts[d] >= DOUBTFUL]
    useful = sum(doubts.values()) / minutes
    if not near:
        return Place(useful, f"none of {len(suggested)} suggestions is near the threshold")
    first = max(near, key=lambda d: doubts[d])
    return Place(
        useful,
        f"{len(near)} of {len(suggested)} suggestions are near the threshold, such as "
        f"{first.label} with {first.score:.2f} (counts from {least(first.label):.2f}); "
        f"{len(near) / minutes:.1f} in a minute",
    )


def _tiou(a: Detection, b: Detection) -> float:
    return temporal_iou((a.start_sec, a.end_sec), (b.start_sec, b.end_sec))
