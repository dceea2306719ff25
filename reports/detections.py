"""The files that `detect` writes: detections as JSON and CSV, and a time line of each video."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..formats.annotations import AnnotatedVideo, Detection, predictions_json
from ..formats.atomic import write_text
from ..formats.names import file_names
from ..head.detector import Found
from .pictures import clock, timeline

PREDICTIONS, TABLE, TIMELINES = "predictions.json", "detections.csv", "timelines"
NAMED = 3  # detections in the one line about a video


@dataclass(frozen=True)
class Seen:
    """One video and what was found in it; `source` is the video file, where there is one."""

    video_id: str
    duration_sec: float
    found: Found
    source: Path | None = None

    def only(self, *, min_score: float, top: int | None) -> Seen:
        """Return a copy with the detections of at least this score, and the best `top` of those."""
        kept = [d for d in self.found.detections if d.score >= min_score][:top]
        return replace(self, found=replace(self.found, detections=kept))

    def line(self) -> str:
        """Return one line: how many detections, and the best of them in the order of time."""
        found = self.found.detections
        best = sorted(found[:NAMED], key=lambda d: d.start_sec)
        words = ", ".join(self._words(d) for d in best)
        number = f"{len(found)} detection{'s' if len(found) != 1 else ''}"
        lasts = clock(round(self.duration_sec, 1), self.duration_sec)
        unit = " s" if ":" not in lasts else ""
        return f"{self.video_id} ({lasts}{unit}): {number}{'; best: ' if words else ''}{words}"

    def _words(self, d: Detection) -> str:
        start, end = (clock(round(t, 1), self.duration_sec) for t in (d.start_sec, d.end_sec))
        return f"{d.label} {start}-{end} ({d.score:.2f})"


def write_detections(
    seen: Mapping[str, Seen],
    out: Path,
    *,
    labels: Sequence[str],
    truth: Mapping[str, AnnotatedVideo],
) -> list[Path]:
    """Write the detections into `out`, and return the files and folders.

    Args:
        seen: videos by id.
        labels: all classes of the run, so that colours are the same in all pictures.
        truth: annotated videos by id, drawn above the detections; empty where there are none.
    """
    out.mkdir(parents=True, exist_ok=True)
    predictions, table, folder = out / PREDICTIONS, out / TABLE, out / TIMELINES
    found = {video_id: s.found.detections for video_id, s in seen.items()}
    curves = {video_id: s.found.actionness for video_id, s in seen.items()}
    write_text(predictions, predictions_json(found, curves))
    write_text(table, detections_csv(found))
    folder.mkdir(exist_ok=True)
    names = file_names(seen, ".png")
    for video_id, s in seen.items():
        annotated = truth.get(video_id)
        timeline(
            video_id=video_id,
            duration_sec=s.duration_sec,
            truth=annotated.instances if annotated else [],
            detections=s.found.detections,
            labels=labels,
        ).save(folder / names[video_id])
    return [predictions, table, folder]


def detections_csv(found: Mapping[str, Sequence[Detection]]) -> str:
    """Return CSV with a line per detection: video, label, start_sec, end_sec, score."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "label", "start_sec", "end_sec", "score"])
    for video_id, detections in found.items():
        for d in detections:
            times = (f"{t:.3f}" for t in (d.start_sec, d.end_sec))
            writer.writerow([video_id, d.label, *times, f"{d.score:.5f}"])
    return text.getvalue()
