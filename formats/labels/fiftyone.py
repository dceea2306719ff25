"""FiftyOne's temporal detections in and out: the JSON of its datasets.

https://docs.voxel51.com/user_guide/export_datasets.html: `FiftyOneTemporalDetectionDataset` has
`labels.json` with `timestamps` in seconds or `support` in frames, of which the first is 1 and both
ends are inside; `FiftyOneDataset` has `samples.json` with `TemporalDetections` in fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import InputError, quantity
from ..annotations import Detection
from .record import (
    FrameClock,
    Gathering,
    Labels,
    VideoLabels,
    finite,
    id_of_media,
    listed,
    members,
    number,
    pair,
)

SUBSETS = ("train", "training", "validation", "val", "test", "testing")  # tags that mean subsets


def looks_like_fiftyone(raw: Any) -> bool:
    """Return whether a JSON file's content is that of a FiftyOne dataset."""
    if not isinstance(raw, dict):
        return False
    samples = raw.get("samples")
    return (isinstance(samples, list) and all(isinstance(s, dict) for s in samples)) or (
        isinstance(raw.get("labels"), dict) and set(raw) <= {"classes", "labels", "info"}
    )


def read_fiftyone(raw: Mapping[str, Any], clock: FrameClock) -> Labels:
    """Return the temporal detections of a dataset.

    Args:
        clock: turns frames into seconds.
    """
    gathered = Gathering()
    if isinstance(raw.get("labels"), dict):
        classes = raw.get("classes")
        for name, entries in raw["labels"].items():
            video_id = id_of_media(str(name))
            gathered.video(video_id)
            _take(entries, video_id, clock, gathered, classes=classes)
        return gathered.labels("FiftyOne labels", quantity(len(raw["labels"]), "video"))
    fields: dict[str, None] = {}
    for n, sample in enumerate(raw["samples"]):
        path = str(sample.get("filepath", ""))
        video_id = id_of_media(path)
        if not video_id:
            gathered.problem("", f"sample {n}: names no file")
            continue
        about = sample.get("metadata")
        about = about if isinstance(about, dict) else {}
        tags = sample.get("tags")
        named = [t for t in tags if t in SUBSETS] if isinstance(tags, list) else []
        rate = finite(about.get("frame_rate"))
        gathered.video(
            video_id,
            subset=named[0] if named else "",
            duration_sec=finite(about.get("duration")),
            media=path,
        )
        for field, value in sample.items():
            if isinstance(value, dict) and value.get("_cls") == "TemporalDetections":
                fields[field] = None
                fps = rate if rate and rate > 0 else None
                own = clock.of_count(video_id, finite(about.get("total_frame_count")), fps)
                _take(value.get("detections"), video_id, own, gathered, fps=fps)
    if len(fields) > 1:
        gathered.remarks.append(f"several fields are joined {listed(fields)}")
    return gathered.labels("FiftyOne dataset", quantity(len(raw["samples"]), "sample"))


def write_fiftyone(videos: Sequence[VideoLabels]) -> str:
    """Return `labels.json` of a `FiftyOneTemporalDetectionDataset`, with times in seconds."""
    labels = {
        v.video_id: [
            {
                "label": a.label,
                "timestamps": [a.start_sec, a.end_sec],
                **({"confidence": a.score} if isinstance(a, Detection) else {}),
            }
            for a in v.actions
        ]
        for v in videos
    }
    return json.dumps({"labels": labels}, indent=1, ensure_ascii=False)


def _take(
    entries: Any,
    video_id: str,
    clock: FrameClock,
    gathered: Gathering,
    *,
    classes: Any = None,
    fps: float | None = None,
) -> None:
    """Take down the detections of one video."""
    try:
        every = members(entries, "detections")
    except InputError as e:
        gathered.problem(video_id, str(e))
        return
    for n, entry in enumerate(every):
        where = f"entry {n}"
        try:
            if not isinstance(entry, dict):
                raise InputError("a detection must be a dict")
            label = entry.get("label")
            if isinstance(classes, list) and type(label) is int and 0 <= label < len(classes):
                label = classes[label]
            if isinstance(entry.get("timestamps"), list):
                start, end = pair(entry["timestamps"], "timestamps")
            elif isinstance(entry.get("support"), list):
                first, last = pair(entry["support"], "support")
                start = clock.seconds(video_id, max(first - 1, 0), stated_fps=fps)
                end = clock.seconds(video_id, max(last, 0), stated_fps=fps)
            else:
                raise InputError("has neither 'timestamps' nor 'support'")
            score = entry.get("confidence")
            score = None if score is None else number(score, "confidence")
        except InputError as e:
            gathered.problem(video_id, f"{where}: {e}")
            continue
        gathered.action(video_id, str(label), start, end, score=score, where=where)
