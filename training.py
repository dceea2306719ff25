"""The wiring of a training: data, head, loss and validation into the loop of `head.train`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .annotations import AnnotatedVideo, Annotations
from .config import Config
from .evaluation import ANET, evaluate
from .features import FeatureFile
from .head.dataset import (
    Batch,
    LabelledVideo,
    alike_together,
    batches,
    draw_windows,
    feature_scale,
    label_videos,
)
from .head.parallel import of_all, processes, rank
from .head.train import fit, seed_everything
from .inference import Detector
from .runs import RunData, build_head, build_loss
from .subsets import videos_in_subset

logger = logging.getLogger(__name__)

SCALE_VIDEOS = 200  # enough to know how large features are


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
        InputError: see `head.train.fit`, and what is raised on reading features.
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
    head.divide_features_by(feature_scale(file, videos, data.streams, max_videos=SCALE_VIDEOS))
    fit(
        model=head.to(device),
        batches_of=lambda epoch: epoch_batches(file, videos, config, data.streams, epoch=epoch),
        steps_per_epoch=-(-len(videos) * windows // optim.batch_size),
        criterion=build_loss(config, data).to(device),
        validate=validation_map(file, validation, config, data, device=device),
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


def validation_map(
    file: FeatureFile,
    videos: Mapping[str, AnnotatedVideo],
    config: Config,
    data: RunData,
    *,
    device: torch.device,
) -> Callable[[nn.Module], float]:
    """Return what measures a head on the watched videos, in [0, 1]; all processes share them."""

    def measure(model: nn.Module) -> float:
        detector = Detector(model.eval(), config, data, device)
        mine = list(videos)[rank() :: processes()]
        shares = of_all({v: detector.in_file(file, v).detections for v in mine})
        return evaluate(
            videos,
            {video_id: found for share in shares for video_id, found in share.items()},
            protocol=ANET,
            tious=config.eval.tious,
            subset=data.subsets.validation,
        ).average_map

    return measure
