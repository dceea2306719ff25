"""A feature file in, ActionFormer's layout out: arrays, annotations, and the dataset's settings.

    OUT/features/<video_id>.npy     (T, D): the streams side by side, as they are stored
    OUT/annotations.json            ActivityNet style, with `fps` and `label_id` as ActionFormer
                                    wants them, and `start_sec` and `step_sec`, which are exact
    OUT/dataset.yaml                the `dataset` section of a configuration

ActionFormer takes row `t` for the instant `(t * feat_stride + 0.5 * num_frames) / fps`
(libs/modeling/meta_archs.py, `postprocessing`), with one stride and one number of frames for all
videos, and a frame rate for each. So a video's `fps` here is `feat_stride / step_sec`, and
`num_frames` is what puts row 0 at `start_sec`: 15, where ours is the middle of 16 frames.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..errors import InputError
from ..formats.annotations import AMBIGUOUS, AnnotatedVideo, class_labels
from ..formats.atomic import check_place, filling, write_text
from ..formats.features import FeatureFile, TimeAxis
from ..formats.labels.find import load_annotations
from ..formats.subsets import videos_with_features
from ..progress import counted

FEATURES, ANNOTATIONS, DATASET = "features", "annotations.json", "dataset.yaml"
NO_SUBSET = "unlabelled"
SAME = 1e-6  # of a stride; ratios that differ by less are one
NOTICEABLE_SEC = 1e-3  # by which ActionFormer may misplace rows without a word
LONGEST_NAME = 200  # bytes


@dataclass(frozen=True)
class ActionFormerTiming:
    """ActionFormer's two numbers for all videos, in frames of each video's own `fps`."""

    feat_stride: float
    num_frames: float

    def fps(self, axis: TimeAxis) -> float:
        """Return the frame rate that gives a video's rows their distance."""
        return self.feat_stride / axis.step_sec

    def off_sec(self, axis: TimeAxis) -> float:
        """Return the distance between a video's first row and its place in ActionFormer."""
        return abs(0.5 * self.num_frames / self.fps(axis) - axis.start_sec)


@dataclass
class ExportSummary:
    """The videos of an export by their ids, and what became of each.

    exported: written.
    unlabelled: written, without annotations.
    failed: left out, with the reason.
    shifted: written, with the seconds by which ActionFormer misplaces the rows.
    ambiguous: number of segments left out of the annotations because nobody could label them.
    """

    out: Path
    exported: list[str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    shifted: dict[str, float] = field(default_factory=dict)
    ambiguous: int = 0


def export_features(features: Path, out: Path, *, annotations: Path | None = None) -> ExportSummary:
    """Write a feature file in ActionFormer's layout into a folder, and account for every video.

    The folder is filled whole or not at all (see `atomic.filling`).

    Raises:
        InputError: `out` holds something, or the feature file has no videos of one width.
    """
    check_place(out, folder=True)
    with FeatureFile(features) as file, filling(out, (FEATURES, DATASET, ANNOTATIONS)) as aside:
        if aside is None:
            raise InputError(f"{out}: is there already, and not an empty folder; name another")
        # ActionFormer reads all streams as one array of one width.
        truth = load_annotations(annotations) if annotations else file.annotations()
        videos = videos_with_features(file, truth) if truth else {}
        widths = {stream: file.width((stream,)) for stream in file.streams()}
        if not widths:
            raise InputError(f"{features}: has no stream that all videos have")
        timing = choose_timing(file)
        (aside / FEATURES).mkdir()
        summary, database = ExportSummary(out), {}
        labels = class_labels(videos.values())
        # A video that cannot be written does not stop the others.
        for video_id in counted(file.video_ids, "export"):
            try:
                axis = _write_rows(file, video_id, tuple(widths), aside)
            except InputError as e:
                summary.failed[video_id] = str(e)
                continue
            summary.exported.append(video_id)
            if video_id not in videos:
                summary.unlabelled.append(video_id)
            if (off_sec := timing.off_sec(axis)) > NOTICEABLE_SEC:
                summary.shifted[video_id] = off_sec
            database[video_id] = _entry(videos.get(video_id), axis, timing, labels)
        if not summary.exported:
            reason = next(iter(summary.failed.values()))
            raise InputError(f"{features}: no video can be exported: {reason}")
        whole = {"version": "tsatal", "streams": widths, "database": database}
        write_text(aside / DATASET, _dataset_yaml(out, timing, labels, sum(widths.values())))
        write_text(aside / ANNOTATIONS, json.dumps(whole, indent=1))
    instances = (i for v in summary.exported if v in videos for i in videos[v].instances)
    summary.ambiguous = sum(i.label == AMBIGUOUS for i in instances)
    return summary


def choose_timing(file: FeatureFile) -> ActionFormerTiming:
    """Return the stride and number of frames that put most videos' rows at their instants.

    The stride is counted in frames of the rate that the features were computed at where the file
    says it, and is 1 otherwise.
    """
    axes = []
    for video_id in file.video_ids:
        with contextlib.suppress(InputError):  # it is left out by name
            axes.append((video_id, file.time_axis(video_id)))
    if not axes:
        raise InputError(f"{file.path}: has no video whose rows have a place in time")
    first, axis = axes[0]
    fps = file.details(first).get("fps") or file.provenance.get("fps")
    frames = fps * axis.step_sec if isinstance(fps, (int, float)) else 1.0
    stride = max(_tidy(frames), 1) if abs(frames - round(frames)) < SAME * frames else 1
    offsets = Counter(round(a.start_sec / a.step_sec / SAME) for _, a in axes)
    return ActionFormerTiming(stride, _tidy(2 * offsets.most_common(1)[0][0] * SAME * stride))


def _write_rows(file: FeatureFile, video_id: str, streams: tuple[str, ...], out: Path) -> TimeAxis:
    if video_id.startswith(".") or "\\" in video_id or len(video_id.encode()) > LONGEST_NAME:
        raise InputError(f"{video_id}: this id cannot be a file's name everywhere; rename it")
    path = out / FEATURES / f"{video_id}.npy"
    if path.exists():
        raise InputError(f"{video_id}: its file would be that of an id that differs in case alone")
    axis = file.time_axis(video_id)
    file.rows(video_id, streams)  # raises where a value is not finite, or damaged
    video = file.video(video_id)
    rows = np.concatenate([video.streams[s] for s in streams], axis=1)
    content = io.BytesIO()
    np.save(content, rows)  # straight to a file, it would not say that the disk is full
    path.write_bytes(content.getbuffer())
    return axis


def _entry(
    video: AnnotatedVideo | None, axis: TimeAxis, timing: ActionFormerTiming, labels: list[str]
) -> Mapping[str, Any]:
    return {
        "subset": video.subset if video else NO_SUBSET,
        "duration": axis.duration_sec,
        "fps": timing.fps(axis),
        "start_sec": axis.start_sec,
        "step_sec": axis.step_sec,
        "annotations": [
            {
                "label": i.label,
                "segment": [i.start_sec, i.end_sec],
                "label_id": labels.index(i.label),
            }
            for i in (video.instances if video else ())
            if i.label != AMBIGUOUS
        ],
    }


def _dataset_yaml(out: Path, timing: ActionFormerTiming, labels: list[str], width: int) -> str:
    dataset = {
        "json_file": str(out / ANNOTATIONS),
        "feat_folder": str(out / FEATURES),
        "file_prefix": None,
        "file_ext": ".npy",
        "num_classes": len(labels),
        "input_dim": width,
        **asdict(timing),
        "default_fps": None,
    }
    return yaml.safe_dump({"dataset": dataset}, sort_keys=False)


def _tidy(number: float) -> float:
    """Return a whole number as such, and others as they are."""
    return round(number) if abs(number - round(number)) < SAME else number
