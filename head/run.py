"""A run's folder: training writes it, evaluation and detection read it.

runs/<name>/config.yaml            the resolved settings
           /data.json              feature file, streams, labels, subsets
           /run.json               what made it: program, command line, digests
           /annotations.json       where they were divided, or came in another program's form
           /last.pt  best.pt       checkpoints
           /operating_point.json   calibration of its scores, and from which on detections count
           /projection.safetensors   of the features, so that raw videos need no feature file
           /log.csv  events.*      losses and validation mAP
           /predictions.json  metrics.json  *.png  timelines/   from `evaluate`
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from ..config import Config, dump_config, load_config
from ..errors import InputError
from ..evaluation.operating_point import OperatingPoint
from ..formats.annotations import Annotations, class_labels
from ..formats.atomic import write_text
from ..formats.features import FeatureFile
from ..formats.limits import check_size, read_bytes
from ..formats.names import nfc
from ..formats.subsets import Subsets, choose_subsets, videos_in_subset, videos_with_features
from ..formats.tensors import write_tensors

if TYPE_CHECKING:  # they load torch, which takes seconds, and a run can be described without
    from .feature_stats import FeatureStats
    from .model import TSATAL
    from .windows import LabelledVideo

# Provenance that must agree between the features a head was trained on and those it is used on.
EXTRACTION_KEYS = (
    "extractor", "weights", "fps", "resize", "crop", "context", "projection",
    "clock", "stride_frames", "window_frames", "offset_frames", "resized",
)  # fmt: skip
# Where videos differ much as a whole, and that does not tell classes, norms are within a video.
MUCH_BETWEEN = 0.1  # share of the features' variance
CLASSES_TOLD = 0.5  # half-way from chance to certainty
RUNS = Path("runs")
logger = logging.getLogger(__name__)

# Examples of a class, in the mean: up to FEW, most input channels are dropped; from MANY on, none.
FEW_EXAMPLES, MANY_EXAMPLES, MOST_DROPPED = 30, 60, 0.5
JSON_FACTOR = 40  # bytes of memory that one of a JSON file may take
COPIES = 6  # of the weights: gradients, two moments, the average, and what is being saved
CONFIG_FILE, DATA_FILE, POINT_FILE = "config.yaml", "data.json", "operating_point.json"
ANNOTATIONS_FILE = "annotations.json"  # of a run whose annotations were divided, or of another form
LAST, BEST = "last.pt", "best.pt"  # checkpoints
FOLDS_FILE, CURVE_FILE = "folds.json", "curve.json"  # of several trainings, see `studies`
FINAL, OUT_OF_FOLD_FILE = "final", "out_of_fold.json"  # in a folder of folds, see `final`
PROJECTION_FILE = "projection.safetensors"
HEAD_FILE = "head.safetensors"  # of a packed model, in the place of checkpoints

_Composed = Annotated[str, AfterValidator(nfc)]  # as annotations are read
_Name = Annotated[str, StringConstraints(pattern=r"^[^\x00]+$")]


@dataclass(frozen=True)
class RunData:
    """The description of a run's data, as `data.json` holds it.

    features: absolute path of the feature file.
    extraction: the feature file's provenance, so that features made otherwise are recognised.
    reach_steps: half the median length of the training actions, in steps.
    between_videos, classes_told: see `feature_stats.FeatureStats`.
    annotations: absolute path of the annotations, where not those inside the feature file.
    """

    features: _Name
    streams: Annotated[tuple[_Name, ...], Field(min_length=1)]
    labels: Annotated[tuple[_Composed, ...], Field(min_length=1, max_length=100_000)]
    subsets: Subsets
    width: Annotated[int, Field(ge=1, le=100_000)]
    reach_steps: Annotated[float, Field(ge=0.5, le=1e9, allow_inf_nan=False)]
    extraction: Mapping[str, Any]
    annotations: _Name | None = None
    between_videos: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0
    classes_told: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0

    __pydantic_config__ = ConfigDict(extra="forbid")

    def annotations_for(
        self, features: str | Path | None, given: str | Path | None
    ) -> str | Path | None:
        """Return the file of annotations; None for those inside the feature file.

        Args:
            features: a feature file to use instead of the run's own, with annotations of its own.
            given: annotations to use instead of any other.
        """
        return given or (None if features else self.annotations)


@dataclass(frozen=True)
class TrainingVideos:
    """The videos that a head is trained on, in steps, with the statistics of their features."""

    labelled: list[LabelledVideo]
    stats: FeatureStats

    def facts(self, data: RunData) -> dict[str, Any]:
        """Return how many videos, hours, and actions of each label there are, for JSON."""
        numbers = np.concatenate([v.labels for v in self.labelled])
        counts = np.bincount(numbers, minlength=len(data.labels)).tolist()
        return {
            "subset": data.subsets.train,
            "videos": len(self.labelled),
            "hours": round(sum(v.axis.duration_sec for v in self.labelled) / 3600, 4),
            "actions": dict(zip(data.labels, counts, strict=True)),
        }


def training_videos(
    file: FeatureFile,
    truth: Annotations,
    *,
    subset: str,
    streams: Sequence[str],
    labels: Sequence[str],
) -> TrainingVideos:
    """Return the videos of a subset, with their actions of these labels, and measured.

    Raises:
        InputError: no such subset or stream, or a subset without actions.
    """
    videos = videos_in_subset(file, truth, subset)
    file.width(streams)
    from .dataset import label_videos
    from .feature_stats import measure_features

    labelled = label_videos(file, videos, labels)
    if not any(v.labels.size for v in labelled):
        raise InputError(
            f"{truth.source}: subset {subset!r} has no action to learn from"
            "; `tsatal check` says why"
        )
    return TrainingVideos(labelled, measure_features(file, labelled, streams))


def subsets_of(file: FeatureFile, truth: Annotations, config: Config) -> Subsets:
    """Return the roles of the subsets of the annotated videos that have features.

    Raises:
        InputError: see `choose_subsets`.
    """
    return choose_subsets(
        Counter(v.subset for v in videos_with_features(file, truth).values() if v.instances),
        train=config.data.train_subset,
        validation=config.data.validation_subset,
        test=config.data.test_subset,
    )


def describe(
    file: FeatureFile, truth: Annotations, config: Config
) -> tuple[RunData, TrainingVideos]:
    """Return the description of a training on the file, and its videos.

    Raises:
        InputError: no such subset or stream, or a training subset without actions.
    """
    there = videos_with_features(file, truth)
    subsets = subsets_of(file, truth, config)
    streams = config.data.streams or file.streams()
    labels = class_labels(v for v in there.values() if v.subset == subsets.train)
    videos = training_videos(file, truth, subset=subsets.train, streams=streams, labels=labels)
    lengths = np.concatenate([np.diff(v.segments, axis=1).ravel() for v in videos.labelled])
    data = RunData(
        features=str(file.path.resolve()),
        streams=tuple(streams),
        labels=tuple(labels),
        subsets=subsets,
        width=file.width(streams),
        reach_steps=float(max(np.median(lengths) / 2, 0.5)),
        extraction=file.provenance,
        between_videos=videos.stats.between_videos,
        classes_told=videos.stats.classes_told,
    )
    return data, videos


def settled(config: Config, data: RunData, videos: TrainingVideos) -> Config:
    """Return the settings of the model with `auto` as what it means for this data.

    `channel_dropout`: half of the channels are dropped where a class has at most `FEW_EXAMPLES` in
    the mean, none from `MANY_EXAMPLES` on, in between in proportion: what keeps a class of few
    examples from hanging on a few channels keeps a class of many from being learned
    (docs/lab/strong_preset.md).

    `embed_depth`: two convolutions from `MANY_EXAMPLES` on, or one.

    `standardise`: as `FeatureStats.standardise` says.
    """
    changes: dict[str, Any] = {}
    examples = sum(v.labels.size for v in videos.labelled) / len(data.labels)
    if config.model.channel_dropout == "auto":
        missing = (MANY_EXAMPLES - examples) / (MANY_EXAMPLES - FEW_EXAMPLES)
        changes["channel_dropout"] = round(MOST_DROPPED * min(max(missing, 0.0), 1.0), 3)
    if config.model.embed_depth == "auto":
        changes["embed_depth"] = 2 if examples >= MANY_EXAMPLES else 1
    if config.model.standardise == "auto":
        changes["standardise"] = videos.stats.standardise
        if videos.stats.standardise:
            logger.info(
                "the channels of the features are of different sizes, as those of different units "
                "are, and tell the classes better standardised: each is (model.standardise)"
            )
    if not changes:
        return config
    return config.model_copy(update={"model": config.model.model_copy(update=changes)})


def new_run_dir(config_name: str, *, root: Path = RUNS) -> Path:
    """Return a folder name that does not exist yet: configuration, date and time."""
    base = f"{Path(config_name).stem}-{datetime.now():%Y%m%d-%H%M%S}"
    candidates = [root / base, *(root / f"{base}-{n}" for n in range(2, 1000))]
    return next(c for c in candidates if not c.exists())


def check_new(folder: Path) -> None:
    """Refuse a folder that holds a run, or several, where another is to be written.

    Raises:
        InputError: it does.
    """
    if (folder / LAST).exists():
        raise InputError(f"{folder}: already holds a run; add --resume, or choose another --out")
    if name := _study_file(folder):
        raise InputError(
            f"{folder}: already holds several runs ({name}); choose another --out, or give the "
            "command again that began them"
        )


def _study_file(folder: Path) -> str:
    """Return the name of the file that says what a folder's several runs are; empty without."""
    return next((n for n in (FOLDS_FILE, CURVE_FILE) if (folder / n).is_file()), "")


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
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise InputError(
            f"{run_dir}: the folder of the run cannot be made ({e.strerror}); choose one with --out"
        ) from None
    (run_dir / DATA_FILE).unlink(missing_ok=True)  # the two files belong together: this comes last
    save_config(run_dir, config)
    write_text(run_dir / DATA_FILE, json.dumps(asdict(data), indent=1))


def save_config(run_dir: Path, config: Config) -> None:
    """Write the settings into the run's folder."""
    write_text(run_dir / CONFIG_FILE, dump_config(config))


def load_run_description(run_dir: Path, changes: Sequence[str] = ()) -> tuple[Config, RunData]:
    """Return the settings and the data of the run in `run_dir`.

    Args:
        changes: settings of `decode`, as "decode.key=value", to take in place of the run's.
    Raises:
        InputError: no run in the folder, or a damaged one; a change that needs another training.
    """
    for change in changes:
        if not change.strip().startswith("decode."):
            raise InputError(f"--set {change}: only decode.* can be changed after the training")
    if name := _study_file(run_dir):
        final = run_dir / FINAL
        one = final if final.is_dir() else next(iter(sorted(run_dir.glob("*-seed*"))), final)
        raise InputError(
            f"{run_dir}: holds several runs ({name}), and one is needed, such as {one}; to go on "
            "with all, give the command again that began them"
        )
    if not (run_dir / CONFIG_FILE).is_file() or not (run_dir / DATA_FILE).is_file():
        raise InputError(f"{run_dir}: not the folder of a run ({CONFIG_FILE}, {DATA_FILE} needed)")
    try:
        data = TypeAdapter(RunData).validate_json(
            read_bytes(run_dir / DATA_FILE, factor=JSON_FACTOR)
        )
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "JSON"
        raise InputError(
            f"{run_dir / DATA_FILE}: damaged ({key}: {first['msg']}); put it back, or train anew"
        ) from None
    # The run's own annotations move with its folder.
    there, own = Path(data.annotations or ""), run_dir / ANNOTATIONS_FILE
    if there.name == ANNOTATIONS_FILE and not there.is_file() and own.is_file():
        data = replace(data, annotations=str(own.resolve()))
    return load_config(str(run_dir / CONFIG_FILE), changes), data


def save_projection(run_dir: Path, file: FeatureFile, streams: Sequence[str]) -> None:
    """Copy the projection of a feature file's streams into a run's folder, if it has one."""
    matrices = {name: m for name, m in file.projections().items() if name in streams}
    (run_dir / PROJECTION_FILE).unlink(missing_ok=True)  # of other features
    if matrices:
        pca = file.provenance.get("pca")
        facts = {"pca": json.dumps(pca)} if pca else {}
        write_tensors(run_dir / PROJECTION_FILE, matrices, facts)


def save_operating_point(run_dir: Path, point: OperatingPoint) -> None:
    """Write into a run's folder how its scores are calibrated, and from which on they count."""
    write_text(run_dir / POINT_FILE, json.dumps(point.to_json(), indent=1))


def load_operating_point(run_dir: Path) -> OperatingPoint | None:
    """Return how a run's scores are calibrated, and from which on they count; None without any.

    Raises:
        InputError: the file is damaged.
    """
    path = run_dir / POINT_FILE
    if not path.is_file():
        return None
    try:
        return TypeAdapter(OperatingPoint).validate_json(read_bytes(path, factor=JSON_FACTOR))
    except ValidationError as e:
        says = e.errors(include_url=False)[0]["msg"]
        raise InputError(
            f"{path}: damaged ({says}); remove it, and detections of all scores count as they are"
        ) from None


def build_head(config: Config, data: RunData) -> TSATAL:
    """Return the untrained head that the settings and the data ask for."""
    import torch

    from .model import TSATAL

    within = data.between_videos >= MUCH_BETWEEN and data.classes_told < CLASSES_TOLD
    head = partial(
        TSATAL,
        config.model,
        width_in=data.width,
        num_classes=len(data.labels),
        half_length=data.reach_steps,
        own_norm=int(config.model.instance_norm * config.model.width) if within else 0,
    )
    with torch.device("meta"):  # without memory
        values = sum(p.numel() for p in head().parameters())
    check_size(
        COPIES * 4 * values,
        f"model.width {config.model.width}: a head of {values:,} weights",
        instead="a smaller model.width",
    )
    return head()


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
                "; extract it alike, or train on it"
            )


def _digest(value: object) -> object:
    """Return a value of the provenance in words, or its digest where it is a file that has one."""
    if isinstance(value, Mapping):
        return value.get("sha256") or ", ".join(f"{k}: {v}" for k, v in value.items())
    return "unknown" if value is None else value
