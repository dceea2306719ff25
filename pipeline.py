"""Extract, train and evaluate as functions: the only place that wires the parts together."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .checks.check import warnings_for_training
from .commands.demo import write_demo_videos
from .config import Config, load_config
from .detecting import Detected as Detected
from .detecting import detect as detect
from .errors import InputError
from .evaluation.average_precision import THUMOS14_TIOUS, Evaluation, evaluate
from .extract.backbones.i3d_r50 import choose_device
from .extract.extractor import Engine, ThisProcess, extract_videos
from .extract.ray_cluster import connect
from .extract.settings import ExtractSettings
from .extract.sharing.work import Summary
from .extract.sources import find_videos
from .formats.annotations import (
    AnnotatedVideo,
    Detection,
    load_annotations,
    load_predictions,
    predictions_json,
)
from .formats.atomic import write_text
from .formats.features import FeatureFile
from .formats.subsets import find_annotations, report_unmatched, subset_to_test, videos_in_subset
from .head.checkpoint import LAST
from .head.detector import load_detector
from .head.parallel import barrier, broadcast, process_group, rank
from .head.run import (
    check_same_extraction,
    describe,
    load_run_description,
    new_run_dir,
    save_run_description,
    training_videos,
)
from .head.training import train_head
from .reports.comparison import comparison_table
from .reports.pictures import timeline
from .reports.report import write_report
from .reports.viewer import view_predictions

logger = logging.getLogger(__name__)


def extract(
    videos: Path,
    out: Path,
    settings: ExtractSettings,
    *,
    annotations: Path | None = None,
    overwrite: bool = False,
    strict: bool = False,
    show_progress: bool = True,
    ray: str | None = None,
) -> Summary:
    """Extract the features of a video, a folder or a list of videos into a feature file.

    Args:
        annotations: embedded in the file; by default `annotations.json` inside the folder.
        overwrite, strict, show_progress: see `extract.extractor.extract_videos`.
        ray: the cluster to run on, see `extract.ray_cluster.connect`; None runs in this process.
    Raises:
        InputError: nothing to extract, annotations of another form, or settings that cannot work.
    """
    if annotations is None and (videos / "annotations.json").is_file():
        annotations = videos / "annotations.json"
    truth = load_annotations(annotations) if annotations else None
    paths = find_videos(videos)
    if truth:
        report_unmatched({p.stem for p in paths}, truth)
    with _engine(ray) as engine:
        return extract_videos(
            paths,
            out,
            settings,
            annotations_text=truth.text if truth else None,
            overwrite=overwrite,
            strict=strict,
            show_progress=show_progress,
            engine=engine,
        )


def _engine(ray: str | None) -> contextlib.AbstractContextManager[Engine]:
    return connect(ray) if ray else contextlib.nullcontext(ThisProcess())


def train(
    features: Path,
    config: Config,
    *,
    run_dir: Path,
    annotations: Path | None = None,
    device: str = "auto",
) -> Path:
    """Train a head on a feature file and return the run's folder.

    Raises:
        InputError: the folder already holds a run, or the features, annotations and settings do
            not fit together.
    """
    with process_group(torch.device(choose_device(device))) as on, FeatureFile(features) as file:
        run_dir = broadcast(run_dir)
        if (run_dir / LAST).exists():
            raise InputError(
                f"{run_dir}: already holds a run; add --resume, or choose another --out"
            )
        truth = find_annotations(file, annotations)
        data, videos = describe(file, truth, config)
        if annotations:
            data = replace(data, annotations=str(annotations.resolve()))
        for finding in warnings_for_training(
            file, truth, data.subsets, exclude=config.eval.exclude
        ):
            logger.warning("%s", finding.line)
        if rank() == 0:
            save_run_description(run_dir, config, data)
        barrier()
        train_head(
            file, truth, config, data, videos,
            run_dir=run_dir, device=on, resume=False, draw=_draw,
        )  # fmt: skip
    return run_dir


def resume(
    run_dir: Path,
    *,
    features: Path | None = None,
    annotations: Path | None = None,
    device: str = "auto",
) -> Path:
    """Go on with an interrupted training, under its own settings, and return its folder.

    Args:
        features: where the feature file is now, if it has moved.
    """
    config, data = load_run_description(run_dir)
    on = torch.device(choose_device(device))
    with process_group(on) as on, FeatureFile(features or data.features) as file:
        check_same_extraction(file, data)
        truth = find_annotations(file, data.annotations_for(None, annotations))
        started = (run_dir / LAST).exists()
        barrier()
        videos = training_videos(
            file, truth, subset=data.subsets.train, streams=data.streams, labels=data.labels
        )
        train_head(
            file, truth, config, data, videos,
            run_dir=run_dir, device=on, resume=started, draw=_draw,
        )  # fmt: skip
    return run_dir


def _draw(
    video: AnnotatedVideo,
    duration_sec: float,
    detections: Sequence[Detection],
    labels: Sequence[str],
) -> np.ndarray:
    """Return the time line of a video as a picture, (H, W, 3) uint8."""
    return timeline(
        video_id=video.video_id,
        duration_sec=duration_sec,
        truth=video.instances,
        detections=detections,
        labels=labels,
    ).pixels()


@dataclass(frozen=True)
class Measured:
    """An evaluation, and the files and folders that were written with it."""

    evaluation: Evaluation
    written: tuple[Path, ...]


def evaluate_run(
    run_dir: Path,
    *,
    features: Path | None = None,
    annotations: Path | None = None,
    subset: str | None = None,
    protocol: str | None = None,
    tious: Sequence[float] = (),
    exclude: Sequence[str] = (),
    checkpoint: str = "last",
    timelines: int = 8,
    out: Path | None = None,
    device: str = "auto",
    changes: Sequence[str] = (),
) -> Measured:
    """Detect in a subset with a run's head, measure, and write predictions, metrics and pictures.

    Args:
        features: another feature file than the run was trained on, made in the same way.
        subset, protocol, tious, exclude: as the run's settings say where not given.
        checkpoint: "last", or "best", which was chosen by its mAP on the validation subset.
        timelines: how many videos to draw.
        out: where to write; the run's folder where not given.
        changes: see `runs.load_run_description`.
    Raises:
        InputError: no such run, subset or video; features of another width or extraction.
    """
    on = choose_device(device)
    detector = load_detector(run_dir, checkpoint=checkpoint, device=on, changes=changes)
    config, data = detector.config, detector.data
    subset = subset or data.subsets.test
    with FeatureFile(features or data.features) as file:
        check_same_extraction(file, data)
        truth = find_annotations(file, data.annotations_for(features, annotations))
        videos = videos_in_subset(file, truth, subset)
        seen = {video_id: detector.in_file(file, video_id) for video_id in videos}
    found = {video_id: f.detections for video_id, f in seen.items()}
    curves = {video_id: f.actionness for video_id, f in seen.items()}
    out = out or run_dir
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "predictions.json", predictions_json(found, curves))
    left_out = exclude or [v for v in config.eval.exclude if v in videos]
    evaluation = evaluate(
        videos,
        found,
        protocol=protocol or config.eval.protocol,
        tious=tious or config.eval.tious,
        subset=subset,
        exclude=left_out,
    )
    if checkpoint == "best" and subset == data.subsets.validation:
        logger.warning(
            "these weights were chosen by their mAP on %r itself, so this mAP flatters them", subset
        )
    report = write_report(evaluation, videos, found, out, exclude=left_out, timelines=timelines)
    return Measured(evaluation, (out / "predictions.json", *report))


def evaluate_predictions(
    predictions: Path,
    *,
    annotations: Path,
    subset: str | None = None,
    protocol: str | None = None,
    tious: Sequence[float] = (),
    exclude: Sequence[str] = (),
    timelines: int = 8,
    out: Path | None = None,
) -> Measured:
    """Measure a file of detections in the ActivityNet format; pictures where `out` is given.

    Raises:
        InputError: a file is not of its format, or there is no such subset.
    """
    truth = load_annotations(annotations)
    videos = truth.subset(subset or subset_to_test(truth))
    subset = next(iter(videos.values())).subset
    found = load_predictions(predictions)
    evaluation = evaluate(
        videos,
        found,
        protocol=protocol or "anet",
        tious=tious or THUMOS14_TIOUS,
        subset=subset,
        exclude=exclude,
    )
    if out is None:
        return Measured(evaluation, ())
    report = write_report(evaluation, videos, found, out, exclude=exclude, timelines=timelines)
    return Measured(evaluation, tuple(report))


def evaluate_runs(run_dirs: Sequence[Path], **options: Any) -> dict[str, Measured]:
    """Measure several runs alike, each into its own folder, and return the results by name.

    Args:
        run_dirs: subset, protocol, thresholds and exclusions are those of the first, unless given.
        options: as for `evaluate_run`, but `out`.
    """
    config, data = load_run_description(run_dirs[0])
    options["subset"] = options.get("subset") or data.subsets.test
    options["protocol"] = options.get("protocol") or config.eval.protocol
    options["tious"] = options.get("tious") or config.eval.tious
    options["exclude"] = options.get("exclude") or config.eval.exclude
    return {str(run_dir): evaluate_run(run_dir, **options) for run_dir in run_dirs}


def table(measured: Mapping[str, Measured]) -> str:
    """Return what was measured as text: one evaluation, or several runs side by side."""
    evaluations = {name: m.evaluation for name, m in measured.items()}
    if len(measured) == 1:
        return next(iter(evaluations.values())).table()
    configs = {name: load_run_description(Path(name))[0] for name in measured}
    return comparison_table(evaluations, configs)


def demo(out: Path, *, seed: int, device: str) -> Measured:
    """Write small videos into `out`, extract, train, evaluate, and make pages to look at.

    All of it stays there; a second call finds videos and features and trains again.
    """
    videos, features = out / "videos", out / "features.h5"
    annotations = videos / "annotations.json"
    if not annotations.exists():
        logger.info("writing videos of moving shapes into %s", videos)
        write_demo_videos(videos, seed=seed)
    extract(videos, features, ExtractSettings(weights="random", device=device))
    run_dir = new_run_dir("demo", root=out / "runs")
    train(features, load_config("demo", [f"optim.seed={seed}"]), run_dir=run_dir, device=device)
    measured = evaluate_run(run_dir, device=device)
    predictions, pages = run_dir / "predictions.json", run_dir / "pages"
    for video_id in load_predictions(predictions):
        video, page = videos / f"{video_id}.mp4", pages / f"{video_id}.html"
        view_predictions(video, predictions, page, annotations=annotations)
    return Measured(measured.evaluation, (*measured.written, pages))
