"""Detections in any form that labels have; whatever takes a file of detections reads it here.

A form without scores, or with some missing, is either refused or given one score for all, which is
said: what ranks detections needs scores, what shows them does not.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import InputError, quantity
from ..annotations import Detection
from ..json_values import Problem
from .find import ACTIVITYNET, AS_IT_IS, DETECTIONS, HowToRead, read_labels, tell
from .record import Action, Labels, VideoLabels

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Detections:
    """The detections of all videos of a file, in its order; `labels` is what else it holds."""

    videos: dict[str, list[Detection]]
    problems: tuple[Problem, ...]
    labels: Labels


def load_detections(
    path: str | Path, how: HowToRead = AS_IT_IS, *, unscored: float | None = None
) -> Detections:
    """Return the detections in a file or folder of any form; the log says which form it has.

    Args:
        unscored: the score of what has none, which the log says; where None, a file without scores
            is refused, and what has none among others is a problem.
    Raises:
        InputError: nothing is there, its form is not known, no entry can be read, or it holds no
            scores.
    """
    labels = read_labels(Path(path), how)
    tell(labels, path)
    if unscored is None:
        return detections_in(labels, path)
    without = [a for v in labels.videos.values() for a in v.actions if not _is_scored(a)]
    if without:
        logger.info(
            "%s: %s without a score; each is taken as %g", path, quantity(len(without), "action"),
            unscored,
        )  # fmt: skip
    given = {k: replace(v, actions=_scored(v, unscored)) for k, v in labels.videos.items()}
    return detections_in(replace(labels, videos=given), path)


def detections_in(labels: Labels, path: str | Path) -> Detections:
    """Return the detections that labels hold; what has no score is a problem.

    Raises:
        InputError: none has one, or no entry can be read.
    """
    if labels.problems and not _number(labels):
        raise InputError(f"{path}: {labels.problems[0]}; no entry can be read")
    if not hold_detections(labels) and (labels.form == ACTIVITYNET or _number(labels)):
        raise InputError(
            f"{path}: {labels.words}: annotations without scores, where detections are needed: "
            "mAP ranks them by score; give a table a column 'score'"
        )
    problems = [
        Problem(k, f"{a.label} from {a.start_sec:g} to {a.end_sec:g} s has no score")
        for k, v in labels.videos.items()
        for a in v.actions
        if not isinstance(a, Detection)
    ]
    found = {
        k: [a for a in v.actions if isinstance(a, Detection)] for k, v in labels.videos.items()
    }
    return Detections(found, (*labels.problems, *problems), labels)


def hold_detections(labels: Labels) -> bool:
    """Return whether labels are a file of detections, or some of them have scores."""
    return labels.form == DETECTIONS or any(
        _is_scored(a) for v in labels.videos.values() for a in v.actions
    )


def _is_scored(action: Action) -> bool:
    return isinstance(action, Detection)


def _number(labels: Labels) -> int:
    return sum(len(v.actions) for v in labels.videos.values())


def _scored(video: VideoLabels, score: float) -> tuple[Action, ...]:
    return tuple(
        a if isinstance(a, Detection) else Detection(a.label, a.start_sec, a.end_sec, score)
        for a in video.actions
    )
