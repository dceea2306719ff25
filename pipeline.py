"""Extract, train and evaluate as functions: the only place that wires the parts together."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .annotations import (
    Annotations,
    Detection,
    load_annotations,
    load_predictions,
    predictions_json,
)
from .config import Config, load_config
from .demo import write_demo_videos
from .errors import InputError
from .evaluation import THUMOS14_TIOUS, Evaluation, evaluate
from .extract.backbone import choose_device
from .extract.cluster import connect
from .extract.extractor import Engine, ThisProcess, extract_videos
from .extract.settings import ExtractSettings
from .extract.sources import find_videos
from .extract.work import Summary
from .features import FeatureFile
from .head.dataset import (
    Batch,
    alike_together,
    batches,
    draw_windows,
    feature_scale,
    label_videos,
)
from .head.decode import decode_video, score_video
from .head.parallel import joined, of_all, of_first, processes, rank, wait_for_all
from .head.train import LAST, fit, seed_everything
from .report import write_report
from .runs import (
    RunData,
    build_head,
    build_loss,
    check_same_extraction,
    describe,
    load_head,
    load_run_description,
    new_run_dir,
    save_run_description,
)
from .subsets import (
    find_annotations,
    report_unmatched,
    subset_to_test,
    videos_in_subset,
)

logger = logging.getLogger(__name__)

SCALE_VIDEOS = 200  # enough to know how large features are


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
        ray: the cluster to run on, see `extract.cluster.connect`; None runs in this process.
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
    with joined(torch.device(choose_device(device))) as on, FeatureFile(features) as file:
        run_dir = of_first(run_dir)
        if (run_dir / LAST).exists():
            raise InputError(
                f"{run_dir}: already holds a run; add --resume, or choose another --out"
            )
        truth = find_annotations(file, annotations)
        data = describe(file, truth, config)
        if annotations:
            data = replace(data, annotations=str(annotations.resolve()))
        if rank() == 0:
            save_run_description(run_dir, config, data)
        wait_for_all()
        _fit(file, truth, config, data, run_dir=run_dir, device=on, resume=False)
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
    with joined(on) as on, FeatureFile(features or data.features) as file:
        check_same_extraction(file, data)
        truth = find_annotations(file, data.annotations_for(None, annotations))
        started = (run_dir / LAST).exists()
        wait_for_all()
        _fit(file, truth, config, data, run_dir=run_dir, device=on, resume=started)
    return run_dir


def _fit(
    file: FeatureFile,
    truth: Annotations,
    config: Config,
    data: RunData,
    *,
    run_dir: Path,
    device: torch.device,
    resume: bool,
) -> None:
    """Wire data, head, loss and validation into the training loop."""
    optim, sampling = config.optim, config.data
    videos = label_videos(file, videos_in_subset(file, truth, data.subsets.train), data.labels)
    videos = [v for v in videos if len(v.segments)]
    validation = videos_in_subset(file, truth, data.subsets.validation)
    logger.info(
        "training on %d %s videos (%d actions, %d classes), watching %d %s videos; run %s",
        len(videos), data.subsets.train, sum(len(v.segments) for v in videos), len(data.labels),
        len(validation), data.subsets.validation, run_dir,
    )  # fmt: skip
    seed_everything(optim.seed)
    head = build_head(config, data)
    head.divide_features_by(feature_scale(file, videos, data.streams, max_videos=SCALE_VIDEOS))

    def batches_of(epoch: int) -> Iterator[Batch]:
        rng = np.random.default_rng([optim.seed, epoch])
        windows = draw_windows(
            videos,
            window_steps=sampling.window_steps,
            windows_per_video=sampling.windows_per_video,
            min_share=sampling.min_instance_share,
            min_crop=sampling.min_crop,
            rng=rng,
        )
        return batches(
            file,
            alike_together(windows, optim.batch_size, rng=rng),
            streams=data.streams,
            batch_size=optim.batch_size,
            min_visible=sampling.min_visible,
            rank=rank(),
            processes=processes(),
        )

    def validate(model: nn.Module) -> float:
        mine = list(validation)[rank() :: processes()]
        shares = of_all(detect(model.eval(), file, mine, config, data, device=device))
        found = {video_id: d for share in shares for video_id, d in share.items()}
        return evaluate(
            validation,
            found,
            protocol="anet",
            tious=config.eval.tious,
            subset=data.subsets.validation,
        ).average_map

    fit(
        model=head.to(device),
        batches_of=batches_of,
        steps_per_epoch=-(-len(videos) * sampling.windows_per_video // optim.batch_size),
        criterion=build_loss(config, data).to(device),
        validate=validate,
        run_dir=run_dir,
        resume=resume,
        device=device,
        half=optim.half and device.type == "cuda",
        **optim.model_dump(exclude={"half", "batch_size"}),
    )


def detect(
    head: nn.Module,
    file: FeatureFile,
    video_ids: Iterable[str],
    config: Config,
    data: RunData,
    *,
    device: torch.device,
) -> dict[str, list[Detection]]:
    """Return the detections of a trained head in videos of a feature file, best first."""
    decoding = config.decode.model_dump(exclude={"window_steps", "window_overlap"})
    found = {}
    for video_id in video_ids:
        points = score_video(
            head,
            file.rows(video_id, data.streams),
            softmax=config.model.classes == "softmax",
            window_steps=config.decode.window_steps or config.data.window_steps,
            overlap=config.decode.window_overlap,
            align=2 ** (config.model.levels - 1),
            batch_size=config.optim.batch_size,
            device=device,
        )
        found[video_id] = decode_video(points, file.time_axis(video_id), data.labels, **decoding)
    return found


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
) -> Measured:
    """Detect in a subset with a run's head, measure, and write predictions, metrics and pictures.

    Args:
        features: another feature file than the run was trained on, made in the same way.
        subset, protocol, tious, exclude: as the run's settings say where not given.
        checkpoint: "last", or "best", which was chosen by its mAP on the validation subset.
        timelines: how many videos to draw.
        out: where to write; the run's folder where not given.
    Raises:
        InputError: no such run, subset or video; features of another width or extraction.
    """
    config, data = load_run_description(run_dir)
    on = torch.device(choose_device(device))
    subset = subset or data.subsets.test
    head = load_head(run_dir, checkpoint=checkpoint, device=on)
    with FeatureFile(features or data.features) as file:
        check_same_extraction(file, data)
        truth = find_annotations(file, data.annotations_for(features, annotations))
        videos = videos_in_subset(file, truth, subset)
        found = detect(head, file, list(videos), config, data, device=on)
    out = out or run_dir
    out.mkdir(parents=True, exist_ok=True)
    (out / "predictions.json").write_text(predictions_json(found), encoding="utf-8")
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


def demo(out: Path, *, seed: int, device: str) -> Measured:
    """Write small videos into `out`, extract, train and evaluate; all of it stays there.

    A second call finds videos and features there and trains again.
    """
    videos, features = out / "videos", out / "features.h5"
    if not (videos / "annotations.json").exists():
        logger.info("writing videos of moving shapes into %s", videos)
        write_demo_videos(videos, seed=seed)
    extract(videos, features, ExtractSettings(weights="random", device=device))
    run_dir = new_run_dir("demo", root=out / "runs")
    train(features, load_config("demo", [f"optim.seed={seed}"]), run_dir=run_dir, device=device)
    return evaluate_run(run_dir, device=device)
