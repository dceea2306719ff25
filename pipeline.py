"""The stages as functions: videos to features, to a trained head, to detections and figures.

This module alone wires the stages together: the command line and `import tsatal` call its
functions, and no stage calls another. Every path may be a string.

Each function looks at the files that it is given first, and only then imports its stages: torch
takes seconds to load, and a mistyped path should be told at once.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from .checks.predictions import usable_predictions
from .config import Config, EvalConfig, load_config
from .errors import InputError
from .evaluation.time_scale import likely_scale
from .evaluation.video_scores import with_video_scores
from .exchange.convert import Converted, convert_labels
from .extract.clock import BY_ITSELF
from .extract.label_clock import clock_of
from .extract.settings import ExtractSettings, check_files, with_preset
from .extract.sources import assign_ids, find_videos
from .formats.annotation_file import AnnotationFile
from .formats.annotations import (
    all_labels,
    class_labels,
    load_predictions,
    load_thresholds,
    predictions_json,
)
from .formats.atomic import check_place, write_text
from .formats.class_scores import ClassScores
from .formats.features import FEATURE_SUFFIXES, FeatureFile
from .formats.labels.find import (
    HowToRead,
    load_annotations,
    look_at,
    read_labels,
    refuse_problems,
    tell,
)
from .formats.labels.record import FrameClock
from .formats.names import nfc
from .formats.shards import check_single
from .formats.subsets import (
    ALL,
    find_annotations,
    report_unmatched,
    subset_to_measure,
    subset_to_test,
    videos_in_subset,
    with_durations,
)
from .formats.video_scores import load_video_scores
from .head.packed import backbone_weights, is_packed, place_for, projection_of, run_folder
from .head.run import (
    ANNOTATIONS_FILE,
    DATA_FILE,
    FOLDS_FILE,
    LAST,
    RUNS,
    check_new,
    check_same_extraction,
    describe,
    load_operating_point,
    load_run_description,
    new_run_dir,
    newest_run,
    save_projection,
    save_run_description,
    settled,
    training_videos,
)

if TYPE_CHECKING:
    import numpy as np
    from typing_extensions import Unpack

    from .evaluation.average_precision import Evaluation
    from .evaluation.events import Outcome
    from .evaluation.operating_point import OperatingPoint
    from .extract.extractor import Summary
    from .formats.annotations import AnnotatedVideo, Annotations, Detection
    from .formats.features import TimeAxis, VideoFeatures
    from .head.studies import Study
    from .reports.clips import Clips
    from .reports.detections import DetectedVideo, DetectedVideos
    from .reports.learning_curve import CurveReport
    from .reports.packing import PackedModel
    from .reports.report import Epochs, Report

logger = logging.getLogger(__name__)

Pathlike = str | Path
FIRST_LOOK = "first_look"  # folder of what is found without a run
SUGGESTED = "suggested"  # folder of what a run finds in videos that are being annotated
EXTRACTED = "features.h5"  # rows of detected videos, in the folder of their detections


class HowToMeasure(TypedDict, total=False):
    """Keywords of the functions that measure: what is not given is as the function says."""

    protocol: str | None  # anet or thumos14
    tious: Sequence[float]  # thresholds in (0, 1]
    exclude: Sequence[str]  # ids of videos to leave out


def extract(
    videos: Pathlike,
    out: Pathlike,
    *,
    annotations: Pathlike | None = None,
    config: str | None = None,
    split: float | None = None,
    split_seed: int = 0,
    label_fps: float | None = None,
    overwrite: bool = False,
    strict: bool = False,
    show_progress: bool = True,
    ray: str | None = None,
    **settings: Any,
) -> Summary:
    """Extract the features of a video, a folder or a list of videos into a feature file.

    Args:
        videos: a video, a folder (searched through), or a `.txt` list of paths.
        out: the feature file. Videos that are in it already are left alone.
        annotations: a file or folder of labels in any form of docs/labels.md, embedded in the
            file; by default `annotations.json` inside the folder.
        config: a name in `extract.settings.PRESETS`; `settings` count before its own.
        split, split_seed: see `formats.split.split`; where the labels have no subsets.
        label_fps: frames per second of labels that count frames; by default those of the videos.
        overwrite, strict, show_progress: see `extract.extractor.extract_videos`.
        ray: the cluster to run on, see `extract.ray_cluster.connect`; None runs in this process.
        settings: fields of `extract.settings.ExtractSettings`, such as `fps=10`.
    Raises:
        InputError: nothing to extract, annotations of another form, or settings that cannot work.

    Example:
        >>> tsatal.extract("videos", "out.h5", weights="random")  # doctest: +SKIP
    """
    chosen, videos = with_preset(config, settings), Path(videos)
    check_place(out)
    check_single(Path(out))
    if annotations is None and (videos / "annotations.json").is_file():
        annotations = videos / "annotations.json"
    paths = find_videos(videos, images=chosen.assume_fps is not None)
    clock = clock_of(paths, chosen.reading, label_fps)
    how = HowToRead(clock, split=split, seed=split_seed)
    if split is not None and not annotations:
        raise InputError("--split divides annotations, and there are none; give --annotations")
    truth = load_annotations(annotations, how) if annotations else None
    if truth:
        report_unmatched(set(assign_ids(paths)[0]), truth)
    check_files(chosen)
    if not overwrite:
        _look_at(out if Path(out).exists() else None)

    from .extract.engine import ThisProcess
    from .extract.extractor import extract_videos
    from .extract.ray_cluster import connect

    with connect(ray) if ray else nullcontext(ThisProcess()) as engine:
        return extract_videos(
            paths,
            out,
            chosen,
            annotations_text=truth.text if truth else None,
            overwrite=overwrite,
            strict=strict,
            show_progress=show_progress,
            engine=engine,
        )


def train(
    features: Pathlike,
    config: str | Config = "strong",
    *,
    overrides: Sequence[str] = (),
    run: Pathlike | None = None,
    annotations: Pathlike | None = None,
    split: float | None = None,
    split_seed: int = 0,
    label_fps: float | None = None,
    device: str = "auto",
    command: Sequence[str] | None = None,
) -> Path:
    """Train a head on a feature file and return the run's folder.

    Args:
        features: the feature file.
        config: the name of a shipped configuration, a YAML file, or a `Config`.
        overrides: settings to change, as "optim.epochs=40", where `config` is no `Config`.
        run: the folder to write; where not given, a new one in `runs`.
        annotations: a file or folder of labels in any form of docs/labels.md, used instead of those
            inside the feature file.
        split, split_seed, label_fps: as for `extract`. What was divided, or came in another form,
            is kept as `annotations.json` in the run's folder.
        device: `auto`, `cpu` or `cuda`.
        command: the command line, for `run.json`.
    Raises:
        InputError: the folder already holds a run, or the features, annotations and settings do
            not fit together.

    Example:
        >>> run = tsatal.train("out.h5", overrides=["optim.epochs=40"])  # doctest: +SKIP
    """
    if isinstance(config, Config):
        name = "run"
    else:
        name, config = config, load_config(config, overrides)
    _look_at(features, annotations)

    import torch

    from .checks.check import warnings_for_training
    from .extract.backbones.device import choose_device
    from .head.origin import add_origin
    from .head.parallel import barrier, broadcast, process_group, rank
    from .head.training import train_head

    on = torch.device(choose_device(device))
    with process_group(on) as on, FeatureFile(features) as file:
        run = broadcast(Path(run) if run else new_run_dir(name))
        check_place(run, folder=True)
        check_new(run)
        how = HowToRead(FrameClock(label_fps), split=split, seed=split_seed)
        truth = find_annotations(file, annotations, how)
        data, videos = describe(file, truth, config)
        config = settled(config, data, videos)
        if annotations or truth.form:
            kept = run / ANNOTATIONS_FILE if truth.form else str(annotations)
            data = replace(data, annotations=os.path.realpath(kept))
        for finding in warnings_for_training(
            file, truth, data.subsets, exclude=config.eval.exclude
        ):
            logger.warning("%s", finding.line)
        if rank() == 0:
            if truth.form:
                run.mkdir(parents=True, exist_ok=True)
                write_text(run / ANNOTATIONS_FILE, truth.text)
            save_run_description(run, config, data)
            save_projection(run, file, data.streams)
            add_origin(
                run, features=file.path, truth=truth, seed=config.optim.seed, epoch=0,
                command=command, trained_on=videos.facts(data),
            )  # fmt: skip
        barrier()
        train_head(
            file, truth, config, data, videos, run_dir=run, device=on, resume=False, draw=_draw
        )
    return run


def resume(
    run: Pathlike | None = None,
    *,
    features: Pathlike | None = None,
    annotations: Pathlike | None = None,
    device: str = "auto",
    command: Sequence[str] | None = None,
) -> Path:
    """Go on with an interrupted training, under its own settings, and return its folder.

    Args:
        run: the run's folder; the newest in `runs` where not given.
        features: where the feature file is now, if it has moved.
        annotations: used instead of those that the training began with.
        device: `auto`, `cpu` or `cuda`.
        command: the command line, for `run.json`.
    """
    run = Path(run) if run else newest_run(needs=DATA_FILE)
    config, data = load_run_description(run)
    _look_at(features or data.features, annotations)

    import torch

    from .extract.backbones.device import choose_device
    from .head.checkpoint import finished_epochs
    from .head.origin import add_origin
    from .head.parallel import barrier, process_group, rank
    from .head.training import train_head

    on = torch.device(choose_device(device))
    with process_group(on) as on, FeatureFile(features or data.features) as file:
        check_same_extraction(file, data)
        truth = find_annotations(file, data.annotations_for(None, annotations))
        started = (run / LAST).exists()
        if rank() == 0:
            save_projection(run, file, data.streams)  # a run of an older version has none
            add_origin(
                run, features=file.path, truth=truth, seed=config.optim.seed,
                epoch=finished_epochs(run / LAST) if started else 0, command=command,
            )  # fmt: skip
        barrier()
        videos = training_videos(
            file, truth, subset=data.subsets.train, streams=data.streams, labels=data.labels
        )
        train_head(
            file, truth, config, data, videos, run_dir=run, device=on, resume=started, draw=_draw
        )
    return run


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
        from .reports.folds import evaluate_folds

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
    _look_at(features or data.features, annotations)

    from .evaluation.average_precision import evaluate as measure_detections
    from .evaluation.matching import Measure
    from .extract.backbones.device import choose_device
    from .head.detector import choose_anew, load_detector
    from .reports.report import PREDICTIONS, Epochs, Report, write_report

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


def train_folds(
    features: Pathlike,
    config: str | Config = "strong",
    *,
    folds: int = 5,
    seeds: Sequence[int] = (),
    group_by: str | None = None,
    deal: int = 0,
    overrides: Sequence[str] = (),
    out: Pathlike | None = None,
    annotations: Pathlike | None = None,
    label_fps: float | None = None,
    jobs: int = 1,
    device: str = "auto",
    command: Sequence[str] | None = None,
) -> Report:
    """Train a head for every fold, and measure all in the videos that they have not seen.

    The same call goes on where it was stopped. `docs/folds.md` says what is in the folder.

    Args:
        folds: how many; each holds out its share of the videos, of all but the test subset.
        seeds: of the trainings; each trains all folds. The settings' own where none is given.
        group_by: "video", or "group": videos of one `group` of the annotations stay together; where
            not given, groups if there are some.
        deal: another number, other folds.
        out: the folder; where not given, one in `runs` named after all these.
        jobs: trainings at once, each in a process with its share of the threads. A program that
            calls this with more than one must guard its main module (`if __name__ == "__main__"`).
        features, config, overrides, annotations, label_fps, device, command: see `train`.
    Raises:
        InputError: too few videos; a folder that was begun otherwise; trainings that failed.

    Example:
        >>> print(tsatal.train_folds("out.h5", folds=5, jobs=2))  # doctest: +SKIP
    """
    from .head.studies import plan_folds

    name, chosen = _named(config, overrides)
    out = Path(out or RUNS / f"{name}-{Path(features).stem}-{folds}folds")
    how = HowToRead(FrameClock(label_fps))
    with _open(features, annotations, how) as (file, truth):
        plan, videos = plan_folds(
            file, truth, chosen, folds=folds, seeds=seeds, group_by=group_by, deal_seed=deal
        )
    _carry_out(out, plan, videos, jobs, device, command)
    return evaluate(out)


def learning_curve(
    features: Pathlike,
    config: str | Config = "strong",
    *,
    seeds: Sequence[int] = (0, 1, 2),
    group_by: str | None = None,
    overrides: Sequence[str] = (),
    out: Pathlike | None = None,
    annotations: Pathlike | None = None,
    split: float | None = None,
    split_seed: int = 0,
    label_fps: float | None = None,
    jobs: int = 1,
    device: str = "auto",
    command: Sequence[str] | None = None,
) -> CurveReport:
    """Train on a quarter, half and all of the training videos; say what twice as many would bring.

    Args:
        seeds: one draw of videos each, which is also the training's seed.
        features, config, overrides, annotations, split, split_seed, label_fps, device, command: see
            `train`.
        group_by, out, jobs: see `train_folds`.
    Raises:
        InputError: as of `train_folds`.
    """
    from .head.studies import plan_curve
    from .reports.learning_curve import measure_curve

    name, chosen = _named(config, overrides)
    out = Path(out or RUNS / f"{name}-{Path(features).stem}-curve")
    how = HowToRead(FrameClock(label_fps), split=split, seed=split_seed)
    with _open(features, annotations, how) as (file, truth):
        plan, videos = plan_curve(file, truth, chosen, seeds=seeds, group_by=group_by)
    _carry_out(out, plan, videos, jobs, device, command)
    return measure_curve(out)


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
    """Measure a file of detections in the ActivityNet format.

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

    from .evaluation.average_precision import evaluate as measure_detections
    from .evaluation.matching import Measure
    from .reports.report import Report, write_report

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
    from .evaluation.average_precision import evaluate as measure_detections
    from .evaluation.matching import Measure
    from .reports.report import (
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


def detect(
    videos: Pathlike | Sequence[Pathlike],
    run: Pathlike | None = None,
    *,
    out: Pathlike | None = None,
    min_score: float | None = None,
    top: int | None = None,
    annotations: Pathlike | None = None,
    features: Pathlike | None = None,
    weights: str | None = None,
    flow_weights: str | None = None,
    track: int | None = None,
    assume_fps: float | None = None,
    video_scores: Pathlike | None = None,
    checkpoint: str = "last",
    device: str = "auto",
    changes: Sequence[str] = (),
    pages: bool = False,
    show_progress: bool = True,
    on_video: Callable[[DetectedVideo], None] = lambda video: None,
) -> DetectedVideos:
    """Find actions in raw videos or in feature files, and write detections and pictures.

    Raw videos are extracted as the run's features were, into `features.h5` in `out`, where they
    are found again the next time; detection reads that file.

    Args:
        videos: videos, folders and lists of videos, and feature files; one or several.
        run: the run's folder, or a packed model (see `head.packed.run_folder`); the newest in
            `runs` where not given.
        out: where to write; where not given, `detections` in the run's folder, and for a packed
            model in this one.
        min_score: leave out what scores less; where not given, less than the run's own threshold of
            the class, which was chosen on its validation videos. 0 keeps all.
        top: keep the best so many of each video.
        annotations: ground truth to draw above the detections.
        features: a feature file made like the run's, for its projection; for a run of an older
            version, which kept no copy.
        weights, flow_weights: checkpoints of the extraction, see `extract.provenance.settings_of`.
        video_scores: see `evaluate`.
        track, assume_fps: how raw videos are read, see `extract.settings.ExtractSettings`.
        checkpoint: "last" or "best".
        device: `auto`, `cpu` or `cuda`.
        changes: see `head.run.load_run_description`.
        pages: whether to write an HTML page per video, see `reports.viewer`.
        show_progress: see `extract.extractor.extract_videos`.
        on_video: called with every video as soon as it is done.
    Raises:
        InputError: no such run or source, features that were not made like the run's, or two
            videos of one name.

    Example:
        >>> tsatal.detect("new.mp4", run="runs/first")["new"].detections  # doctest: +SKIP
    """
    given_run = run or newest_run()
    out = Path(out or place_for(given_run, "detections"))
    check_place(out, folder=True)
    run = run_folder(given_run)
    load_run_description(run, changes)
    annotated = load_annotations(annotations) if annotations else None
    # A feature file is detected in as it is; everything else stands for raw videos.
    given = [Path(v) for v in ([videos] if isinstance(videos, Pathlike) else videos)]
    feature_files = [path for path in given if path.suffix.lower() in FEATURE_SUFFIXES]
    raw = [
        video
        for path in given
        if path not in feature_files
        for video in find_videos(path, images=assume_fps is not None)
    ]
    paths, _ = assign_ids(raw)
    for path in feature_files:
        _look_at(path)

    from .extract.backbones.device import choose_device
    from .extract.extractor import extract_videos
    from .extract.provenance import settings_of
    from .head.detector import load_detector
    from .reports.detections import DetectedVideos, write_detections
    from .reports.finder import Finder
    from .reports.report import Epochs

    device = choose_device(device)
    detector = load_detector(
        run, checkpoint=checkpoint, device=device, changes=changes, own_scores=bool(video_scores)
    )
    if unfinished := Epochs(detector.epoch, detector.config.optim.epochs, checkpoint).words(run):
        logger.warning("%s", unfinished)
    finder = Finder(
        detector,
        labels=all_labels(detector.data.labels, annotated),
        paths=paths,
        min_score=min_score,
        top=top,
        scores=load_video_scores(video_scores) if video_scores else None,
        on_video=on_video,
    )
    for path in feature_files:
        with FeatureFile(path) as file:
            check_same_extraction(file, detector.data)
            finder.in_file(file, file.video_ids)
    extraction, reading = None, BY_ITSELF
    if raw:
        out.mkdir(parents=True, exist_ok=True)
        settings = settings_of(
            detector.data.extraction,
            streams=detector.data.streams,
            features=projection_of(run, features, detector.data.features),
            weights=weights or backbone_weights(run, "rgb"),
            flow_weights=flow_weights or backbone_weights(run, "flow"),
            device=device,
            track=track,
            assume_fps=assume_fps,
        )
        reading = settings.reading
        # What is extracted now is detected in at once; what was there before, from the file.
        extraction = extract_videos(
            raw, out / EXTRACTED, settings, show_progress=show_progress, on_video=finder.in_features
        )
        if known := [*extraction.already, *extraction.elsewhere]:
            with FeatureFile(extraction.out) as file:
                finder.in_file(file, known)
    # In the order of the sources, whenever each was extracted; feature files come first.
    found = finder.found
    in_order = [v for v in found if v not in paths] + [v for v in paths if v in found]
    detected = {video_id: found[video_id] for video_id in in_order}
    truth = annotated.videos if annotated else {}
    written = write_detections(
        detected,
        out,
        truth=truth,
        pages=pages,
        reading=reading,
        thresholds=detector.point.of_all(finder.labels) if detector.point else {},
        min_score=min_score,
    )
    return DetectedVideos(detected, tuple(written), extraction)


def explain(
    run: Pathlike,
    video: str,
    *,
    start_sec: float = 0.0,
    features: Pathlike | None = None,
    annotations: Pathlike | None = None,
    checkpoint: str = "last",
    out: Pathlike | None = None,
    device: str = "auto",
) -> Path:
    """Draw what TSA does in one video, and return the picture's path.

    Args:
        run: the run's folder, or a packed model (see `head.packed.run_folder`).
        video: the id of a video in the run's feature file or in `features`, or its path.
        start_sec: where to begin; as much is drawn as the head sees at once.
        features, annotations: see `evaluate`.
        checkpoint: "last" or "best".
        out: the picture; where not given, `explained/VIDEO.png` in the run's folder, and for a
            packed model in this one.
        device: `auto`, `cpu` or `cuda`.
    Raises:
        InputError: no such run or video, a head without TSA, or an instant after the last row.
    """
    given, run = run, run_folder(run)
    config, data = load_run_description(run)
    if config.model.tsa == "none":
        raise InputError(f"{given}: its head has no TSA to explain (model.tsa=none)")
    if not features and is_packed(run):
        raise InputError(f"{given}: a packed model holds no features; give --features FILE.h5")
    video = nfc(Path(video).stem if os.path.isfile(video) else video)
    out = Path(out or place_for(given, "explained") / f"{video}.png")
    check_place(out)
    _look_at(features or data.features, annotations)

    from .extract.backbones.device import choose_device
    from .head.detector import load_detector
    from .head.explanation import explain_rows
    from .reports.explanation import explanation_picture, reading_of

    detector = load_detector(run, checkpoint=checkpoint, device=choose_device(device))
    with FeatureFile(features or data.features) as file:
        check_same_extraction(file, data)
        rows, axis = file.rows(video, data.streams), file.time_axis(video)
        truth = find_annotations(file, data.annotations_for(features, annotations))
    first = round(max(start_sec - axis.start_sec, 0) / axis.step_sec)
    if first >= axis.num_steps:
        raise InputError(
            f"{video}: --from {start_sec:g} is after its last row, at "
            f"{axis.start_sec + (axis.num_steps - 1) * axis.step_sec:.4g} s"
        )
    annotated = truth.videos.get(video)
    picture = explanation_picture(
        explain_rows(detector, rows, first=first),
        axis,
        video_id=video,
        reading=reading_of(config.model),
        truth=annotated.instances if annotated else (),
        detections=detector(rows, axis).detections,
        labels=data.labels,
        colours_of=all_labels(data.labels, truth),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    picture.save(out)
    return out


def pack(
    run: Pathlike | None = None,
    out: Pathlike = "model.tsatal",
    *,
    checkpoint: str = "last",
    features: Pathlike | None = None,
    with_backbone: bool = False,
    weights: Pathlike | None = None,
    flow_weights: Pathlike | None = None,
    licence: str | None = None,
    note: str | None = None,
) -> PackedModel:
    """Write a run as one file to give away, which `detect` and `evaluate` take in its place.

    Args:
        run: the run's folder; the newest in `runs` where not given.
        out: the file, which ends in `.tsatal`.
        checkpoint: "last" or "best"; the file holds one of them.
        features: the run's feature file, for a run of an older version that kept no projection.
        with_backbone: whether the backbone's weights are put in, if their licence allows.
        weights, flow_weights: the files of the backbone's weights, where they are not published.
        licence, note: of the model, for its card.
    Raises:
        InputError: no such run or checkpoint, another ending, or weights that may not be put in.

    Example:
        >>> tsatal.pack("runs/first", "first.tsatal").sha256  # doctest: +SKIP
    """
    run, out = Path(run) if run else newest_run(), Path(out)
    check_place(out)
    load_run_description(run)

    from .reports.packing import check_name, pack_run

    check_name(out)
    return pack_run(
        run,
        out,
        checkpoint=checkpoint,
        features=Path(features) if features else None,
        with_backbone=with_backbone,
        weights={
            "rgb": Path(weights) if weights else None,
            "flow": Path(flow_weights) if flow_weights else None,
        },
        licence=licence,
        note=note,
    )


def export_whole(
    run: Pathlike,
    out: Pathlike,
    *,
    steps: int | None = None,
    checkpoint: str = "last",
    weights: Pathlike | None = None,
) -> Path:
    """Write backbone and head of a run as one ONNX file: frames in, scored segments out.

    Args:
        run: the run's folder, or a packed model (see `head.packed.run_folder`).
        out: the file, which ends in `.onnx`.
        steps: the most rows of a clip, see `reports.whole_model.export_whole`.
        checkpoint: "last" or "best".
        weights: the file of the backbone's, where they are neither published nor random.
    Raises:
        InputError: no such run, or a backbone that cannot be exported.
    """
    check_place(out)
    folder = run_folder(run)
    load_run_description(folder)

    from .extract.provenance import settings_of
    from .head.detector import load_detector
    from .reports.whole_model import export_whole as export

    detector = load_detector(folder, checkpoint=checkpoint)
    data = detector.data
    settings = settings_of(
        data.extraction,
        streams=data.streams,
        features=projection_of(folder, None, data.features),
        weights=str(weights) if weights else backbone_weights(folder, "rgb"),
        device="cpu",
    )
    return export(detector, settings, Path(out), rows=steps)


def first_look(
    videos: Pathlike | Sequence[Pathlike],
    *,
    out: Pathlike = FIRST_LOOK,
    classes: Sequence[str] = (),
    backbone: str = "i3d",
    min_score: float = 0.0,
    top: int | None = None,
    pages: bool = False,
    show_progress: bool = True,
    on_video: Callable[[DetectedVideo], None] = lambda video: None,
    **settings: Any,
) -> DetectedVideos:
    """Find what a backbone's own classifier knows in raw videos, without any training.

    Args:
        videos: videos, folders and lists of videos; one or several.
        out: where to write, as `detect` does; rows and scores are kept in `features.h5` there.
        classes: names of the only classes to look for; all of the backbone's where not given.
        backbone: one that has a classifier.
        min_score, top, pages, show_progress, on_video: see `detect`.
        settings: further fields of `extract.settings.ExtractSettings`, such as `weights`.
    Raises:
        InputError: no video, no such class, or weights that are not here.
    """
    from .extract.first_look import LOOK, find_classes, look

    out = Path(out)
    check_place(out, folder=True)
    chosen = ExtractSettings(backbone=backbone, scores=True, **{**LOOK, **settings})
    known = chosen.family.labels or ()
    numbers = find_classes(classes, known) if classes else None
    given = [Path(v) for v in ([videos] if isinstance(videos, Pathlike) else videos)]
    images = chosen.assume_fps is not None
    raw = [video for path in given for video in find_videos(path, images=images)]
    paths, _ = assign_ids(raw)

    from .extract.extractor import extract_videos
    from .reports.detections import DetectedVideo, DetectedVideos, write_detections

    found = dict[str, DetectedVideo]()

    def look_at(video_id: str, scores: ClassScores, axis: TimeAxis) -> None:
        seen = look(scores, axis, classes=numbers)
        kept = [d for d in seen.detections if d.score >= min_score][:top]
        labels = sorted({d.label for d in kept})
        found[video_id] = DetectedVideo(
            video_id, axis.duration_sec, kept, seen.actionness, labels, paths.get(video_id)
        )
        on_video(found[video_id])

    def look_at_new(video: VideoFeatures) -> None:
        if video.scores is not None:
            look_at(video.video_id, ClassScores(video.scores.astype("float32"), known), video.axis)

    out.mkdir(parents=True, exist_ok=True)
    extraction = extract_videos(
        raw, out / EXTRACTED, chosen, show_progress=show_progress, on_video=look_at_new
    )
    if before := [*extraction.already, *extraction.elsewhere]:
        with FeatureFile(extraction.out) as file:
            for video_id in before:
                if scores := file.class_scores(video_id):
                    look_at(video_id, scores, file.time_axis(video_id))
    ordered = {v: found[v] for v in paths if v in found}
    written = write_detections(
        ordered, out, truth={}, pages=pages, reading=chosen.reading, subtitled=True
    )
    return DetectedVideos(ordered, tuple(written), extraction)


def annotate(
    videos: Pathlike,
    run: Pathlike | None = None,
    *,
    annotations: Pathlike | None = None,
    predictions: Pathlike | None = None,
    classes: Sequence[str] | None = None,
    order: str = "name",
    device: str = "auto",
    port: int = 0,
    on_open: Callable[[str], None] = logger.info,
    **settings: Any,
) -> None:
    """Serve the page to annotate videos in, on this machine alone, until Ctrl-C.

    Args:
        videos: a video, a folder or a list of videos.
        run: of a head whose detections are suggested; those of videos in its feature file are found
            there, others are extracted first, see `detect`.
        annotations: the file to read and to save into; by default `annotations.json` beside them.
        predictions: a file of detections to suggest, instead of a run's.
        classes: suggest what `first_look` sees, of these classes, or of all where none is named.
        order: `name`, or `useful`: what is least sure first.
        device: `auto`, `cpu` or `cuda`.
        port: to listen on; any that is free where 0.
        on_open: called with the address, which nobody else can guess.
        settings: how videos are read: `time_zero`, `track` and `assume_fps` of
            `extract.settings.ExtractSettings`.
    Raises:
        InputError: no video, annotations that cannot be read or written, no such port, or nothing
            to sort by.
    """
    reading, videos = ExtractSettings(**settings).reading, Path(videos)
    paths, refused = assign_ids(find_videos(videos, images=reading.assume_fps is not None))
    for words in refused.values():
        logger.warning("%s", words)
    if order == "useful" and run is None and predictions is None and classes is None:
        raise InputError(
            "--order useful needs detections: name a --run, --predictions or --classes"
        )
    folder = videos if videos.is_dir() and videos not in paths.values() else videos.parent
    file = AnnotationFile(Path(annotations or folder / "annotations.json"))

    from .annotator.server import serve
    from .annotator.session import Session
    from .annotator.suggest import Suggested, found_by_run, suggest

    def new_videos(rest: Sequence[Path]) -> DetectedVideos:
        return detect(
            rest, run, out=Path(run or "") / SUGGESTED, min_score=0.0, device=device,
            track=reading.track, assume_fps=reading.assume_fps,
        )  # fmt: skip

    found: Mapping[str, Sequence[Detection]] = {}
    if predictions:
        found = load_predictions(predictions)
    elif run:
        found = found_by_run(paths, Path(run), device=device, new_videos=new_videos)
    elif classes is not None:
        looked = first_look(list(paths.values()), classes=classes, device=device)
        found = {video_id: video.detections for video_id, video in looked.items()}
    point = load_operating_point(Path(run)) if run else None
    suggested = suggest(found, point, file.durations(list(paths))) if found else Suggested()
    if order == "useful":
        paths = {video_id: paths[video_id] for video_id in suggested.order(list(paths))}
    serve(Session(paths, file, reading, suggested, order), port, on_open)


def convert(
    source: Pathlike,
    to: Pathlike,
    form: str | None = None,
    *,
    videos: Pathlike | None = None,
    min_score: float | None = None,
    as_labels: bool = False,
    split: float | None = None,
    split_seed: int = 0,
    label_fps: float | None = None,
    tiers: Sequence[str] = (),
    **reading: Any,
) -> Converted:
    """Write labels or detections in another program's form, and say what that form cannot hold.

    Args:
        source: a file or folder of labels or detections, in any form of docs/labels.md.
        to: what to write; a folder where the form has a file for every video.
        form: its name; by the ending of `to` where not given.
        videos: their own clocks turn frames into seconds, and back.
        min_score: leave out detections that score less.
        as_labels: write detections as labels, without their scores.
        split, split_seed, label_fps: as for `extract`.
        tiers: of ELAN, to take; all where none is named.
        reading: `time_zero`, `track` and `assume_fps`, see `extract.settings.ExtractSettings`.
    Raises:
        InputError: `source` cannot be read, or `to` cannot hold it.

    Example:
        >>> tsatal.convert("project.boris", "labels.csv")  # doctest: +SKIP
    """
    asked = ExtractSettings(**reading).reading
    paths = find_videos(Path(videos), images=asked.assume_fps is not None) if videos else []
    how = HowToRead(clock_of(paths, asked, label_fps), tuple(tiers), split, split_seed)
    return convert_labels(
        Path(source), Path(to), form, how, min_score=min_score, as_labels=as_labels
    )


def clips(
    predictions: Pathlike,
    videos: Pathlike,
    out: Pathlike,
    *,
    pad: float = 0.0,
    min_score: float | None = None,
    top: int | None = None,
    label_fps: float | None = None,
    **reading: Any,
) -> Clips:
    """Cut a clip for every detection or label out of its video, with contact sheets and an index.

    Args:
        predictions: detections or labels in any form of docs/labels.md.
        videos: a video, a folder, or a `.txt` list of paths.
        out: a folder.
        pad: seconds to add before and after.
        min_score: leave out what scores less; by default, less than the thresholds in the file.
        top: cut the best so many of each class.
        label_fps: as for `extract`.
        reading: `time_zero`, `track` and `assume_fps`, see `extract.settings.ExtractSettings`.
    Raises:
        InputError: a file cannot be read, or no video is among those of `predictions`.

    Example:
        >>> tsatal.clips("found/predictions.json", "videos", "clips", top=20)  # doctest: +SKIP
    """
    asked = ExtractSettings(**reading).reading
    check_place(out, folder=True)
    paths = find_videos(Path(videos), images=asked.assume_fps is not None)
    ids, refused = assign_ids(paths)
    labels = read_labels(Path(predictions), HowToRead(clock_of(paths, asked, label_fps)))
    refuse_problems(labels, predictions)
    tell(labels, predictions)

    from .reports.clips import choose_clips, labels_of_videos, write_clips

    there, missing = labels_of_videos(labels, ids)
    wanted = choose_clips(there, min_score=min_score, top=top)
    return write_clips(
        wanted, ids, Path(out), pad_sec=pad, reading=asked, refused=refused, missing=missing
    )


def _named(config: str | Config, overrides: Sequence[str]) -> tuple[str, Config]:
    """Return settings, and a name for a folder of theirs."""
    if isinstance(config, Config):
        return "run", config
    return Path(config).stem, load_config(config, overrides)


@contextmanager
def _open(
    features: Pathlike, annotations: Pathlike | None, how: HowToRead
) -> Iterator[tuple[FeatureFile, Annotations]]:
    """Open a feature file, with its annotations or others."""
    with FeatureFile(features) as file:
        yield file, find_annotations(file, annotations, how)


def _carry_out(
    out: Path,
    plan: Study,
    videos: Sequence[AnnotatedVideo],
    jobs: int,
    device: str,
    command: Sequence[str] | None,
) -> None:
    """Do what is left to do of several trainings."""
    from .head.studies import alone_in, begin, carry_out

    plan = begin(out, plan, videos)
    one = partial(_train_one, features=plan.features, device=device, command=command)
    with alone_in(out):
        carry_out(out, plan, videos, one, jobs=jobs)


def _train_one(
    run: Path, config: Config, *, features: str, device: str, command: Sequence[str] | None
) -> str:
    """Train one head of several, or go on with it, and keep what it finds in held-out videos."""
    from .head.studies import keep_held_out

    truth = run / ANNOTATIONS_FILE
    if (run / LAST).exists():
        resume(run, features=features, annotations=truth, device=device, command=command)
    else:
        train(features, config, run=run, annotations=truth, device=device, command=command)
    from .extract.backbones.device import choose_device

    mean = keep_held_out(run, features, config, device=choose_device(device))
    return f"mAP {100 * mean:.2f} % in the videos that it has not seen"


def _with_note(evaluation: Evaluation, run: Path, epochs: Epochs | None) -> Evaluation:
    """Return a run's evaluation with a note on a training that is not finished."""
    if epochs and (unfinished := epochs.words(run)):
        return replace(evaluation, notes=(*evaluation.notes, unfinished))
    return evaluation


def _outcome(evaluation: Evaluation, point: OperatingPoint | None) -> Outcome | None:
    """Return what detections above a run's thresholds are worth; None for a run without any."""
    from .evaluation.events import outcome

    matches, subset = evaluation.matches, evaluation.subset
    return outcome(matches.videos, matches.predictions, point, subset=subset) if point else None


def _look_at(features: Pathlike | None = None, annotations: Pathlike | None = None) -> None:
    """Open and close files that are needed later.

    Raises:
        InputError: one is not there, cannot be opened, or is no feature file.
    """
    if annotations:
        look_at(annotations)
    if features:
        FeatureFile(features).close()


def _draw(
    video: AnnotatedVideo,
    duration_sec: float,
    detections: Sequence[Detection],
    labels: Sequence[str],
) -> np.ndarray:
    """Return the time line of a video as an image, for a training's TensorBoard."""
    from .reports.pictures import timeline

    return timeline(
        video_id=video.video_id,
        duration_sec=duration_sec,
        truth=video.instances,
        detections=detections,
        labels=labels,
    ).pixels()
