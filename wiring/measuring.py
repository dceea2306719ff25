"""Detections of a run or of a file to figures, pictures and pages."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from ..checks.predictions import usable_predictions
from ..config import EvalConfig
from ..errors import InputError
from ..evaluation.time_scale import likely_scale
from ..evaluation.video_scores import with_video_scores
from ..formats.annotations import (
    all_labels,
    class_labels,
    load_predictions,
    load_thresholds,
    predictions_json,
)
from ..formats.atomic import check_place, write_text
from ..formats.features import FeatureFile
from ..formats.labels.find import load_annotations
from ..formats.names import nfc
from ..formats.subsets import (
    ALL,
    find_annotations,
    subset_to_measure,
    subset_to_test,
    videos_in_subset,
    with_durations,
)
from ..formats.video_scores import load_video_scores
from ..head.packed import is_packed, place_for, run_folder
from ..head.run import (
    FOLDS_FILE,
    check_same_extraction,
    load_operating_point,
    load_run_description,
    newest_run,
)
from .files import Pathlike, look_at_files

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..evaluation.average_precision import Evaluation
    from ..evaluation.events import Outcome
    from ..evaluation.operating_point import OperatingPoint
    from ..reports.report import Epochs, Report

logger = logging.getLogger(__name__)


class HowToMeasure(TypedDict, total=False):
    """Keywords of the functions that measure: what is not given is as the function says."""

    protocol: str | None  # anet or thumos14
    tious: Sequence[float]  # thresholds in (0, 1]
    exclude: Sequence[str]  # ids of videos to leave out


def evaluate(
    run: Pathlike | None = None,
    *,
    features: Pathlike | None = None,
    annotations: Pathlike | None = None,
    subset: str | None = None,
    checkpoint: str = "last",
    timelines: int = 8,
    out: Pathlike | None = None,
    device: str = "auto",
    changes: Sequence[str] = (),
    defaults: EvalConfig | None = None,
    video_scores: Pathlike | None = None,
    precision: float | str | None = None,
    **measure: Unpack[HowToMeasure],
) -> Report:
    """Detect in a subset with a run's head, measure, and write predictions, metrics and pictures.

    Args:
        run: the run's folder, a packed model (see `head.packed.run_folder`), or the folder of
            folds, whose pooled detections in held-out videos are measured; the newest run in
            `runs` where not given.
        features: another feature file than the run was trained on, made in the same way; for a
            packed model, which has none, the one to detect in.
        annotations: the ground truth; the run finds its own where not given.
        subset: the run's test subset where not given.
        checkpoint: "last", or "best", which was chosen by its mAP on the validation subset.
        timelines: how many videos to draw.
        out: where to write; where not given, the run's folder, and for a packed model
            `NAME-evaluation` here.
        device: `auto`, `cpu` or `cuda`.
        changes: see `head.run.load_run_description`.
        defaults: how to measure what `measure` leaves open; the run's own settings if not given.
        video_scores: class scores of whole videos, see `formats.video_scores`; detections are
            multiplied by them.
        precision: first choose the run's thresholds anew on its validation subset: the most recall
            at this precision, in (0, 1), or the best F1 for "f1".
        measure: see `HowToMeasure`.
    Raises:
        InputError: no such run, subset or video; features of another width or extraction.

    Example:
        >>> tsatal.evaluate("runs/first").evaluation.average_map  # doctest: +SKIP
    """
    given = run or newest_run()
    out = Path(out or place_for(given))
    check_place(out, folder=True)
    run = run_folder(given)
    if (run / FOLDS_FILE).is_file():
        if features or changes or precision or checkpoint != "last":
            raise InputError(
                f"{run}: folds are measured by the detections that are in them, of the last "
                "weights; leave out --features, --set, --precision and --checkpoint, or name one "
                "of the runs"
            )
        from ..reports.folds import evaluate_folds

        return evaluate_folds(
            run, out, annotations, subset, timelines, defaults, video_scores, measure
        )
    _, data = load_run_description(run, changes)
    if not features and is_packed(run):
        raise InputError(f"{given}: a packed model holds no features; give --features FILE.h5")
    if precision is not None and is_packed(run):
        raise InputError(
            f"{given}: the thresholds of a packed model stay as they are; choose others for the "
            "run with --precision, and pack it anew"
        )
    look_at_files(features or data.features, annotations)

    from ..evaluation.average_precision import evaluate as measure_detections
    from ..evaluation.matching import Measure
    from ..extract.backbones.device import choose_device
    from ..head.detector import choose_anew, load_detector
    from ..reports.report import PREDICTIONS, Epochs, Report, write_report

    detector = load_detector(
        run,
        checkpoint=checkpoint,
        device=choose_device(device),
        changes=changes,
        own_scores=bool(video_scores),
    )
    config, data = detector.config, detector.data
    with FeatureFile(features or data.features) as file:
        check_same_extraction(file, data)
        truth = find_annotations(file, data.annotations_for(features, annotations))
        if precision is not None:
            detector = choose_anew(run, detector, file, truth, precision=precision)
        subset = subset_to_measure(truth, subset, data.subsets.test)
        videos = videos_in_subset(file, truth, subset)
        detected = {video_id: detector.in_file(file, video_id) for video_id in videos}
        labels = all_labels(data.labels, truth)
    found = {video_id: d.detections for video_id, d in detected.items()}
    if video_scores:
        found = with_video_scores(found, load_video_scores(video_scores), data.labels)
    curves = {video_id: d.actionness for video_id, d in detected.items()}
    out.mkdir(parents=True, exist_ok=True)
    thresholds = detector.point.of_all(labels) if detector.point else {}
    write_text(out / PREDICTIONS, predictions_json(found, curves, labels, thresholds))
    defaults = defaults or config.eval
    # What the settings leave out is left out where it is; what a user names must be there.
    configured = tuple(v for v in map(nfc, defaults.exclude) if v in videos)
    how = Measure(defaults.protocol, defaults.tious, configured).changed(**measure)
    evaluation = measure_detections(videos, found, how, subset=subset or ALL)
    if checkpoint == "best" and subset == data.subsets.validation:
        logger.warning(
            "these weights were chosen by their mAP on %r itself, so this mAP flatters them", subset
        )
    epochs = Epochs(detector.epoch, config.optim.epochs, checkpoint)
    evaluation = _with_note(evaluation, run, epochs)
    seen = _outcome(evaluation, detector.point)
    name = Path(os.path.realpath(out)).name
    written = write_report(
        evaluation, out, timelines=timelines, name=name, labels=labels, epochs=epochs, outcome=seen
    )
    return Report(evaluation, (out / PREDICTIONS, *written), config, epochs, seen)


def evaluate_runs(runs: Sequence[Pathlike], **options: Any) -> dict[str, Report]:
    """Measure several runs alike, each into its own folder, and return the results by name.

    Args:
        runs: their folders; the first one's settings say how to measure, where options do not.
        options: as for `evaluate`, but `out`.
    Raises:
        InputError: some are folds and some are not, besides those of `evaluate`.
    """
    folds = [str(run) for run in runs if (Path(run) / FOLDS_FILE).is_file()]
    if folds and len(folds) < len(runs):
        raise InputError(
            f"{folds[0]}: folds are measured on all of their videos, a run on its test subset; "
            "compare folds with folds"
        )
    places = [place_for(run) for run in dict.fromkeys(map(str, runs))]
    if twice := [str(p) for p, n in Counter(places).items() if n > 1]:
        raise InputError(
            f"{twice[0]}: two of the runs would be written there; measure one after the other, "
            "each with its own --out"
        )
    first = evaluate(runs[0], **options)
    assert first.config is not None  # a run has settings
    options |= {"subset": first.evaluation.subset, "defaults": first.config.eval}
    return {str(runs[0]): first} | {str(run): evaluate(run, **options) for run in runs[1:]}


def evaluate_predictions(
    predictions: Pathlike,
    annotations: Pathlike,
    *,
    subset: str | None = None,
    strict: bool = False,
    timelines: int | None = 8,
    out: Pathlike | None = None,
    video_scores: Pathlike | None = None,
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
        measure: see `HowToMeasure`.
    Raises:
        InputError: a file is not of its format, or there is no such subset.
    """
    if out is not None:
        check_place(out, folder=True)

    from ..evaluation.average_precision import evaluate as measure_detections
    from ..evaluation.matching import Measure
    from ..reports.report import Report, write_report

    truth = load_annotations(annotations)
    subset = subset or subset_to_test(truth)
    found, notes = usable_predictions(predictions, truth, strict=strict)
    how = Measure().changed(**measure)
    videos = truth.subset(subset)
    if video_scores:
        labels = class_labels(videos.values())
        found = with_video_scores(found, load_video_scores(video_scores), labels)
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


def report(
    run: Pathlike | None = None,
    *,
    features: Pathlike | None = None,
    annotations: Pathlike | None = None,
    subset: str | None = None,
    out: Pathlike | None = None,
    **measure: Unpack[HowToMeasure],
) -> Report:
    """Write the page about the detections that `evaluate` left in a run's folder.

    Args:
        run: the run's folder; the newest in `runs` where not given.
        features: where the ground truth is inside another feature file than the run's own.
        annotations: the ground truth; the run finds its own where not given.
        subset, measure: as `evaluate` was told where not given.
        out: where to write; the run's folder where not given.
    Raises:
        InputError: no such run, it was not evaluated, or not on that subset.
    """
    from ..evaluation.average_precision import evaluate as measure_detections
    from ..evaluation.matching import Measure
    from ..reports.report import (
        METRICS,
        PREDICTIONS,
        Epochs,
        Report,
        load_metrics,
        warn_of_other_annotations,
        write_report,
    )

    run = Path(run) if run else newest_run()
    check_place(out or run, folder=True)
    config, data = load_run_description(run)
    if not os.path.lexists(run / PREDICTIONS):
        raise InputError(
            f"{run}: has no {PREDICTIONS} to explain; write it with: tsatal evaluate {run}"
        )
    found, earlier = load_predictions(run / PREDICTIONS), load_metrics(run / METRICS)
    if path := data.annotations_for(features, annotations):
        truth = load_annotations(path)
    else:
        with FeatureFile(features or data.features) as file:
            truth = find_annotations(file, None)
    subset = subset_to_measure(truth, subset or earlier.get("subset"), data.subsets.test)
    videos = {k: v for k, v in truth.subset(subset).items() if k in found}
    if Path(features or data.features).is_file():
        with FeatureFile(features or data.features) as file:
            videos = with_durations(file, videos)
    if not videos:
        raise InputError(
            f"{run / PREDICTIONS}: is about none of the {subset or 'annotated'} videos; look "
            f"for actions in them with: tsatal evaluate {run} --subset {subset or 'NAME'}"
        )
    how = Measure(
        earlier.get("protocol") or config.eval.protocol,
        tuple(earlier.get("tious") or config.eval.tious),
        tuple(earlier.get("excluded", [v for v in map(nfc, config.eval.exclude) if v in videos])),
    ).changed(**measure)
    evaluation = measure_detections(videos, found, how, subset=subset or ALL)
    warn_of_other_annotations(evaluation, earlier, run / METRICS)
    epochs = Epochs.of_json(earlier.get("epochs"))
    evaluation = _with_note(evaluation, run, epochs)
    # Without thresholds in the file, its scores are not those that the run's thresholds are of.
    known = load_thresholds(run / PREDICTIONS)
    seen = _outcome(evaluation, load_operating_point(run) if known else None)
    name = Path(os.path.realpath(run)).name
    written = write_report(
        evaluation, Path(out or run), timelines=None, name=name, epochs=epochs, outcome=seen
    )
    return Report(evaluation, written, config, epochs, seen)


def _with_note(evaluation: Evaluation, run: Path, epochs: Epochs | None) -> Evaluation:
    """Return a run's evaluation with a note on a training that is not finished."""
    if epochs and (unfinished := epochs.words(run)):
        return replace(evaluation, notes=(*evaluation.notes, unfinished))
    return evaluation


def _outcome(evaluation: Evaluation, point: OperatingPoint | None) -> Outcome | None:
    """Return what detections above a run's thresholds are worth; None for a run without any."""
    from ..evaluation.events import outcome

    matches, subset = evaluation.matches, evaluation.subset
    return outcome(matches.videos, matches.predictions, point, subset=subset) if point else None
