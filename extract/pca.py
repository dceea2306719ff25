"""The PCA of a user's own videos, as a file that the extraction then takes its matrix from.

It is fitted once: the file is what a second process, an interrupted extraction that goes on, or
another data set (`--projection FILE`) finds again, so that their rows fit together.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..formats.features import FeatureFile, write_feature_file
from .backbones.i3d_r50 import Backbone
from .prefetch import FrameStream
from .projection import fit_pca
from .settings import ExtractSettings
from .stitch import stitched_rows
from .video import VideoError

log = logging.getLogger(__name__)

BATCH_ROWS = 256  # at a time into the covariance, which is far larger than the few of a piece
MAX_ROWS = 20_000  # over an hour of video; ten times the width


def pca_file(
    videos: Sequence[Path],
    out: Path,
    settings: ExtractSettings,
    load: Callable[[], Mapping[str, Backbone]],
    *,
    overwrite: bool,
) -> Path:
    """Return a file with the PCA: the feature file's own, one that was begun with, or a new one.

    Args:
        videos: to draw the sample from, whole and in seeded order, until it has MAX_ROWS rows.
        out: the feature file that is extracted into; a new PCA is kept beside its parts.
        load: returns the network of every stream; called if a PCA has to be fitted.
        overwrite: whether the feature file is to be replaced, its PCA with it.
    Raises:
        InputError: `out` was projected otherwise, or the sample has too few rows.
    """
    if out.exists() and not overwrite:
        if pca_report(out) is None:
            raise InputError(f"{out}: was not projected by PCA; choose another file")
        return out
    chosen = hashlib.sha256(
        repr(settings.model_copy(update={"device": "", "dtype": ""})).encode()
    ).hexdigest()
    path = out.with_name(f"{out.name}.parts") / f"{chosen[:16]}.pca"
    if not path.exists():
        _fit(videos, path, settings, load())
    return path


def pca_report(path: str | Path) -> Mapping[str, object] | None:
    """Return what is known of the PCA in a file: rows, videos, share of variance; or None."""
    if Path(path).suffix == ".npy":
        return None
    with FeatureFile(path) as file:
        found: Mapping[str, object] | None = file.provenance.get("pca")
    return found


def _fit(
    videos: Sequence[Path],
    path: Path,
    settings: ExtractSettings,
    backbones: Mapping[str, Backbone],
) -> None:
    matrices, report = {}, {}
    for stream, backbone in backbones.items():
        sample = _Sample(videos, settings, {stream: backbone})
        matrices[stream], share = fit_pca(gathered(sample), settings.width)
        report[stream] = {"variance_kept": share, "rows": sample.rows, "videos": sample.videos}
        log.info(
            "PCA of %s keeps %.2f %% of the variance of %d rows of %d videos",
            stream, 100 * share, sample.rows, sample.videos,
        )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    write_feature_file(aside, [], provenance={"pca": report}, projections=matrices)
    try:
        os.link(aside, path)
        aside.unlink()
    except FileExistsError:  # another process was first: its PCA counts
        aside.unlink()
    except OSError:  # a filesystem without links
        os.replace(aside, path)


def gathered(pieces: Iterable[np.ndarray], *, least: int = BATCH_ROWS) -> Iterator[np.ndarray]:
    """Yield the same rows, at least so many at a time but in the end."""
    held: list[np.ndarray] = []
    for rows in pieces:
        held.append(rows)
        if sum(map(len, held)) >= least:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


class _Sample:
    """The rows of videos in seeded order, until there are enough, counting what was read."""

    def __init__(
        self,
        videos: Sequence[Path],
        settings: ExtractSettings,
        backbone: Mapping[str, Backbone],
    ) -> None:
        order = np.random.default_rng(settings.seed).permutation(len(videos))
        self._order = [sorted(videos)[n] for n in order]
        self._settings, self._backbone = settings, backbone
        self.rows = self.videos = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield (t, 2048) float32; a video that cannot be decoded is left to the extraction."""
        settings = self._settings
        for video in self._order:
            if self.rows >= MAX_ROWS:
                return
            stream = FrameStream(video, settings)
            try:
                for piece in stitched_rows(
                    stream, self._backbone, segment=settings.segment, context=settings.context
                ):
                    [rows] = piece.values()
                    self.rows += len(rows)
                    yield rows
                self.videos += 1
            except VideoError as e:
                log.info("not in the sample for PCA: %s", e)
            finally:
                stream.close()
