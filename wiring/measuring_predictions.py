"""A file of anybody's detections to figures, pictures and a page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..checks.predictions import usable_predictions
from ..evaluation.time_scale import likely_scale
from ..evaluation.video_scores import note_on_scores, with_video_scores
from ..formats.annotations import all_labels, class_labels
from ..formats.atomic import check_place
from ..formats.labels.find import HowToRead, load_annotations
from ..formats.labels.record import FrameClock
from ..formats.subsets import ALL, subset_to_test
from ..formats.video_scores import load_video_scores
from .files import Pathlike
from .measuring import HowToMeasure

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..reports.report import Report


def evaluate_predictions(
    predictions: Pathlike,
    annotations: Pathlike,
    *,
    subset: str | None = None,
    strict: bool = False,
    timelines: int | None = 8,
    out: Pathlike | None = None,
    video_scores: Pathlike | None = None,
    label_fps: float | None = None,
    **measure: Unpack[HowToMeasure],
) -> Report:
    """Measure detections in any form of docs/labels.md that holds scores.

    What cannot be read of the file, and videos that the annotations do not have, are left out with
    a note; and a note says so where another scale of all times fits plainly better.

    Args:
        annotations: the ground truth.
        subset: found by its name where not given.
        strict: refuse a file with entries that would be left out.
        timelines: how many videos to draw; None writes the page alone, without pictures.
        out: the folder for figures, pictures and the page; nothing is written where not given.
        video_scores: see `evaluate`.
        label_fps: frames per second of detections and annotations that count frames.
        measure: see `HowToMeasure`.
    Raises:
        InputError: a file is not of its format, or there is no such subset.
    """
    if out is not None:
        check_place(out, folder=True)

    from ..evaluation.average_precision import evaluate as measure_detections
    from ..evaluation.matching import Measure
    from ..reports.report import Report, write_report

    frames = HowToRead(FrameClock(label_fps))
    truth = load_annotations(annotations, frames)
    subset = subset or subset_to_test(truth)
    found, notes = usable_predictions(predictions, truth, strict=strict, how=frames)
    how = Measure().changed(**measure)
    videos = truth.subset(subset)
    if video_scores:
        labels = class_labels(videos.values())
        scores = load_video_scores(video_scores)
        found = with_video_scores(found, scores, labels)
        notes.append(note_on_scores([v for v in found if v in videos], scores))
    evaluation = measure_detections(videos, found, how, subset=subset or ALL)
    if scale := likely_scale(truth.videos, found):
        notes.append(str(scale))
    evaluation = replace(evaluation, notes=(*evaluation.notes, *notes))
    if out is None:
        return Report(evaluation)
    name = Path(predictions).stem
    labels = all_labels((), truth)
    written = write_report(evaluation, Path(out), timelines=timelines, name=name, labels=labels)
    return Report(evaluation, written)
