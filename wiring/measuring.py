"""Detections of a run or of a file to figures, pictures and pages."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from ..config import Config, EvalConfig
from ..errors import InputError
from ..evaluation.video_scores import note_on_scores, with_video_scores
from ..formats.annotations import all_labels
from ..formats.atomic import check_place, write_text
from ..formats.features import FeatureFile
from ..formats.labels.find import load_annotations
from ..formats.names import nfc
from ..formats.predictions import load_predictions, load_thresholds, predictions_json
from ..formats.subsets import (
    ALL,
    find_annotations,
    subset_to_measure,
    videos_in_subset,
    with_durations,
)
from ..formats.video_scores import load_video_scores
from ..head.packed import is_packed, place_for, run_folder, unpacked_run
from ..head.run import (
    FOLDS_FILE,
    RunData,
    check_same_extraction,
    load_operating_point,
    load_run_description,
    newest_run,
)
from .files import Pathlike, look_at_files

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..evaluation.average_precision import Evaluation
    from ..evaluation.matching import Measure
    from ..evaluation.operating_point import OperatingPoint
    from ..formats.annotations import Annotations, Detection, VideoDetections
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
            at this precision, in (0, 1), or the best F1 for "f1". Of folds, those of each on the
            others; nothing is stored.
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
        if features or changes or checkpoint != "last":
            raise InputError(
                f"{run}: folds are measured by the detections that are in them, of the last "
                "weights; leave out --features, --set and --checkpoint, or name one of the runs"
            )
        from ..reports.folds import evaluate_folds

        return evaluate_folds(
            run, out, annotations, subset, timelines, defaults, video_scores, measure, precision
        )
    _, data = load_run_description(run, changes)
    _check_packed(given, run, features, precision)
    look_at_files(features or data.features, annotations)

    from ..evaluation.average_precision import evaluate as measure_detections
    from ..extract.backbones.device import choose_device
    from ..head.detector import choose_anew, load_detector
    from ..head.final import choose_final_anew
    from ..reports.report import Epochs

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
        if precision is not None and not data.subsets.validation:
            detector = choose_final_anew(run, detector, precision=precision)
        elif precision is not None:
            detector = choose_anew(run, detector, file, truth, precision=precision)
        subset = subset_to_measure(truth, subset, data.subsets.test)
        videos = videos_in_subset(file, truth, subset)
        detected = {video_id: detector.in_file(file, video_id) for video_id in videos}
        labels = all_labels(data.labels, truth)
    found = {video_id: d.detections for video_id, d in detected.items()}
    scores = load_video_scores(video_scores) if video_scores else None
    if scores:
        found = with_video_scores(found, scores, data.labels, classes=data.labels)
    predictions = _write_detections(out, detected, found, labels, detector.point)
    how = _configured(defaults or config.eval, videos).changed(**measure)
    evaluation = measure_detections(videos, found, how, subset=subset or ALL)
    if scores:
        notes = (*evaluation.notes, note_on_scores(found, scores))
        evaluation = replace(evaluation, notes=notes)
    if checkpoint == "best" and subset == data.subsets.validation:
        logger.warning(
            "these weights were chosen by their mAP on %r itself, so this mAP flatters them", subset
        )
    made = _report_of_run(
        evaluation, run, out, config, Epochs(detector.epoch, config.optim.epochs, checkpoint),
        detector.point, name=Path(os.path.realpath(out)).name, timelines=timelines, labels=labels,
    )  # fmt: skip
    return replace(made, written=(predictions, *made.written))


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
        load_metrics,
        warn_of_other_annotations,
    )

    run = unpacked_run(
        run or newest_run(), "`tsatal evaluate` writes the report beside what it measured"
    )
    check_place(out or run, folder=True)
    config, data = load_run_description(run)
    if not os.path.lexists(run / PREDICTIONS):
        raise InputError(
            f"{run}: has no {PREDICTIONS} to explain; write it with: tsatal evaluate {run}"
        )
    found, earlier = load_predictions(run / PREDICTIONS), load_metrics(run / METRICS)
    truth = _truth_of(data, features, annotations)
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
    configured = _configured(config.eval, videos)
    how = Measure(
        earlier.get("protocol") or configured.protocol,
        tuple(earlier.get("tious") or configured.tious),
        tuple(earlier.get("excluded", configured.exclude)),
    ).changed(**measure)
    evaluation = measure_detections(videos, found, how, subset=subset or ALL)
    warn_of_other_annotations(evaluation, earlier, run / METRICS)
    # Without thresholds in the file, its scores are not those that the run's thresholds are of.
    point = load_operating_point(run) if load_thresholds(run / PREDICTIONS) else None
    return _report_of_run(
        evaluation, run, Path(out or run), config, Epochs.of_json(earlier.get("epochs")), point,
        name=Path(os.path.realpath(run)).name,
    )  # fmt: skip


def _check_packed(
    given: Pathlike, run: Path, features: Pathlike | None, precision: float | str | None
) -> None:
    """Refuse to do with a packed model what needs a run's feature file or its folder."""
    if not features and is_packed(run):
        raise InputError(f"{given}: a packed model holds no features; give --features FILE.h5")
    if precision is not None and is_packed(run):
        raise InputError(
            f"{given}: the thresholds of a packed model stay as they are; choose others for the "
            "run with --precision, and pack it anew"
        )


def _truth_of(
    data: RunData, features: Pathlike | None, annotations: Pathlike | None
) -> Annotations:
    """Return a run's ground truth, or another; the feature file is opened where it alone has it."""
    if path := data.annotations_for(features, annotations):
        return load_annotations(path)
    with FeatureFile(features or data.features) as file:
        return find_annotations(file, None)


def _configured(settings: EvalConfig, videos: Collection[str]) -> Measure:
    """Return how settings measure these videos.

    What the settings leave out is left out where it is; what a user names must be there.
    """
    from ..evaluation.matching import Measure

    excluded = tuple(video for video in map(nfc, settings.exclude) if video in videos)
    return Measure(settings.protocol, settings.tious, excluded)


def _write_detections(
    out: Path,
    detected: Mapping[str, VideoDetections],
    found: Mapping[str, Sequence[Detection]],
    labels: Sequence[str],
    point: OperatingPoint | None,
) -> Path:
    """Return the file of what was found, written with its actionness and thresholds."""
    from ..reports.report import PREDICTIONS

    out.mkdir(parents=True, exist_ok=True)
    curves = {video_id: rows.actionness for video_id, rows in detected.items()}
    thresholds = point.of_all(labels) if point else {}
    write_text(out / PREDICTIONS, predictions_json(found, curves, labels, thresholds))
    return out / PREDICTIONS


def _report_of_run(
    evaluation: Evaluation,
    run: Path,
    out: Path,
    config: Config,
    epochs: Epochs | None,
    point: OperatingPoint | None,
    *,
    name: str,
    timelines: int | None = None,
    labels: Sequence[str] = (),
) -> Report:
    """Return the report of a run, written into `out`, with what only a run has.

    That are notes on videos that it has learned from and on a training that is not finished, and
    what the detections above the run's thresholds are worth.
    """
    from ..evaluation.events import outcome
    from ..head.learned import note_on_learned
    from ..reports.report import Report, write_report

    matches, subset = evaluation.matches, evaluation.subset
    notes = (note_on_learned(run, subset, matches.videos), epochs.words(run) if epochs else "")
    evaluation = replace(evaluation, notes=(*evaluation.notes, *filter(None, notes)))
    seen = outcome(matches.videos, matches.predictions, point, subset=subset) if point else None
    written = write_report(
        evaluation, out, timelines=timelines, name=name, labels=labels, epochs=epochs, outcome=seen
    )
    return Report(evaluation, written, config, epochs, seen)
