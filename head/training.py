"""The wiring of a training: data, head, loss and validation into the loop of `head.loop`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..config import Config
from ..evaluation.average_precision import evaluate, threshold_name
from ..evaluation.matching import ANET, Measure
from ..formats.annotations import AnnotatedVideo, Annotations, Detection
from ..formats.features import FeatureFile
from ..formats.subsets import videos_in_subset
from ..reports.pictures import timeline
from .dataset import (
    Batch,
    LabelledVideo,
    alike_together,
    batches,
    draw_windows,
    feature_scale,
    label_videos,
)
from .detector import Detector
from .log import Watched
from .loop import fit, seed_everything
from .parallel import of_all, processes, rank
from .run import RunData, build_head, build_loss

logger = logging.getLogger(__name__)

PICTURES = 3  # watched videos whose time lines are drawn


def train_head(
    file: FeatureFile,
    truth: Annotations,
    config: Config,
    data: RunData,
    *,
    run_dir: Path,
    device: torch.device,
    resume: bool,
) -> None:
    """Train the head that the settings ask for, from the start or on from its last checkpoint.

    Raises:
        InputError: see `head.loop.fit`, and what is raised on reading features.
    """
    optim, windows = config.optim, config.data.windows_per_video
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
    if config.model.instance_norm:
        own = 0 if head.embed_own is None else len(head.embed_own.weight)
        logger.info(
            "%.0f %% of the features' variance lies between videos, and tells their classes to "
            "%.0f %% (0: by chance): %d of %d channels are normalised within each "
            "(model.instance_norm)",
            100 * data.between_videos, 100 * data.classes_told, own, config.model.width,
        )  # fmt: skip
    head.divide_features_by(feature_scale(file, videos, data.streams))
    fit(
        model=head.to(device),
        batches_of=lambda epoch: epoch_batches(file, videos, config, data.streams, epoch=epoch),
        steps_per_epoch=-(-len(videos) * windows // optim.batch_size),
        criterion=build_loss(config, data).to(device),
        validate=watching(file, validation, config, data, device=device),
        run_dir=run_dir,
        resume=resume,
        device=device,
        half=optim.half and device.type == "cuda",
        **optim.model_dump(exclude={"half", "batch_size"}),
    )


def epoch_batches(
    file: FeatureFile,
    videos: Sequence[LabelledVideo],
    config: Config,
    streams: Sequence[str],
    *,
    epoch: int,
) -> Iterator[Batch]:
    """Return this process's share of the batches of an epoch, a function of seed and epoch."""
    sampling, size = config.data, config.optim.batch_size
    rng = np.random.default_rng([config.optim.seed, epoch])
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
        alike_together(windows, size, rng=rng),
        streams=streams,
        batch_size=size,
        min_visible=sampling.min_visible,
        rank=rank(),
        processes=processes(),
    )


def watching(
    file: FeatureFile,
    videos: Mapping[str, AnnotatedVideo],
    config: Config,
    data: RunData,
    *,
    device: torch.device,
) -> Callable[[nn.Module, bool], Watched]:
    """Return what measures a head on the watched videos, and draws some; all processes share them.

    Always the same videos are drawn, so that one can see what a training changes.
    """

    def measure(model: nn.Module, drawn: bool) -> Watched:
        detector = Detector(model.eval(), config, data, device)
        mine = list(videos)[rank() :: processes()]
        shares = of_all({v: detector.in_file(file, v).detections for v in mine})
        found = {video_id: each for share in shares for video_id, each in share.items()}
        measure = Measure(ANET, config.eval.tious)
        evaluation = evaluate(videos, found, measure, subset=data.subsets.validation)
        names = map(threshold_name, evaluation.tious)
        return Watched(
            evaluation.average_map,
            dict(zip(names, evaluation.mean_ap.tolist(), strict=True)),
            _pictures(file, videos, found, data) if drawn and rank() == 0 else {},
        )

    return measure


def _pictures(
    file: FeatureFile,
    videos: Mapping[str, AnnotatedVideo],
    found: Mapping[str, Sequence[Detection]],
    data: RunData,
) -> dict[str, np.ndarray]:
    """Return the time lines of the first videos with actions, as images."""
    shown = [v for v in videos.values() if v.instances][:PICTURES]
    return {
        video.video_id: timeline(
            video_id=video.video_id,
            duration_sec=file.time_axis(video.video_id).duration_sec,
            truth=video.instances,
            detections=found[video.video_id],
            labels=data.labels,
        ).pixels()
        for video in shown
    }
