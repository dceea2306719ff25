"""Detection in raw videos: extract as the run's features were, detect, write what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import InputError
from .extract.again import settings_of
from .extract.backbones.i3d_r50 import choose_device
from .extract.extractor import Recipe, ThisProcess, extract_videos
from .extract.settings import ExtractSettings
from .extract.sharing.work import Advance, Results, Summary, Videos
from .extract.sources import assign_ids, find_videos
from .formats.annotations import AnnotatedVideo, load_annotations
from .formats.features import FEATURE_SUFFIXES, FeatureFile, TimeAxis, VideoFeatures
from .formats.names import file_names
from .head.detector import load_detector
from .head.run import check_same_extraction
from .reports.detections import Seen, write_detections

FEATURES = "features.h5"  # what is extracted, in the folder of the detections

Look = Callable[[str, np.ndarray, TimeAxis], None]  # at a video's id, rows, and their place in time


@dataclass(frozen=True)
class Detected:
    """What was found in videos, by id, what was written, and what became of raw videos."""

    seen: Mapping[str, Seen]
    written: tuple[Path, ...]
    extraction: Summary | None


def detect(
    sources: Sequence[Path],
    run_dir: Path,
    *,
    out: Path | None = None,
    min_score: float = 0.0,
    top: int | None = None,
    annotations: Path | None = None,
    features: Path | None = None,
    weights: str | None = None,
    flow_weights: str | None = None,
    checkpoint: str = "last",
    device: str = "auto",
    changes: Sequence[str] = (),
    pages: bool = False,
    show_progress: bool = True,
    tell: Callable[[Seen], None] = lambda seen: None,
) -> Detected:
    """Find actions in raw videos or in feature files, and write detections and pictures.

    Videos are extracted as the run's features were, into `features.h5` in `out`, where they are
    found again the next time.

    Args:
        sources: videos, folders and lists of videos, and feature files.
        out: where to write; `detections` in the run's folder where not given.
        min_score, top: leave out what scores less, and all but the best so many of each video.
        annotations: ground truth to draw above the detections.
        features: where the run's feature file is now; needed if that holds the projection.
        weights, flow_weights: checkpoints of the extraction, see `extract.again.settings_of`.
        changes: see `runs.load_run_description`.
        pages: whether to write an HTML page per video, see `pages.viewer`.
        tell: called with every video as soon as it is done.
    Raises:
        InputError: no such run or source, features that were not made like the run's, or two
            videos of one name.
    """
    on = choose_device(device)
    detector = load_detector(run_dir, checkpoint=checkpoint, device=on, changes=changes)
    streams = detector.data.streams
    truth = load_annotations(annotations).videos if annotations else {}
    out = out or run_dir / "detections"
    files = [s for s in sources if s.suffix.lower() in FEATURE_SUFFIXES]
    videos = [v for s in sources if s not in files for v in find_videos(s)]
    paths, _ = assign_ids(videos)
    seen: dict[str, Seen] = {}

    def look(video_id: str, rows: np.ndarray, axis: TimeAxis) -> None:
        if video_id in seen:
            raise InputError(f"two videos have the id {video_id!r}; detect in one after the other")
        whole = Seen(video_id, axis.duration_sec, detector(rows, axis), paths.get(video_id))
        seen[video_id] = whole.only(min_score=min_score, top=top)
        tell(seen[video_id])

    for path in files:
        with FeatureFile(path) as file:
            check_same_extraction(file, detector.data)
            _look_at(file, file.video_ids, streams, look)
    summary = None
    if videos:
        settings = settings_of(
            detector.data.extraction,
            streams=streams,
            features=features or Path(detector.data.features),
            weights=weights,
            flow_weights=flow_weights,
            device=device,
        )
        summary = _extract(videos, out, settings, streams, look, show_progress=show_progress)
    seen = _in_order(seen, paths)
    labels = detector.data.labels
    written = write_detections(seen, out, labels=labels, truth=truth)
    if pages:
        names = file_names(seen, ".html")
        written += [_page(s, out / names[v], labels=labels, truth=truth) for v, s in seen.items()]
    return Detected(seen, tuple(written), summary)


def _extract(
    videos: Sequence[Path],
    out: Path,
    settings: ExtractSettings,
    streams: Sequence[str],
    look: Look,
    *,
    show_progress: bool,
) -> Summary:
    """Extract into the file in `out` what is not there yet, and have all of it looked at."""
    out.mkdir(parents=True, exist_ok=True)
    summary = extract_videos(
        videos,
        out / FEATURES,
        settings,
        show_progress=show_progress,
        engine=_Watched(streams, look),
    )
    if known := [*summary.already, *summary.elsewhere]:
        with FeatureFile(summary.out) as file:
            _look_at(file, known, streams, look)
    return summary


def _in_order(seen: Mapping[str, Seen], videos: Iterable[str]) -> dict[str, Seen]:
    """Return what was seen with videos in this order, whenever they were extracted.

    What else was seen comes before them.
    """
    place = {video_id: n for n, video_id in enumerate(videos)}
    return dict(sorted(seen.items(), key=lambda item: place.get(item[0], -1)))


def _look_at(
    file: FeatureFile, video_ids: Iterable[str], streams: Sequence[str], look: Look
) -> None:
    for video_id in video_ids:
        look(video_id, file.rows(video_id, streams), file.time_axis(video_id))


class _Watched(ThisProcess):
    """This process's engine, which has every video looked at once its rows are safe."""

    def __init__(self, streams: Sequence[str], look: Look) -> None:
        super().__init__()
        self._streams, self._look = streams, look

    def extract(self, videos: Videos, advance: Advance, *, recipe: Recipe) -> Results:
        """Yield every video's rows, or why there are none; see `Engine`."""
        for video_id, result in super().extract(videos, advance, recipe=recipe):
            yield video_id, result
            if isinstance(result, VideoFeatures):
                self._look(video_id, result.rows(self._streams), result.axis)


def _page(
    seen: Seen, path: Path, *, labels: Sequence[str], truth: Mapping[str, AnnotatedVideo]
) -> Path:
    """Write the page of a video, and return its path."""
    from .reports.viewer import write_viewer  # drags in what no other page needs

    annotated = truth.get(seen.video_id)
    write_viewer(
        seen.source,
        path,
        video_id=seen.video_id,
        detections=seen.found.detections,
        truth=annotated.instances if annotated else None,
        actionness=seen.found.actionness,
        labels=labels,
        duration_sec=seen.duration_sec,
    )
    return path
