"""Features to a run: a head's training, begun or gone on with."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import Config, load_config
from ..errors import InputError
from ..formats.atomic import check_place, write_text
from ..formats.features import FeatureFile
from ..formats.labels.find import HowToRead
from ..formats.labels.record import FrameClock
from ..formats.subsets import NO_VALIDATION, find_annotations
from ..head.run import (
    ANNOTATIONS_FILE,
    DATA_FILE,
    LAST,
    RunData,
    TrainingVideos,
    check_new,
    check_same_extraction,
    describe,
    load_run_description,
    new_run_dir,
    newest_run,
    save_projection,
    save_run_description,
    settled,
    training_videos,
)
from .files import Pathlike, look_at_files

if TYPE_CHECKING:
    import numpy as np

    from ..formats.annotations import AnnotatedVideo, Annotations, Detection

logger = logging.getLogger(__name__)


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
        if config.eval.precision is not None and config.data.validation_subset == NO_VALIDATION:
            # A head of folds comes as a `Config`: the folds choose its thresholds.
            raise InputError(
                "--precision chooses thresholds on validation videos, and data.validation_subset "
                "is none; leave one of them out, or choose them on all videos: --folds 5 --final"
            )
    look_at_files(features, annotations)

    import torch

    from ..checks.check import warnings_for_training
    from ..extract.backbones.device import choose_device
    from ..head.parallel import barrier, broadcast, process_group, rank
    from ..head.training import train_head

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
        of_several = annotations is not None and Path(annotations) == run / ANNOTATIONS_FILE
        for finding in warnings_for_training(
            file, truth, data.subsets, exclude=config.eval.exclude, of_several=of_several
        ):
            logger.warning("%s", finding.line)
        if rank() == 0:
            _begin(run, file, truth, config, data, videos, command)
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
    look_at_files(features or data.features, annotations)

    import torch

    from ..extract.backbones.device import choose_device
    from ..head.checkpoint import finished_epochs
    from ..head.origin import add_origin
    from ..head.parallel import barrier, process_group, rank
    from ..head.training import train_head

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


def _begin(
    run: Path,
    file: FeatureFile,
    truth: Annotations,
    config: Config,
    data: RunData,
    videos: TrainingVideos,
    command: Sequence[str] | None,
) -> None:
    """Write what a run's folder holds before the first epoch."""
    from ..head.origin import add_origin

    if truth.form:
        run.mkdir(parents=True, exist_ok=True)
        write_text(run / ANNOTATIONS_FILE, truth.text)
    save_run_description(run, config, data)
    save_projection(run, file, data.streams)
    add_origin(
        run, features=file.path, truth=truth, seed=config.optim.seed, epoch=0,
        command=command, trained_on=videos.facts(data),
    )  # fmt: skip


def _draw(
    video: AnnotatedVideo,
    duration_sec: float,
    detections: Sequence[Detection],
    labels: Sequence[str],
) -> np.ndarray:
    """Return the time line of a video as an image, for a training's TensorBoard."""
    from ..reports.pictures import timeline

    return timeline(
        video_id=video.video_id,
        duration_sec=duration_sec,
        truth=video.instances,
        detections=detections,
        labels=labels,
    ).pixels()
