"""The wiring of a training: features, head, loss and validation into `loop.fit`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..config import Config, OptimConfig
from ..evaluation.average_precision import evaluate, threshold_name
from ..evaluation.events import outcome
from ..evaluation.matching import ANET, Measure
from ..evaluation.operating_point import learn_operating_point
from ..formats.annotations import AnnotatedVideo, Annotations, Detection, all_labels
from ..formats.features import FeatureFile
from ..formats.subsets import videos_in_subset
from .agreement import check_agreement
from .dataset import Batch, batches
from .detector import Detector, load_detector
from .log import Validation
from .loop import fit, seed_everything
from .losses import HeadLoss
from .model import TSATAL
from .parallel import all_gather, barrier, rank, world_size
from .run import (
    MUCH_BETWEEN,
    POINT_FILE,
    RunData,
    TrainingVideos,
    build_head,
    save_config,
    save_operating_point,
)
from .training_words import how_long, too_short, what_counts, what_was_found
from .windows import LabelledVideo, WindowPlan, alike_together, draw_windows, plan_windows

logger = logging.getLogger(__name__)

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
    watched = data.subsets.validation
    validation = videos_in_subset(file, truth, watched) if watched else {}
    for video_id in validation:  # what is wrong with one is not found only after some epochs
        file.rows(video_id, data.streams)
    if rank() == 0:
        _say_what_is_trained(labelled, validation, data, plan, optim, steps, run_dir)
    seed_everything(optim.seed)
    head = build_head(config, data)
    if config.model.instance_norm:
        logger.debug("%s", videos_as_a_whole(data, head, config))
    head.normalise_features(videos.stats)
    found: dict[str, list[Detection]] = {}  # of the last validation, which is after the last epoch
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # what is not half is single
        fit(
            model=head.to(device),
            batches_of=lambda epoch: epoch_batches(
                file, labelled, plan, config, data.streams, epoch=epoch
            ),
            steps_per_epoch=steps,
            criterion=HeadLoss(config.loss).to(device),
            validate=partial(
                validate,
                file,
                validation,
                config,
                data,
                draw=draw,
                device=device,
                labels=all_labels(data.labels, truth),
                found=found,
            )
            if validation
            else None,
            run_dir=run_dir,
            optim=optim,
            resume=resume,
            device=device,
        )
    if validation and not found and not (run_dir / POINT_FILE).exists():
        # Stopped before, after its last epoch: what follows from it is still to be done.
        last = load_detector(run_dir, device=device, own_scores=True)
        found |= detect_together(last, file, validation)
    if found and config.decode.class_agreement == "auto":
        found = _settle_agreement(file, validation, config, data, run_dir, device, found)
    if found and rank() == 0:
        _keep_operating_point(validation, config, data, run_dir, found)


def _settle_agreement(
    file: FeatureFile,
    videos: Mapping[str, AnnotatedVideo],
    config: Config,
    data: RunData,
    run_dir: Path,
    device: torch.device,
    found: dict[str, list[Detection]],
) -> dict[str, list[Detection]]:
    """Write into the run what `check_agreement` chooses, and return the detections with it."""

    def detect(power: float) -> dict[str, list[Detection]]:
        changes = [f"decode.class_agreement={power}"]
        other = load_detector(run_dir, device=device, changes=changes, own_scores=True)
        return detect_together(other, file, videos)

    barrier()  # until the weights are written
    measure, subset = Measure(ANET, config.eval.tious), data.subsets.validation
    power, found = check_agreement(videos, found, detect, measure=measure, subset=subset)
    if rank() == 0:
        decode = config.decode.model_copy(update={"class_agreement": power})
        save_config(run_dir, config.model_copy(update={"decode": decode}))
    return found


def _keep_operating_point(
    videos: Mapping[str, AnnotatedVideo],
    config: Config,
    data: RunData,
    run_dir: Path,
    found: dict[str, list[Detection]],
) -> None:
    """Write into the run from which score on detections count, and say what that is worth."""
    point = learn_operating_point(
        videos, found, subset=data.subsets.validation, precision=config.eval.precision
    )
    save_operating_point(run_dir, point)
    assert point.calibration  # it was just learned
    calibrated = point.calibration.apply_to_all(found)
    seen = outcome(videos, calibrated, point, subset=point.subset).all
    logger.info("%s", what_counts(point, seen))


def videos_as_a_whole(data: RunData, head: TSATAL, config: Config) -> str:
    """Return in words how much videos differ as a whole, and what the head does about it."""
    differ = f"{data.between_videos:.0%} of what varies in the features"
    if head.embed_own is not None:
        return (
            f"whole videos look different (place, camera, light): {differ}, and that hardly tells "
            f"their actions; so {len(head.embed_own.weight)} of {config.model.width} channels are "
            "normalised within each video, which takes it out (model.instance_norm)"
        )
    if data.between_videos < MUCH_BETWEEN:
        why = f"whole videos look much alike (their differences are {differ})"
    else:
        why = (
            f"whole videos look different ({differ}), but that tells their actions in "
            f"{data.classes_told:.0%} of the cases where chance does not"
        )
    return f"{why}; so nothing is normalised within each video (model.instance_norm)"


def _say_what_is_trained(
    labelled: Sequence[LabelledVideo],
    validation: Mapping[str, AnnotatedVideo],
    data: RunData,
    plan: WindowPlan,
    optim: OptimConfig,
    steps_per_epoch: int,
    run_dir: Path,
) -> None:
    """Log what was found in the data, and how long the training is."""
    for line in what_was_found(labelled, validation, data):
        logger.info("%s", line)
    logger.info("%s", how_long(plan, optim, steps_per_epoch=steps_per_epoch))
    logger.info("run: %s; log.csv has every figure", run_dir)
    if warning := too_short(steps_per_epoch * optim.epochs):
        logger.warning("%s", warning)


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


def detect_together(
    detector: Detector, file: FeatureFile, videos: Iterable[str]
) -> dict[str, list[Detection]]:
    """Return the detections in the videos, which all processes share."""
    mine = list(videos)[rank() :: world_size()]
    shares = all_gather({v: detector.in_file(file, v).detections for v in mine})
    return {v: detections for share in shares for v, detections in share.items()}


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
    labels: Sequence[str] = (),
    found: dict[str, list[Detection]] | None = None,
) -> Validation:
    """Return the mAP of a head on the validation videos, with pictures of some where `drawn`.

    The same are drawn each time, to show what training changes.

    Args:
        labels: all classes, which fix the colours; those of the run if not given.
        found: is filled with the detections.
    """
    detector = Detector(model.eval(), config, data, device)
    found = {} if found is None else found
    found |= detect_together(detector, file, videos)
    measure = Measure(ANET, config.eval.tious)
    evaluation = evaluate(videos, found, measure, subset=data.subsets.validation)
    names = map(threshold_name, evaluation.tious)
    by_tiou = dict(zip(names, evaluation.mean_ap.tolist(), strict=True))
    pictures = {}
    if draw is not None and drawn and rank() == 0:
        for video in [v for v in videos.values() if v.instances][:PICTURES]:
            v = video.video_id
            pictures[v] = draw(
                video, file.time_axis(v).duration_sec, found[v], labels or data.labels
            )
    number = sum(map(len, found.values()))
    return Validation(evaluation.average_map, by_tiou, pictures, detections=number)
