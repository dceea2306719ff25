"""Stage one put together: many videos in, one feature file out, whatever happens on the way."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..features import VideoFeatures
from .backbone import Backbone, choose_device, choose_dtype, load_backbone
from .parts import Parts, embedded_annotations, read_existing, write_failures
from .prefetch import FrameStream, read_ahead
from .progress import Progress
from .projection import load_projection, matrix_sha256, orthogonal_projection
from .settings import ExtractSettings, make_provenance
from .sources import assign_ids, fingerprint
from .stitch import cut_segments
from .video import VideoError, probe_duration
from .weights import Weights, resolve_weights

log = logging.getLogger(__name__)

BACKBONE_WIDTH = 2048


@dataclass
class Summary:
    """What became of the videos: ids of those done now and done before, reasons for the others.

    `failed` and `partial` say why, by video id (by path where a video has no id of its own);
    a partial video is also done. `interrupted` means that some were not tried.
    """

    out: Path
    done: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    partial: dict[str, str] = field(default_factory=dict)
    video_sec: float = 0.0
    interrupted: bool = False


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what the rows will be, before the network itself is loaded."""

    settings: ExtractSettings
    weights: Weights
    projection: np.ndarray  # (2048, width) float32
    device: str
    dtype: str
    provenance: Mapping[str, Any]

    def backbone(self) -> Backbone:
        """Return the network, ready to run.

        Raises:
            InputError: the checkpoint cannot be read or does not fit.
        """
        return load_backbone(self.weights, device=self.device, dtype=self.dtype)


def prepare(settings: ExtractSettings) -> Recipe:
    """Return settings with everything found out that they leave open.

    Raises:
        InputError: no such device, weights or projection, or a projection that does not fit.
    """
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)
    weights = resolve_weights(settings.weights, seed=settings.seed, sha256=settings.weights_sha256)
    matrix = _projection(settings)
    provenance = make_provenance(
        settings,
        weights=weights.identity(),
        projection={"kind": Path(settings.projection).name, "sha256": matrix_sha256(matrix)},
        dtype=dtype,
        device=device,
    )
    return Recipe(settings, weights, matrix, device, dtype, provenance)


def extract_video(
    stream: FrameStream,
    backbone: Backbone,
    recipe: Recipe,
    *,
    video_id: str | None = None,
    advance: Callable[[float], None] = lambda seconds: None,
) -> VideoFeatures:
    """Return one video's rows, (T, width), T = max(frames // 2, 1).

    Args:
        stream: the video's frames; its report is complete afterwards.
        backbone: the network.
        recipe: what it was made from.
        video_id: by default the file's stem.
        advance: called with the seconds of video that were just done.
    Raises:
        VideoError: no frame can be decoded, or the network's output is not finite.
    """
    settings, source = recipe.settings, fingerprint_or_fail(stream.path)
    rows = []
    for segment in cut_segments(stream, segment=settings.segment, context=settings.context):
        kept = backbone.rows(segment.frames)[segment.keep] @ recipe.projection
        rows.append(kept.astype(settings.store))
        advance(len(kept) * settings.step_sec)
    features = np.concatenate(rows)  # (T, width)
    if not np.isfinite(features).all():
        raise VideoError(f"{stream.path}: the network's output is not finite")
    report = stream.report
    return VideoFeatures(
        video_id=video_id or stream.path.stem,
        streams={"rgb": features},
        start_sec=settings.start_sec,
        step_sec=settings.step_sec,
        duration_sec=report.decoded_sec,
        details={
            "source": stream.path.name,
            "frames": report.frames,
            "fingerprint": source,
            "missing_sec": report.missing_sec,
            "partial": report.partial,
        },
    )


def extract_videos(
    videos: Sequence[Path],
    out: str | Path,
    settings: ExtractSettings,
    *,
    annotations_text: str | None = None,
    overwrite: bool = False,
    strict: bool = False,
    show_progress: bool = True,
) -> Summary:
    """Extract what is not yet in the feature file, add it, and return what became of each video.

    Ctrl-C and SIGTERM end it early, with the finished videos in the file. A video that fails is
    reported, listed in `OUT.h5.failed.json`, and tried again the next time.

    Args:
        videos: their paths, see `sources.find_videos`.
        out: the feature file; made, added to, or replaced.
        settings: how to extract.
        annotations_text: ActivityNet-style JSON to embed; None keeps what is embedded.
        overwrite: whether to start the file anew, also where its settings differ.
        strict: whether to stop at the first video that fails.
        show_progress: a bar, or lines in the log where there is no terminal.
    Raises:
        InputError: the settings cannot work, the file was made with others, or cannot be written.
    """
    out = Path(out)
    recipe = prepare(settings)
    parts = Parts(out, recipe.provenance)
    there = {} if overwrite else read_existing(out, recipe.provenance)
    there.update({video_id: source for video_id, (_, source) in parts.find().items()})
    ids, refused = assign_ids(videos)
    summary = Summary(out, failed=refused)
    _warn(refused)
    todo = _todo(ids, there, summary)
    if todo and not (strict and summary.failed):
        with _sigterm_interrupts():
            try:
                _extract_each(todo, recipe, parts, summary, strict=strict, shown=show_progress)
            except KeyboardInterrupt:
                summary.interrupted = True
    _put_together(parts, summary, annotations_text, recipe, overwrite)
    return summary


def fingerprint_or_fail(path: Path) -> str:
    """Return the fingerprint of a source.

    Raises:
        VideoError: it is not there.
    """
    try:
        return fingerprint(path)
    except OSError as e:
        raise VideoError(f"{path}: cannot be opened ({e.strerror})") from None


def _projection(settings: ExtractSettings) -> np.ndarray:
    if settings.projection == "orthogonal":
        return orthogonal_projection(BACKBONE_WIDTH, settings.width, seed=settings.seed)
    matrix = load_projection(settings.projection)
    if matrix.shape != (BACKBONE_WIDTH, settings.width):
        raise InputError(
            f"projection {settings.projection}: is {matrix.shape}, "
            f"must be {(BACKBONE_WIDTH, settings.width)}"
        )
    return matrix


def _todo(
    ids: Mapping[str, Path], there: Mapping[str, str], summary: Summary
) -> list[tuple[str, Path]]:
    """Return the videos to extract; count those that are there and those that are not to be had."""
    todo = []
    for video_id, path in ids.items():
        try:
            source = fingerprint_or_fail(path)
        except VideoError as e:
            summary.failed[video_id] = str(e)
            _warn({video_id: str(e)})
            continue
        if there.get(video_id) == source:
            summary.already.append(video_id)
            continue
        if video_id in there:
            log.info("%s: has changed since it was extracted; extracting it again", path)
        todo.append((video_id, path))
    return todo


def _extract_each(
    todo: Sequence[tuple[str, Path]],
    recipe: Recipe,
    parts: Parts,
    summary: Summary,
    *,
    strict: bool,
    shown: bool,
) -> None:
    backbone = recipe.backbone()
    lengths = {video_id: probe_duration(path) for video_id, path in todo}
    progress = Progress(len(todo), sum(lengths.values()), shown=shown)
    streams = read_ahead(todo, recipe.settings)
    with contextlib.closing(progress), contextlib.closing(streams):
        for video_id, stream in streams:
            before = progress.done_sec
            try:
                video = extract_video(
                    stream, backbone, recipe, video_id=video_id, advance=progress.advance
                )
                parts.write(video)
                _count(video, stream, summary)
            except VideoError as e:
                summary.failed[video_id] = str(e)
                _warn({video_id: str(e)})
                if strict:
                    return
            progress.advance(max(lengths[video_id] - (progress.done_sec - before), 0.0))
            progress.finish_video()


def _count(video: VideoFeatures, stream: FrameStream, summary: Summary) -> None:
    summary.done.append(video.video_id)
    summary.video_sec += video.duration_sec
    if stream.report.partial:
        summary.partial[video.video_id] = f"{stream.path}: {stream.report.partial}"
        _warn({video.video_id: summary.partial[video.video_id]})


def _put_together(
    parts: Parts,
    summary: Summary,
    annotations_text: str | None,
    recipe: Recipe,
    overwrite: bool,
) -> None:
    """Write the feature file if there is anything new to put into it, and the list of failures."""
    relabelled = annotations_text is not None and (
        summary.out.exists() and annotations_text != embedded_annotations(summary.out)
    )
    if parts.find() or (relabelled and not overwrite):
        parts.assemble(
            annotations_text=annotations_text,
            projections={"rgb": recipe.projection},
            fresh=overwrite,
        )
    write_failures(summary.out, summary.failed)


def _warn(reasons: Mapping[str, str]) -> None:
    for reason in reasons.values():
        log.warning("%s", reason)


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, where signals can be caught (the main thread)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
