"""What `evaluate` leaves in a folder: the figures as JSON, and pictures of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from .annotations import AnnotatedVideo, Detection, class_labels
from .evaluation import Evaluation, precision_recall
from .visualize import per_class_ap_figure, precision_recall_figure, timeline


def write_report(
    evaluation: Evaluation,
    videos: Mapping[str, AnnotatedVideo],
    found: Mapping[str, Sequence[Detection]],
    out: Path,
    *,
    exclude: Sequence[str],
    timelines: int,
) -> list[Path]:
    """Write `metrics.json` and the pictures into `out`, and return their paths.

    Time lines are drawn of `timelines` videos spread evenly over those that have actions.
    """
    out.mkdir(parents=True, exist_ok=True)
    metrics, per_class = out / "metrics.json", out / "per_class_ap.png"
    curves, folder = out / "precision_recall.png", out / "timelines"
    metrics.write_text(json.dumps(evaluation.to_json(), indent=1), encoding="utf-8")
    per_class_ap_figure(per_class, evaluation)
    at = min(evaluation.tious, key=lambda t: abs(t - 0.5))
    recall_precision = precision_recall(
        videos, found, protocol=evaluation.protocol, tiou=at, subset=evaluation.subset,
        exclude=exclude,
    )  # fmt: skip
    precision_recall_figure(curves, evaluation, recall_precision, tiou=at)
    shown = [v for v in videos.values() if v.instances and v.video_id not in exclude]
    shown = shown[:: max(1, -(-len(shown) // timelines))] if timelines else []
    folder.mkdir(exist_ok=True)
    for video in shown:
        detections = found.get(video.video_id, [])
        ends = [i.end_sec for i in video.instances] + [d.end_sec for d in detections]
        timeline(
            folder / f"{video.video_id.replace('/', '_')}.png",
            video_id=video.video_id,
            duration_sec=video.duration_sec or max(ends),
            truth=video.instances,
            detections=detections,
            labels=class_labels(videos.values()),
        )
    return [metrics, per_class, curves, *([folder] if shown else [])]
