"""A run's folder: what training writes, and evaluation finds again.

runs/<name>/config.yaml            the resolved settings
           /data.json              feature file, streams, labels, subsets
           /last.pt  best.pt       checkpoints
           /log.csv  events.*      losses and validation mAP
           /predictions.json  metrics.json  *.png  timelines/   from `evaluate`
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from torch import nn

from ..config import Config, dump_config, load_config
from ..errors import InputError
from ..formats.annotations import Annotations, class_labels
from ..formats.atomic import write_text
from ..formats.features import FeatureFile
from ..formats.subsets import Subsets, choose_subsets, videos_with_features
from .dataset import label_videos
from .feature_stats import between_videos
from .loop import BEST, LAST, MISFITS, last_line, load_checkpoint
from .losses import HeadLoss
from .model import TSATAL

# What must agree between the features a head was trained on and those it is used on.
EXTRACTION_KEYS = (
    "extractor", "weights", "fps", "resize", "crop", "context", "projection",
    "stride_frames", "window_frames", "offset_frames", "resized",
)  # fmt: skip
# What a whole video shares is taken out where it is much, and does not tell the video's classes.
MUCH_BETWEEN = 0.1  # share of the features' variance
CLASSES_TOLD = 0.5  # half-way from chance to certainty
RUNS = Path("runs")
CONFIG_FILE, DATA_FILE = "config.yaml", "data.json"


_Name = Annotated[str, StringConstraints(pattern=r"^[^\x00]+$")]


@dataclass(frozen=True)
class RunData:
    """What a run was trained on.

    features: absolute path of the feature file.
    extraction: the feature file's provenance, so that features made otherwise are recognised.
    reach_steps: half the median length of the training actions, in steps.
    between_videos: share of the features' variance that lies between the training videos.
    classes_told: how well that tells a video's classes, see `head.feature_stats.classes_told`.
    annotations: absolute path of the annotations, where not those inside the feature file.
    """

    features: _Name
    streams: Annotated[tuple[_Name, ...], Field(min_length=1)]
    labels: Annotated[tuple[str, ...], Field(min_length=1, max_length=100_000)]
    subsets: Subsets
    width: Annotated[int, Field(ge=1, le=100_000)]
    reach_steps: Annotated[float, Field(ge=0.5, le=1e9, allow_inf_nan=False)]
    extraction: Mapping[str, Any]
    annotations: _Name | None = None
    between_videos: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0
    classes_told: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0

    __pydantic_config__ = ConfigDict(extra="forbid")

    def annotations_for(self, features: Path | None, given: Path | None) -> Path | None:
        """Return the file of ground truth; None for that inside the feature file.

        Args:
            features: a feature file to use instead of the run's own; it brings its own truth.
            given: annotations to use instead of any other.
        """
        if given or features or self.annotations is None:
            return given
        return Path(self.annotations)


def describe(file: FeatureFile, truth: Annotations, config: Config) -> RunData:
    """Return what a training on the file would be about.

    Raises:
        InputError: no such subset or stream, or a training subset without actions.
    """
    there = videos_with_features(file, truth)
    annotated = Counter(v.subset for v in there.values() if v.instances)
    data = config.data
    subsets = choose_subsets(
        annotated,
        train=data.train_subset,
        validation=data.validation_subset,
        test=data.test_subset,
    )
    streams = data.streams or file.streams()
    videos = {k: v for k, v in there.items() if v.subset == subsets.train}
    labels = class_labels(videos.values())
    labelled = label_videos(file, videos, labels)
    all_lengths = np.concatenate([np.diff(v.segments, axis=1).ravel() for v in labelled])
    if all_lengths.size == 0:
        raise InputError(f"{truth.source}: subset {subsets.train!r} has no action to learn from")
    between = between_videos(file, labelled, streams)
    return RunData(
        features=str(file.path.resolve()),
        streams=tuple(streams),
        labels=tuple(labels),
        subsets=subsets,
        width=file.width(streams),
        reach_steps=float(max(np.median(all_lengths) / 2, 0.5)),
        extraction=file.provenance,
        between_videos=between.variance,
        classes_told=between.classes,
    )


def new_run_dir(config_name: str, *, root: Path = RUNS) -> Path:
    """Return a folder name that does not exist yet: configuration, date and time."""
    base = f"{Path(config_name).stem}-{datetime.now():%Y%m%d-%H%M%S}"
    candidates = [root / base, *(root / f"{base}-{n}" for n in range(2, 1000))]
    return next(c for c in candidates if not c.exists())


def newest_run(*, root: Path = RUNS, needs: str = LAST) -> Path:
    """Return the run in `root` whose file `needs` was written last.

    Raises:
        InputError: there is none.
    """
    found = sorted(root.glob(f"*/{needs}"), key=lambda p: p.stat().st_mtime)
    if not found:
        raise InputError(
            f"{root.resolve()}: holds no run; train one with `tsatal train --features FILE.h5`, "
            "or name the folder of a run"
        )
    return found[-1].parent


def save_run_description(run_dir: Path, config: Config, data: RunData) -> None:
    """Write the settings and the description of the data into the run's folder."""
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / DATA_FILE).unlink(missing_ok=True)  # the two belong together, and it comes last
    write_text(run_dir / CONFIG_FILE, dump_config(config))
    write_text(run_dir / DATA_FILE, json.dumps(asdict(data), indent=1))


def load_run_description(run_dir: Path, changes: Sequence[str] = ()) -> tuple[Config, RunData]:
    """Return the settings and the data of the run in `run_dir`.

    Args:
        changes: settings of `decode`, as "decode.key=value", to take in place of the run's.

    Raises:
        InputError: the folder does not hold a run, or a damaged one; a change that would need
            another training.
    """
    for change in changes:
        if not change.strip().startswith("decode."):
            raise InputError(f"--set {change}: only decode.* can be changed after the training")
    if not (run_dir / CONFIG_FILE).is_file() or not (run_dir / DATA_FILE).is_file():
        raise InputError(f"{run_dir}: not the folder of a run ({CONFIG_FILE}, {DATA_FILE} needed)")
    try:
        data = TypeAdapter(RunData).validate_json((run_dir / DATA_FILE).read_bytes())
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "JSON"
        raise InputError(f"{run_dir / DATA_FILE}: damaged ({key}: {first['msg']})") from None
    return load_config(str(run_dir / CONFIG_FILE), changes), data


def build_head(config: Config, data: RunData) -> TSATAL:
    """Return the untrained head that the settings and the data ask for."""
    model = config.model
    by_itself = data.between_videos >= MUCH_BETWEEN and data.classes_told < CLASSES_TOLD
    return TSATAL(
        width_in=data.width,
        num_classes=len(data.labels),
        softmax=model.classes == "softmax",
        own_norm=int(model.instance_norm * model.width) if by_itself else 0,
        reach_steps=data.reach_steps,
        **model.model_dump(exclude={"classes", "instance_norm"}),
    )


def build_loss(config: Config, data: RunData) -> HeadLoss:
    """Return the loss that the settings ask for."""
    loss = config.loss
    return HeadLoss(
        num_classes=len(data.labels),
        weights=loss.model_dump(),
        softmax=config.model.classes == "softmax",
        gamma=loss.focal_gamma,
        alpha=loss.focal_alpha,
        centre_radius=loss.centre_radius,
        reach_overlap=loss.reach_overlap,
        momentum=loss.positives_momentum,
    )


def load_head(run_dir: Path, *, checkpoint: str, device: torch.device) -> nn.Module:
    """Return the run's trained head, in evaluation mode: the weight average of a checkpoint.

    Args:
        checkpoint: "last" or "best".
    Raises:
        InputError: the run has no such checkpoint, or it does not fit the run's settings.
    """
    path = run_dir / (BEST if checkpoint == "best" else LAST)
    head = build_head(*load_run_description(run_dir))
    try:
        head.load_state_dict(load_checkpoint(path)["average"])
    except InputError:
        raise
    except MISFITS as e:
        raise InputError(f"{path}: does not fit {run_dir / CONFIG_FILE} ({last_line(e)})") from None
    return head.to(device).eval()


def check_same_extraction(file: FeatureFile, data: RunData) -> None:
    """Refuse features that were not made like those the run was trained on.

    Raises:
        InputError: a stream is missing, the width differs, or the provenance names another
            network, weights or frame sampling; the message names the first difference.
    """
    width = file.width(data.streams)
    if width != data.width:
        raise InputError(f"{file.path}: features are {width} wide, the run needs {data.width}")
    for key in EXTRACTION_KEYS:
        ours, theirs = _digest(data.extraction.get(key)), _digest(file.provenance.get(key))
        if ours != theirs:
            raise InputError(
                f"{file.path}: was extracted with {key} {theirs}, "
                f"the run was trained on {key} {ours}"
            )


def _digest(value: object) -> object:
    """Return a value of the provenance, or its digest where it is a file that has one."""
    return value.get("sha256", value) if isinstance(value, Mapping) else value
