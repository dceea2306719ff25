"""Stage one put together: many videos in, one feature file out, whatever happens on the way."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import InputError
from ..formats.features import VideoFeatures
from .backbones.family import I3D_R50
from .backbones.i3d_r50 import Backbone, choose_device, choose_dtype, load_backbones
from .backbones.weights import Weights, resolve_weights
from .flow import check_method
from .pca import pca_file, pca_report
from .prefetch import FrameStream, first_ready, videos_at_once
from .projection import load_projection, matrix_sha256, orthogonal_projection, projector
from .provenance import make_provenance
from .settings import ExtractSettings
from .sharing.parts import Parts, embedded_annotations, write_failures
from .sharing.share import Left, Share, join
from .sharing.work import Advance, Results, Summary, Videos, Work
from .sources import assign_ids, fingerprint
from .stitch import piece_frames, stitched_rows
from .video import VideoError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what the rows will be, before the network itself is loaded."""

    settings: ExtractSettings
    weights: Mapping[str, Weights]  # of every stream
    projections: Mapping[str, np.ndarray]  # of every stream, (2048, width) float32
    device: str
    dtype: str
    provenance: Mapping[str, Any]

    def backbones(self) -> dict[str, Backbone]:
        """Return the network of every stream, ready to run.

        Raises:
            InputError: a checkpoint cannot be read or does not fit.
        """
        return load_backbones(self.weights, device=self.device, dtype=self.dtype)


def prepare(settings: ExtractSettings, *, device: str | None = None) -> Recipe:
    """Return settings with everything found out that they leave open.

    Args:
        settings: how to extract.
        device: `cpu` or `cuda`, where another machine than this one has it.
    Raises:
        InputError: no such device, weights or projection, or a projection that does not fit.
    """
    device = device or choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)
    if settings.flow:
        check_method(settings.flow_method)
    weights = _weights(settings)
    matrices = _projections(settings)
    identity = {
        stream: {
            "weights": weights[stream].identity(),
            "projection": {"sha256": matrix_sha256(matrix)},
        }
        for stream, matrix in matrices.items()
    }
    flow = {"method": settings.flow_method, **identity["flow"]} if settings.flow else None
    provenance = make_provenance(settings, **identity["rgb"], flow=flow, dtype=dtype, device=device)
    if settings.projection != "orthogonal" and (pca := pca_report(settings.projection)):
        provenance["pca"] = pca
    return Recipe(settings, weights, matrices, device, dtype, provenance)


def extract_video(
    stream: FrameStream,
    backbones: Mapping[str, Backbone],
    recipe: Recipe,
    *,
    video_id: str | None = None,
) -> Generator[float, None, VideoFeatures]:
    """Yield the seconds of video in every piece, once it is done; return the video's rows.

    They are (T, width) of every stream, T = max(frames // 2, 1).

    Args:
        stream: the video's frames; its report is complete in the end.
        backbones: the network of every stream.
        recipe: what it was made from.
        video_id: by default the file's stem.
    Raises:
        VideoError: no frame can be decoded, the file changed meanwhile, or the network's output is
            not finite.
    """
    settings = recipe.settings
    rows: dict[str, list[np.ndarray]] = {name: [] for name in settings.streams}
    project = {name: projector(matrix) for name, matrix in recipe.projections.items()}
    for piece in stitched_rows(
        stream, backbones, segment=settings.segment, context=settings.context
    ):
        for name, seen in piece.items():
            rows[name].append(project[name](seen).astype(settings.store))
        yield len(piece["rgb"]) * settings.step_sec
    if fingerprint_or_fail(stream.path) != stream.source:
        raise VideoError(f"{stream.path}: was changed while it was being read; extract it again")
    features = {name: np.concatenate(parts) for name, parts in rows.items()}  # (T, width)
    if not all(np.isfinite(f).all() for f in features.values()):
        raise VideoError(f"{stream.path}: the network's output is not finite")
    report = stream.report
    return VideoFeatures(
        video_id=video_id or stream.path.stem,
        streams=features,
        start_sec=settings.start_sec,
        step_sec=settings.step_sec,
        duration_sec=report.decoded_sec,
        details={
            "source": stream.path.name,
            "frames": report.frames,
            "fingerprint": stream.source,
            "missing_sec": report.missing_sec,
            "partial": report.partial,
        },
    )


class Engine(Protocol):
    """What runs the network: this process, or a cluster."""

    def device(self, wanted: str) -> str:
        """Return `cpu` or `cuda` for `auto`, `cpu` or `cuda[:index]`.

        Raises:
            InputError: an unknown name, or CUDA where there is none.
        """

    def extract(self, videos: Videos, advance: Advance, *, recipe: Recipe) -> Results:
        """Yield every video's rows, or why there are none, as they are finished.

        Args:
            videos: the next is asked for only when it is about to be started.
            advance: called with a video's id and the seconds of it that were just done.
            recipe: how to extract.
        Raises:
            InputError: a network cannot be loaded.
        """


class ThisProcess:
    """The engine that runs the network here, and loads it once.

    Pieces of several videos may take turns, so that a fast network need not wait for the decoder
    of one. Of the next video, decoding has begun when its turn comes.

    Args:
        backbones: the network of every stream, where it is loaded already.
    """

    def __init__(self, backbones: Mapping[str, Backbone] | None = None) -> None:
        self._backbones = backbones

    def device(self, wanted: str) -> str:
        """Return `cpu` or `cuda`; see `Engine`."""
        return choose_device(wanted)

    def extract(self, videos: Videos, advance: Advance, *, recipe: Recipe) -> Results:
        """Yield every video's rows, or why there are none; see `Engine`."""
        settings, coming = recipe.settings, iter(videos)
        at_once = settings.at_once or videos_at_once(recipe.device)
        begun: dict[str, FrameStream] = {}  # the oldest first
        passing: dict[str, Generator[float, None, VideoFeatures]] = {}
        try:
            while True:
                while len(begun) <= at_once and (video := next(coming, None)):
                    begun[video[0]] = FrameStream(video[1], settings)
                if not begun:
                    return
                # While frames are decoded.
                nets = self._backbones = self._backbones or recipe.backbones()
                size = piece_frames(nets, segment=settings.segment, context=settings.context)
                video_id = first_ready(dict(islice(begun.items(), at_once)), size + 1)
                if video_id not in passing:
                    frames = begun[video_id]
                    passing[video_id] = extract_video(frames, nets, recipe, video_id=video_id)
                result: VideoFeatures | VideoError
                try:
                    advance(video_id, next(passing[video_id]))
                    continue
                except StopIteration as end:
                    result = end.value
                except VideoError as e:
                    result = e
                del begun[video_id], passing[video_id]
                yield video_id, result
        finally:
            for stream in begun.values():
                stream.close()


def extract_videos(
    videos: Sequence[Path],
    out: str | Path,
    settings: ExtractSettings,
    *,
    annotations_text: str | None = None,
    overwrite: bool = False,
    strict: bool = False,
    show_progress: bool = True,
    engine: Engine | None = None,
) -> Summary:
    """Extract what is not yet in the feature file, add it, and return what became of each video.

    Ctrl-C and SIGTERM end it early, with the finished videos in the file. A video that fails is
    reported, listed in `OUT.h5.failed.json`, and tried again the next time. Several processes
    that are given the same to do share the videos (see `sharing`); each returns when all are done.

    Args:
        videos: their paths, see `sources.find_videos`.
        out: the feature file; made, added to, or replaced.
        settings: how to extract.
        annotations_text: ActivityNet-style JSON to embed; None keeps what is embedded.
        overwrite: whether to start the file anew, also where its settings differ.
        strict: whether to stop at the first video that fails.
        show_progress: a bar, or lines in the log where there is no terminal.
        engine: what runs the network; by default this process.
    Raises:
        InputError: the settings cannot work, the file was made with others, or cannot be written.
    """
    out, engine = Path(out), engine or ThisProcess()
    settings = _with_pca(settings, videos, out, overwrite=overwrite)
    recipe = prepare(settings, device=engine.device(settings.device))
    ids, refused = assign_ids(videos)
    summary = Summary(out)
    summary.fail(refused)
    with join(Parts(out, recipe.provenance), overwrite=overwrite) as share:
        left = _left(ids, share.finished(), summary)
        if left and not (strict and summary.failed):
            with _sigterm_interrupts():
                try:
                    work = Work(share, left, summary, strict=strict, shown=show_progress)
                    work.run(partial(engine.extract, recipe=recipe))
                except KeyboardInterrupt:
                    summary.interrupted = True
        _put_together(share, summary, annotations_text, recipe)
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


def _with_pca(
    settings: ExtractSettings, videos: Sequence[Path], out: Path, *, overwrite: bool
) -> ExtractSettings:
    """Return the settings with a file in the place of `pca`."""
    if settings.projection != "pca":
        return settings

    def load() -> dict[str, Backbone]:
        device = choose_device(settings.device)
        dtype = choose_dtype(settings.dtype, device)
        return load_backbones(_weights(settings), device=device, dtype=dtype)

    path = pca_file(videos, out, settings, load, overwrite=overwrite)
    return settings.changed(projection=str(path))


def _weights(settings: ExtractSettings) -> dict[str, Weights]:
    rgb = resolve_weights(settings.weights, seed=settings.seed, sha256=settings.weights_sha256)
    if not settings.flow:
        return {"rgb": rgb}
    flow = (
        resolve_weights(settings.flow_weights, seed=settings.seed) if settings.flow_weights else rgb
    )
    if flow.path == rgb.path and rgb.path is not None:
        log.warning(
            "flow runs on the RGB weights with their first layer averaged over colour: no weights "
            "of this network for flow are published; your own are taken by --flow-weights"
        )
    return {"rgb": rgb, "flow": flow}


def _projections(settings: ExtractSettings) -> dict[str, np.ndarray]:
    return {stream: _projection(settings, stream) for stream in settings.streams}


def _projection(settings: ExtractSettings, stream: str) -> np.ndarray:
    if settings.projection == "orthogonal":
        return orthogonal_projection(I3D_R50.width, settings.width, seed=settings.seed)
    matrix = load_projection(settings.projection, stream)
    if matrix.shape != (I3D_R50.width, settings.width):
        raise InputError(
            f"projection {settings.projection}: is {matrix.shape}, "
            f"must be {(I3D_R50.width, settings.width)}"
        )
    return matrix


def _left(ids: Mapping[str, Path], there: Mapping[str, str], summary: Summary) -> Left:
    """Return the videos to extract; count those that are there and those that are not to be had."""
    left = {}
    for video_id, path in ids.items():
        try:
            source = fingerprint_or_fail(path)
        except VideoError as e:
            summary.fail({video_id: str(e)})
            continue
        if there.get(video_id) == source:
            summary.already.append(video_id)
            continue
        if video_id in there:
            log.info("%s: has changed since it was extracted; extracting it again", path)
        left[video_id] = path, source
    return left


def _put_together(
    share: Share, summary: Summary, annotations_text: str | None, recipe: Recipe
) -> None:
    """Write the feature file if there is anything new to put into it, and the list of failures.

    A process that was interrupted leaves that to the others, if there are any: of several that
    are interrupted at once, to the last one.
    """
    if summary.interrupted:
        share.leave()
    with share.alone():
        if summary.interrupted and share.others():
            return
        for video_id in [v for v in summary.done if not share.kept(v)]:
            summary.done.remove(video_id)
            reason = f"{video_id}: its rows were removed before they were in {summary.out}"
            summary.fail({video_id: reason})
        fresh, out = share.replacing(), summary.out
        relabelled = annotations_text is not None and (
            out.exists() and annotations_text != embedded_annotations(out)
        )
        if not share.parts.empty() or (relabelled and not fresh):
            share.parts.assemble(
                annotations_text=annotations_text, projections=recipe.projections, fresh=fresh
            )
        write_failures(out, summary.failed)


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
