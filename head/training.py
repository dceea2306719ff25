"""The wiring of a training: features, head, loss and validation into `loop.fit`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
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
from .dataset import Batch, batches
from .detector import Detector
from .log import Validation
from .loop import fit, seed_everything
from .losses import HeadLoss
from .parallel import all_gather, rank, world_size
from .run import RunData, TrainingVideos, build_head
from .windows import LabelledVideo, WindowPlan, alike_together, draw_windows, plan_windows

logger = logging.getLogger(__name__)

FEW_STEPS = 100  # in a whole training; below, a warning
PICTURES = 3  # validation videos whose time lines are drawn

# From a video, its duration in seconds, its detections and all labels to (H, W, 3) uint8.
Draw = Callable[[AnnotatedVideo, float, Sequence[Detection], Sequence[str]], np.ndarray]


def train_head(
    file: FeatureFile,
    truth: Annotations,
    config: Config,
    data: RunData,
    videos: TrainingVideos,
    *,
    run_dir: Path,
    device: torch.device,
    resume: bool,
    draw: Draw | None = None,
) -> None:
    """Train the head that the settings ask for, from the start or on from its last checkpoint.

    Args:
        videos: to train on, see `run.training_videos`.
        draw: draws the time line of a validation video for TensorBoard; None: no pictures.
    Raises:
        InputError: see `loop.fit` and `FeatureFile.rows`.
    """
    half = config.optim.half and device.type == "cuda"
    optim = config.optim.model_copy(update={"half": half})
    labelled = videos.labelled
    plan = plan_windows(labelled, config.data, epochs=optim.epochs, batch_size=optim.batch_size)
    steps = -(-len(plan) // optim.batch_size)
    validation = videos_in_subset(file, truth, data.subsets.validation)
    logger.info(
        "training on %d %s videos (%d without actions; %d actions, %d classes), watching %d %s "
        "videos; run %s",
        len(labelled), data.subsets.train, sum(not v.labels.size for v in labelled),
        sum(v.labels.size for v in labelled), len(data.labels), len(validation),
        data.subsets.validation, run_dir,
    )  # fmt: skip
    logger.info(
        "an epoch has %d steps: %d windows around actions, %d of background; %d steps in all",
        steps, sum(plan.around), plan.background, steps * optim.epochs,
    )  # fmt: skip
    if steps * optim.epochs < FEW_STEPS:
        logger.warning(
            "%d steps are little to learn from; raise optim.epochs, or let "
            "data.windows_per_video=auto choose",
            steps * optim.epochs,
        )
    seed_everything(optim.seed)
    head = build_head(config, data)
    if config.model.instance_norm:
        own = 0 if head.embed_own is None else len(head.embed_own.weight)
        logger.info(
            "%.0f %% of the features' variance is between whole videos (place, camera, light); it "
            "predicts a video's classes at %.0f %% (0: by chance, 100: always): %d of %d channels "
            "are normalised within each video (model.instance_norm)",
            100 * data.between_videos, 100 * data.classes_told, own, config.model.width,
        )  # fmt: skip
    head.divide_features_by(videos.stats.scale)
    fit(
        model=head.to(device),
        batches_of=lambda epoch: epoch_batches(
            file, labelled, plan, config, data.streams, epoch=epoch
        ),
        steps_per_epoch=steps,
        criterion=HeadLoss(config.loss).to(device),
        validate=partial(validate, file, validation, config, data, draw=draw, device=device),
        run_dir=run_dir,
        optim=optim,
        resume=resume,
        device=device,
    )


def epoch_batches(
    file: FeatureFile,
    videos: Sequence[LabelledVideo],
    plan: WindowPlan,
    config: Config,
    streams: Sequence[str],
    *,
    epoch: int,
) -> Iterator[Batch]:
    """Return this process's share of the batches of an epoch, a function of seed and epoch."""
    size = config.optim.batch_size
    rng = np.random.default_rng([config.optim.seed, epoch])
    windows = alike_together(draw_windows(videos, plan, config.data, rng=rng), size, rng=rng)
    return batches(file, windows, config.data, streams=streams, batch_size=size)


def validate(
    file: FeatureFile,
    videos: Mapping[str, AnnotatedVideo],
    config: Config,
    data: RunData,
    model: nn.Module,
    drawn: bool,
    *,
    draw: Draw | None,
    device: torch.device,
) -> Validation:
    """Return the mAP of a head on the validation videos, with pictures of some where `drawn`.

    All processes share the videos. The same are drawn each time, to show what training changes.
    """
    detector = Detector(model.eval(), config, data, device)
    mine = list(videos)[rank() :: world_size()]
    shares = all_gather({v: detector.in_file(file, v).detections for v in mine})
    found = {video_id: each for share in shares for video_id, each in share.items()}
    measure = Measure(ANET, config.eval.tious)
    evaluation = evaluate(videos, found, measure, subset=data.subsets.validation)
    names = map(threshold_name, evaluation.tious)
    by_tiou = dict(zip(names, evaluation.mean_ap.tolist(), strict=True))
    pictures = {}
    if draw is not None and drawn and rank() == 0:
        for video in [v for v in videos.values() if v.instances][:PICTURES]:
            v = video.video_id
            pictures[v] = draw(video, file.time_axis(v).duration_sec, found[v], data.labels)
    return Validation(evaluation.average_map, by_tiou, pictures)
