"""Writer of the feature file, whose format is in `features`: whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import InputError
from .atomic import ErrorKeeper, replacing
from .feature_format import FORMAT, VERSION
from .features import VideoFeatures
from .names import id_problem, nfc


def write_feature_file(
    path: str | Path,
    videos: Iterable[VideoFeatures],
    *,
    provenance: Mapping[str, Any],
    annotations_text: str | None = None,
    projections: Mapping[str, np.ndarray] | None = None,
    classes: Sequence[str] | None = None,
) -> int:
    """Write a feature file whole or not at all, and return the number of videos in it.

    `classes` are the names of those that videos have scores of.
    `videos` may read from `path`, where the old file stays until then (see `atomic.replacing`).

    Raises:
        InputError: the same video id twice, or streams of one video that differ in T.
        OSError: the disk is full, or the folder cannot be written.
    """
    count = 0
    with replacing(path) as aside, ErrorKeeper(aside) as kept:
        with h5py.File(kept, "w") as file:
            file.attrs.update(format=FORMAT, version=VERSION, provenance=json.dumps(provenance))
            if annotations_text is not None:
                file["annotations"] = annotations_text
            for stream, matrix in (projections or {}).items():
                file[f"projection/{stream}"] = matrix.astype(np.float32)
            if classes:
                file["classes"] = json.dumps(list(classes))
            group = file.create_group("videos")
            for video in videos:
                _write_video(group, video)
                if video.scores is not None:
                    file[f"scores/{video.video_id}"] = video.scores.astype(np.float16)
                kept.check()
                count += 1
        kept.check()
    return count


def _write_video(videos: h5py.Group, video: VideoFeatures) -> None:
    if problem := id_problem(video.video_id):
        raise InputError(f"the video id {video.video_id!a} {problem}; rename the video")
    video_id = nfc(video.video_id)
    if video_id in videos:
        raise InputError(f"two videos have the id {video_id!r}")
    lengths = {name: len(rows) for name, rows in video.streams.items()}
    if len(set(lengths.values())) != 1:
        raise InputError(f"{video.video_id}: streams differ in their number of rows: {lengths}")
    group = videos.create_group(video_id)
    for name, rows in video.streams.items():
        group[name] = rows
    group.attrs.update(
        video.details,
        start_sec=video.start_sec,
        step_sec=video.step_sec,
        duration_sec=video.duration_sec,
    )
