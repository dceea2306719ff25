"""What `detect` returns and leaves in a folder: detections as JSON and CSV, pictures, pages."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import quantity
from ..extract.clock import BY_ITSELF, Reading
from ..formats.annotations import ActionnessCurve, AnnotatedVideo, Detection
from ..formats.atomic import write_text
from ..formats.names import file_names
from ..formats.predictions import predictions_json
from .pictures import Picture, clock, timeline
from .tables import Rows

PREDICTIONS, TABLE, TIMELINES = "predictions.json", "detections.csv", "timelines"
COLUMNS = ("video", "label", "start_sec", "end_sec", "score")
NAMED = 3  # detections in the one line about a video


@dataclass(frozen=True, repr=False)
class DetectedVideo(Rows):
    """One video and its detections, best first.

    actionness: of every row of its features.
    labels: all classes of the run, which fix the colours of pictures.
    source: the video file, where there is one.
    """

    _columns = COLUMNS
    video_id: str
    duration_sec: float
    detections: Sequence[Detection]
    actionness: ActionnessCurve
    labels: Sequence[str] = ()
    source: Path | None = None

    def __repr__(self) -> str:
        """Return one line: how many detections, and the best of them in the order of time."""
        best = sorted(self.detections[:NAMED], key=lambda d: d.start_sec)
        words = ", ".join(
            f"{d.label} {self._clock(d.start_sec)}-{self._clock(d.end_sec)} ({d.score:.2f})"
            for d in best
        )
        number = quantity(len(self.detections), "detection")
        lasts = self._clock(self.duration_sec)
        unit = " s" if ":" not in lasts else ""
        return f"{self.video_id} ({lasts}{unit}): {number}{'; best: ' if words else ''}{words}"

    def _repr_html_(self) -> str:
        """Return the time line, which a notebook shows."""
        return self.picture().svg()

    def picture(self, truth: AnnotatedVideo | None = None) -> Picture:
        """Return the time line of the video."""
        return timeline(
            video_id=self.video_id,
            duration_sec=self.duration_sec,
            truth=truth.instances if truth else [],
            detections=self.detections,
            labels=self.labels,
        )

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return a dictionary per detection: video, label, start_sec, end_sec, score."""
        return [{"video": self.video_id, **asdict(d)} for d in self.detections]

    def _clock(self, seconds: float) -> str:
        return clock(round(seconds, 1), self.duration_sec)


@dataclass(frozen=True, repr=False)
class DetectedVideos(Rows, Mapping[str, DetectedVideo]):
    """The videos that `detect` looked at, by id.

    written: files and folders with what was found.
    extraction: what became of raw videos, an `extract.extractor.Summary`; None without any.
    """

    _columns = COLUMNS
    videos: Mapping[str, DetectedVideo]
    written: tuple[Path, ...] = ()
    extraction: Any = None

    def __getitem__(self, video_id: str) -> DetectedVideo:
        """Return what was detected in a video.

        Raises:
            KeyError: nothing, and the message says why: it failed, its turn did not come, or it is
                none of the videos.
        """
        if video_id not in self.videos:
            raise KeyError(f"{video_id}: {self._why_not(video_id)}")
        return self.videos[video_id]

    def _why_not(self, video_id: str) -> str:
        if self.extraction and video_id in self.extraction.failed:
            return str(self.extraction.failed[video_id])
        if self.extraction and self.extraction.interrupted:
            return "a signal ended the extraction before its turn; the same call goes on"
        names = ", ".join([*self.videos][:NAMED]) or "no videos"
        more = f" and {len(self.videos) - NAMED} more" if len(self.videos) > NAMED else ""
        return f"none of the videos that were looked at: {names}{more}"

    def __iter__(self) -> Iterator[str]:
        return iter(self.videos)

    def __len__(self) -> int:
        return len(self.videos)

    def __repr__(self) -> str:
        """Return a line per video."""
        return "\n".join(map(repr, self.videos.values())) or "no videos"

    def _repr_html_(self) -> str:
        """Return the time lines of all videos, which a notebook shows."""
        return "\n".join(video._repr_html_() for video in self.videos.values())

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return a dictionary per detection of all videos."""
        return [row for video in self.videos.values() for row in video.to_dicts()]


def write_detections(
    videos: Mapping[str, DetectedVideo],
    out: Path,
    *,
    truth: Mapping[str, AnnotatedVideo],
    pages: bool,
    reading: Reading = BY_ITSELF,
    subtitled: bool = False,
    thresholds: Mapping[str, float] = MappingProxyType({}),
    min_score: float | None = None,
) -> list[Path]:
    """Write the detections into `out`, and return the files and folders.

    Args:
        videos: by id.
        truth: annotated videos by id, drawn above the detections; empty where there are none.
        pages: whether to write an HTML page per video, too.
        reading: how the videos were read.
        subtitled: whether to write WebVTT subtitles per video, too.
        thresholds: of the run, by class.
        min_score: what pages show at first instead of what reaches the thresholds.
    """
    out.mkdir(parents=True, exist_ok=True)
    predictions, table, folder = out / PREDICTIONS, out / TABLE, out / TIMELINES
    found = {video_id: video.detections for video_id, video in videos.items()}
    curves = {video_id: video.actionness for video_id, video in videos.items()}
    labels = next((video.labels for video in videos.values()), ())
    write_text(predictions, predictions_json(found, curves, labels, thresholds))
    write_text(table, detections_csv(found))
    folder.mkdir(exist_ok=True)
    written = [predictions, table, folder]
    pictures, html = file_names(videos, ".png"), file_names(videos, ".html")
    captions = file_names(videos, ".vtt")
    for video_id, video in videos.items():
        annotated = truth.get(video_id)
        video.picture(annotated).save(folder / pictures[video_id])
        if subtitled:
            written.append(out / captions[video_id])
            write_text(written[-1], subtitles(video.detections))
        if pages:
            from .viewer import write_viewer  # needs PyAV, which nothing else here does

            written.append(out / html[video_id])
            write_viewer(
                video.source,
                written[-1],
                video_id=video_id,
                detections=video.detections,
                truth=annotated.instances if annotated else None,
                actionness=video.actionness,
                labels=video.labels,
                duration_sec=video.duration_sec,
                reading=reading,
                thresholds=thresholds,
                min_score=min_score,
            )
    return written


def subtitles(detections: Sequence[Detection]) -> str:
    """Return WebVTT with a cue per detection, in the order of time."""

    def stamp(seconds: float) -> str:
        whole, thousandths = divmod(round(1000 * max(seconds, 0.0)), 1000)
        return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{thousandths:03}"

    cues = [
        # Escaped, because a cue's text may hold no markup and no arrow.
        f"{stamp(d.start_sec)} --> {stamp(d.end_sec)}\n{escape(d.label)} ({d.score:.2f})"
        for d in sorted(detections, key=lambda d: d.start_sec)
    ]
    return "\n\n".join(["WEBVTT", *cues]) + "\n"


def detections_csv(found: Mapping[str, Sequence[Detection]]) -> str:
    """Return CSV with a line per detection: video, label, start_sec, end_sec, score."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for video_id, detections in found.items():
        for d in detections:
            times = (f"{t:.3f}" for t in (d.start_sec, d.end_sec))
            writer.writerow([video_id, d.label, *times, f"{d.score:.5f}"])
    return text.getvalue()
