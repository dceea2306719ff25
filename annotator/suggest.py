"""Detections in; out come suggestions to accept or reject, and the order of videos to look at.

The order asks for what teaches most for a minute of looking: detections whose scores are near the
threshold, where the head is least sure of its answer, per minute of video.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..evaluation.operating_point import OperatingPoint
from ..formats.annotations import Detection
from ..formats.features import FeatureFile
from ..head.run import check_same_extraction, load_run_description
from ..segments import tiou

if TYPE_CHECKING:
    from ..reports.detections import DetectedVideo

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


@dataclass(frozen=True)
class Suggested:
    """Detections to look at, best first, and how useful each video is; by video."""

    detections: Mapping[str, Sequence[Detection]] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)

    def order(self, ids: Sequence[str]) -> list[str]:
        """Return the videos, the most useful first; those without detections at the end."""
        useful = {v: self.places[v].useful for v in ids if v in self.places}
        return sorted(ids, key=lambda v: -useful.get(v, -1.0))


def suggest(
    found: Mapping[str, Sequence[Detection]],
    point: OperatingPoint | None,
    durations: Mapping[str, float | None],
) -> Suggested:
    """Return what to suggest in each video, and how useful the videos are.

    Args:
        found: all detections, weak ones too, by video.
        point: the run's thresholds, see `thresholds`.
        durations: of the videos in seconds; the end of the last detection where not known.
    """
    least = thresholds(found, point)
    shown = {v: suggestions(ones, least) for v, ones in found.items()}
    places = {}
    for video_id, ones in shown.items():
        last = max((d.end_sec for d in found[video_id]), default=0.0)
        places[video_id] = place(ones, least, durations.get(video_id) or last)
    return Suggested(shown, places)


def found_by_run(
    paths: Mapping[str, Path],
    run: Path,
    *,
    device: str,
    new_videos: Callable[[Sequence[Path]], Mapping[str, DetectedVideo]],
) -> dict[str, list[Detection]]:
    """Return all detections of a run's head, weak ones too, by video.

    Args:
        paths: of the videos, by id; those in the run's feature file are not extracted again.
        new_videos: detects in the others.
    Raises:
        InputError: no such run, or features that were made otherwise.
    """
    _, data = load_run_description(run)

    from ..extract.backbones.device import choose_device
    from ..head.detector import load_detector

    found: dict[str, list[Detection]] = {}
    if Path(data.features).is_file():
        detector = load_detector(run, device=choose_device(device))
        with FeatureFile(data.features) as file:
            check_same_extraction(file, data)
            there = set(file.video_ids)
            found = {v: detector.in_file(file, v).detections for v in paths if v in there}
    if rest := [path for video_id, path in paths.items() if video_id not in found]:
        found |= {video_id: list(v.detections) for video_id, v in new_videos(rest).items()}
    return found


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
        same = np.array([_span(k) for k in kept if k.label == one.label]).reshape(-1, 2)
        if (tiou(np.array(_span(one)), same) < SAME).all():
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
    if not suggested:
        return Place(0.0, "nothing is suggested in it")
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


def _span(detection: Detection) -> tuple[float, float]:
    return detection.start_sec, detection.end_sec
