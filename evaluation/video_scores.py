"""Detections times class scores of whole videos: the field's practice on ActivityNet.

A proposal's score is multiplied by the score that a classifier of whole videos gives its class
(Lin et al., "BMN", 2019). Detections that all have one label which is none of the classes are
proposals of any action: each becomes a detection of every one of the video's best classes. Of a
run, which may be asked about one video after the other, its classes decide, not what was found.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from ..errors import InputError
from ..formats.annotations import Detection
from ..formats.video_scores import VideoScores, plain

logger = logging.getLogger(__name__)

BEST_CLASSES = 2  # of a video, for proposals of any action, as in BMN


def with_video_scores(
    found: Mapping[str, Sequence[Detection]],
    scores: VideoScores,
    labels: Sequence[str] = (),
    *,
    classes: Collection[str] | None = None,
) -> dict[str, list[Detection]]:
    """Return the detections of all videos, by id, times their class's score, best first.

    Args:
        labels: the spelling of the classes, for proposals of any action; else the file's.
        classes: all that the detections can be of, as of a run; those that they are of where not
            given.
    Raises:
        InputError: a class has no score; the message names it.
    """
    spelling = {**scores.spelling, **{plain(label): label for label in labels}}
    known = {label for of_video in scores.by_video.values() for label in of_video}
    if classes is None:
        used = {d.label for detections in found.values() for d in detections}
        annotated = used & set(labels)
    else:
        used, annotated = set(classes), set()
    without = sorted(label for label in used if plain(label) not in known)
    any_action = len(used) == len(without) == 1 and not annotated
    if without and not any_action:
        more = f" and {len(without) - 1} more" if len(without) > 1 else ""
        raise InputError(f"{scores.source}: has no score for the class {without[0]!r}{more}")
    weighted = {}
    unscored = []
    for video_id, detections in found.items():
        if (of_video := scores.of(video_id)) is None:
            unscored.append(video_id)
            weighted[video_id] = list(detections)
            continue
        if any_action:
            best = sorted(of_video, key=lambda label: -of_video[label])[:BEST_CLASSES]
            times = [
                replace(d, label=spelling.get(c, c), score=d.score * of_video[c])
                for d in detections
                for c in best
            ]
        else:
            times = [
                replace(d, score=d.score * of_video.get(plain(d.label), 0.0)) for d in detections
            ]
        weighted[video_id] = sorted(times, key=lambda d: -d.score)
    if unscored:
        logger.warning(
            "%s: has no scores for %d of %d videos (%s ...), whose detections stay as they are",
            scores.source, len(unscored), len(found), unscored[0],
        )  # fmt: skip
    return weighted


def note_on_scores(found: Collection[str], scores: VideoScores) -> str:
    """Return in words by what the detections of these videos are multiplied."""
    without = sum(scores.of(video_id) is None for video_id in found)
    few = f", which has none of {without} of the {len(found)} videos" if without else ""
    return f"scores are multiplied by the class scores of whole videos in {scores.source}{few}"
