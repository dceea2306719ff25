"""Videos in, each video's rows out: decoding, network and projection; here, or on a cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

from ..errors import InputError
from ..formats.features import VideoFeatures
from .backbones.classifier import class_scores
from .backbones.device import choose_device, choose_dtype
from .backbones.family import Network
from .backbones.table import find_published, load_backbones
from .backbones.weights import Weights, resolve_weights
from .container import VideoError
from .flow import check_method
from .prefetch import FrameStream, first_ready, videos_at_once
from .projection import (
    load_projection,
    matrix_sha256,
    orthogonal_projection,
    pca_report,
    projector,
)
from .provenance import make_provenance
from .settings import ExtractSettings
from .sources import fingerprint
from .stitch import piece_frames, stitched_rows

log = logging.getLogger(__name__)

Videos: TypeAlias = Iterable[tuple[str, Path]]  # ids and paths
Advance: TypeAlias = Callable[[str, float], None]  # called with an id and its seconds just done
Results: TypeAlias = Generator[tuple[str, VideoFeatures | VideoError], None, None]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what the rows will be, before the network itself is loaded."""

    settings: ExtractSettings
    weights: Mapping[str, Weights]  # of every stream
    projections: Mapping[str, np.ndarray]  # of every stream, (D, width) float32; none if none
    device: str
    dtype: str
    provenance: Mapping[str, Any]

    def backbones(self) -> dict[str, Network]:
        """The network of every stream, ready to run; see `table.load_backbones`."""
        chosen = self.settings
        return load_backbones(
            chosen.family, self.weights, stride=chosen.stride, clip_frames=chosen.clip_frames,
            device=self.device, dtype=self.dtype,
        )  # fmt: skip

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes whose scores are stored; None without scores."""
        return self.settings.family.labels if self.settings.scores else None


def prepare(settings: ExtractSettings, *, device: str | None = None) -> Recipe:
    """Find out everything that the settings leave open.

    `device` is `cpu` or `cuda`, where another machine than this one has it.

    Raises:
        InputError: no such device, flow, weights or projection, or a projection that does not fit.
    """
    device = device or choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)
    if settings.flow:
        check_method(settings.flow_method)
    weights = find_weights(settings)
    matrices = {}
    if settings.projection != "none":
        matrices = {stream: _projection(settings, stream) for stream in settings.streams}
    digests = {stream: {"sha256": matrix_sha256(matrix)} for stream, matrix in matrices.items()}
    made_by = {
        stream: {"weights": given.identity(), "projection": digests.get(stream)}
        for stream, given in weights.items()
    }
    provenance = make_provenance(settings, made_by, dtype=dtype, device=device)
    made = settings.projection in ("orthogonal", "none")
    if not made and (pca := pca_report(settings.projection)):
        provenance["pca"] = pca
    return Recipe(settings, weights, matrices, device, dtype, provenance)


def find_weights(settings: ExtractSettings) -> dict[str, Weights]:
    """Find the weights of every stream; see `backbones.weights.resolve_weights`."""
    rgb = resolve_stream(settings, "rgb", settings.weights, sha256=settings.weights_sha256)
    if not settings.flow:
        return {"rgb": rgb}
    urls, own = settings.family.urls, settings.flow_weights
    # Those of RGB serve where none are published for flow, and where there are no published ones.
    if own is None and settings.weights == settings.family.weights and urls["flow"] != urls["rgb"]:
        own = settings.family.weights
    flow = resolve_stream(settings, "flow", own) if own else rgb
    if flow.path == rgb.path and rgb.path is not None:
        log.warning(
            "flow runs on the RGB weights with their first layer averaged over colour: no weights "
            "of this network for flow are published; your own are taken by --flow-weights"
        )
    return {"rgb": rgb, "flow": flow}


def resolve_stream(
    settings: ExtractSettings, stream: str, name: str, *, sha256: str | None = None
) -> Weights:
    """Find the weights of one stream by name; see `backbones.weights.resolve_weights`."""
    family = settings.family
    find = partial(find_published, family, stream, sha256)
    return resolve_weights(
        name, seed=settings.seed, sha256=sha256, published=family.weights, find=find
    )


def _projection(settings: ExtractSettings, stream: str) -> np.ndarray:
    shape = (settings.family.width, settings.width)
    if settings.projection == "orthogonal":
        return orthogonal_projection(*shape, seed=settings.seed)
    matrix = load_projection(settings.projection, stream)
    if matrix.shape != shape:
        raise InputError(f"projection {settings.projection}: is {matrix.shape}, must be {shape}")
    return matrix


def extract_video(
    video_id: str, stream: FrameStream, backbones: Mapping[str, Network], recipe: Recipe
) -> Generator[float, None, VideoFeatures]:
    """Yield the seconds of video in every piece, once it is done; return the video's rows.

    They are (T, width) of every stream; T is about the number of frames by the stride.

    Raises:
        InputError: scores are wanted of weights that have no classifier.
        VideoError: no frame can be decoded, the file changed meanwhile, or the network's output is
            not finite.
    """
    settings, report = recipe.settings, stream.report
    rows: dict[str, list[np.ndarray]] = {name: [] for name in settings.streams}
    project = {name: projector(matrix) for name, matrix in recipe.projections.items()}
    scores: list[np.ndarray] = []
    for piece in stitched_rows(stream, backbones, settings):
        for name, wide in piece.items():
            narrow = project[name](wide) if name in project else wide
            rows[name].append(narrow.astype(settings.store))
        if settings.scores:
            scores.append(_scores(piece, backbones))
        yield len(piece["rgb"]) * settings.step_sec
    if fingerprint(stream.path, settings.reading) != stream.source:
        raise VideoError(f"{stream.path}: was changed while it was being read; extract it again")
    features = {name: np.concatenate(parts) for name, parts in rows.items()}  # (T, width)
    if not all(np.isfinite(f).all() for f in features.values()):
        raise VideoError(f"{stream.path}: the network's output is not finite; try --dtype float32")
    return VideoFeatures(
        video_id=video_id,
        streams=features,
        start_sec=settings.start_sec,
        step_sec=settings.step_sec,
        duration_sec=report.decoded_sec,
        scores=np.concatenate(scores) if scores else None,
        details={
            "source": stream.path.name,
            "frames": report.frames,
            "fingerprint": stream.source,
            "missing_sec": report.missing_sec,
            "partial": report.partial,
            "lead_sec": report.lead_sec,
            "remarks": "; ".join(report.remarks),
        },
    )


def _scores(piece: Mapping[str, np.ndarray], backbones: Mapping[str, Network]) -> np.ndarray:
    """Return class scores (t, classes) float16; streams are added as logits, as I3D's are."""
    logits = [backbones[name].logits(wide) for name, wide in piece.items()]
    known = [found for found in logits if found is not None]
    if len(known) < len(logits):
        raise InputError("--scores: these weights have no classifier, or one of other classes")
    return class_scores(np.sum(known, axis=0))


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
        Raises:
            InputError: a network cannot be loaded.
        """


class ThisProcess:
    """The engine that runs the network here, and loads it once.

    Pieces of several videos may take turns, so that a fast network need not wait for the decoder
    of one. The next video is being decoded before its turn comes. `backbones` are the network of
    every stream, where it is loaded already.
    """

    def __init__(self, backbones: Mapping[str, Network] | None = None) -> None:
        self._backbones = backbones

    def device(self, wanted: str) -> str:
        """`cpu` or `cuda`, as this machine has them; see `Engine`."""
        return choose_device(wanted)

    def extract(self, videos: Videos, advance: Advance, *, recipe: Recipe) -> Results:
        """Yield every video's rows, or why there are none; see `Engine`."""
        settings, coming = recipe.settings, iter(videos)
        at_once = settings.at_once or videos_at_once(recipe.device)
        begun: dict[str, FrameStream] = {}  # the oldest first
        passing: dict[str, Generator[float, None, VideoFeatures]] = {}
        try:
            while True:
                # One more than take turns, so that decoding of the next has begun.
                while len(begun) <= at_once and (video := next(coming, None)):
                    begun[video[0]] = FrameStream(video[1], settings)
                if not begun:
                    return
                # The network is loaded while the first frames are decoded.
                nets = self._backbones = self._backbones or recipe.backbones()
                # One more frame than a piece has tells whether the piece is the last.
                size = piece_frames(nets, settings)
                video_id = first_ready(dict(islice(begun.items(), at_once)), size + 1)
                if video_id not in passing:
                    passing[video_id] = extract_video(video_id, begun[video_id], nets, recipe)
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
