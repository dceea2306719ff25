"""The PCA of a user's own videos, as a file that the extraction then takes its matrix from.

It is fitted once: a second process, an interrupted extraction that goes on, or another data set
(`--projection FILE`) finds the file again, so that their rows fit together.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..formats.feature_writer import write_feature_file
from .backbones.family import Network
from .container import VideoError
from .engine import prepare
from .prefetch import FrameStream
from .projection import fit_pca, pca_report
from .settings import ExtractSettings
from .sharing.claims import Claims
from .stitch import stitched_rows

log = logging.getLogger(__name__)

BATCH_ROWS = 256  # at a time into the covariance, which is far larger than the few of a piece
MAX_ROWS = 20_000  # over an hour of video; ten times the width


def with_pca(
    settings: ExtractSettings, videos: Sequence[Path], out: Path, *, overwrite: bool
) -> ExtractSettings:
    """Return the settings with a file in the place of `pca`, if that is their projection.

    The file is the feature file itself, one that an interrupted extraction has begun with, or a
    new one.

    Args:
        videos: to draw the sample from, whole and in seeded order, until it has MAX_ROWS rows.
        out: the feature file that is extracted into; a new PCA is kept beside its parts.
        overwrite: whether the feature file is to be replaced, its PCA with it.
    Raises:
        InputError: `out` was projected otherwise, or the sample has too few rows.
    """
    if settings.projection != "pca":
        return settings
    path = out
    if not out.exists() or overwrite:
        # What does not matter to the PCA does not matter to whether it is found again.
        chosen = settings.model_dump_json(exclude={"device", "dtype", "at_once", "scores", "store"})
        name = hashlib.sha256(chosen.encode()).hexdigest()[:16]
        path = out.with_name(f"{out.name}.parts") / f"{name}.pca"
        # One process fits it; others that are given the same to do wait for it.
        with Claims(path.parent) as claims, claims.hold(name):
            if not path.exists():
                _fit(videos, path, settings)
    elif pca_report(out) is None:
        raise InputError(f"{out}: was not projected by PCA; choose another file")
    return settings.changed(projection=str(path))


def _fit(videos: Sequence[Path], path: Path, settings: ExtractSettings) -> None:
    """Write the file with the PCA of every stream."""
    matrices, report = {}, {}
    # The sample is of rows before the projection, so any will do.
    backbones = prepare(settings.changed(projection="orthogonal")).backbones()
    for stream, backbone in backbones.items():
        read = {"rows": 0, "videos": 0}
        sample = _sample(videos, settings, {stream: backbone}, read)
        matrices[stream], share = fit_pca(gathered(sample), settings.width)
        report[stream] = {"variance_kept": share, **read}
        log.info(
            "PCA of %s keeps %.2f %% of the variance of %d rows of %d videos",
            stream, 100 * share, read["rows"], read["videos"],
        )  # fmt: skip
    write_feature_file(path, [], provenance={"pca": report}, projections=matrices)


def _sample(
    videos: Sequence[Path],
    settings: ExtractSettings,
    backbone: Mapping[str, Network],
    read: dict[str, int],
) -> Iterator[np.ndarray]:
    """Yield rows (t, D) float32 of videos in seeded order, until there are enough.

    A video that cannot be decoded is left to the extraction. `read` counts rows and videos.
    """
    order = np.random.default_rng(settings.seed).permutation(len(videos))
    for video in (sorted(videos)[n] for n in order):
        if read["rows"] >= MAX_ROWS:
            return
        stream = FrameStream(video, settings)
        try:
            for piece in stitched_rows(stream, backbone, settings):
                [rows] = piece.values()
                read["rows"] += len(rows)
                yield rows
            read["videos"] += 1
        except VideoError as e:
            log.info("not in the sample for PCA: %s", e)
        finally:
            stream.close()


def gathered(pieces: Iterable[np.ndarray], *, least: int = BATCH_ROWS) -> Iterator[np.ndarray]:
    """Yield the same rows, at least so many at a time except at the end."""
    held: list[np.ndarray] = []
    for rows in pieces:
        held.append(rows)
        if sum(map(len, held)) >= least:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)
