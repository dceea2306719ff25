"""Finished videos to the feature file: one small file for each, put together in the end.

A single HDF5 file that grows does not survive a kill in the middle of writing; whole files that
are renamed into place do. `OUT.h5.parts/` holds the videos that are finished but not yet in
`OUT.h5`.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...formats.atomic import write_text
from ...formats.feature_format import DamagedFile
from ...formats.feature_writer import write_feature_file
from ...formats.features import FeatureFile, VideoFeatures
from ..provenance import differing_setting

log = logging.getLogger(__name__)

_KEPT = "finished videos are kept, and the same command goes on from there"


class Parts:
    """The parts of the feature file `out`; those with another provenance do not count."""

    def __init__(self, out: Path, provenance: Mapping[str, Any]) -> None:
        self.out, self.provenance = out, provenance
        self.folder = out.with_name(out.name + ".parts")
        self._damaged: set[Path] = set()  # parts that were named as such

    def write(self, video: VideoFeatures) -> None:
        """Keep a finished video; it survives whatever happens once this returns.

        Raises:
            InputError: it cannot be written, for instance because the disk is full.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_feature_file(self.path(video.video_id), [video], provenance=self.provenance)
        except OSError as e:
            raise InputError(f"{self.folder}: cannot be written ({e}); {_KEPT}") from None

    def path(self, video_id: str) -> Path:
        """The place of a video's part, whether it is there or not."""
        return self.folder / f"{part_name(video_id)}.h5"

    def find(self) -> dict[str, tuple[Path, str]]:
        """Path and source fingerprint of every part that counts, by video id."""
        paths = sorted(self.folder.glob("*.h5"))
        return {video: (p, source) for p in paths for video, source in self._read(p).items()}

    def source(self, video_id: str) -> str | None:
        """The source fingerprint of a video's part, None without one that counts."""
        return self._read(self.path(video_id)).get(video_id)

    def _read(self, path: Path) -> dict[str, str]:
        """Return the source fingerprint of the video in a part; empty without one that counts.

        Raises:
            InputError: the part is there, but cannot be opened: what is in it may not be lost.
        """
        try:
            with FeatureFile(path) as file:
                if differing_setting(self.provenance, file.provenance) is None:
                    return fingerprints(file)
        except DamagedFile as e:
            if path not in self._damaged:
                self._damaged.add(path)
                log.warning("%s; the video of this part is extracted again", e)
        except InputError:
            if path.exists():  # else another process has just moved it into the feature file
                raise
        return {}

    def assemble(
        self,
        *,
        annotations_text: str | None,
        projections: Mapping[str, np.ndarray],
        classes: Sequence[str] | None = None,
        fresh: bool,
    ) -> None:
        """Put the parts into the feature file and remove them.

        One process at a time may do so (`Share.alone`); others may write parts meanwhile.

        Args:
            annotations_text: to embed; None keeps what is embedded.
            classes: the names of those whose scores are stored, if any.
            fresh: whether to leave out the videos that are in the file now.
        Raises:
            InputError: it cannot be written; the old file and the parts are still there.
        """
        identities = {path: file_identity(path) for path in self.folder.glob("*.h5")}
        parts = {video_id: path for video_id, (path, _) in self.find().items()}
        with contextlib.ExitStack() as stack:
            old = None
            if self.out.exists() and not fresh:
                annotations_text = annotations_text or embedded_annotations(self.out)
                old = stack.enter_context(FeatureFile(self.out))
            try:
                write_feature_file(
                    self.out,
                    _videos(old, parts),
                    provenance=self.provenance,
                    annotations_text=annotations_text,
                    projections=projections,
                    classes=classes,
                )
            except OSError as e:
                raise InputError(f"{self.out}: cannot be written ({e}); {_KEPT}") from None
        # A part that another process has replaced meanwhile is not in the file, and stays.
        for part, identity in identities.items():
            if file_identity(part) == identity:
                part.unlink(missing_ok=True)
        # The matrix is in the feature file now; killed runs may have left half-written files.
        half_written = self.out.parent.glob(f".{glob.escape(self.out.name)}.*.tmp")
        for path in (*self.folder.glob("*.pca"), *half_written):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()


def part_name(video_id: str) -> str:
    """The name of a video's part and claim; ids can be too long for a file's name."""
    return hashlib.sha256(video_id.encode()).hexdigest()[:24]


def file_identity(path: Path) -> str:
    """Return a text that differs once a file has been replaced; empty where there is none.

    The file is opened, because only that makes a network filesystem ask its server.
    """
    try:
        with path.open("rb") as file:
            stat = os.fstat(file.fileno())
    except FileNotFoundError:
        return ""
    return f"{stat.st_ino} {stat.st_mtime_ns} {stat.st_size}"


class OtherSettings(InputError):
    """A feature file was made with other settings, so that nothing can be added to it.

    `made` says which: the file, and the setting that differs.
    """

    def __init__(self, out: Path, differing: str) -> None:
        self.made = f"{out}: was extracted with other settings ({differing})"
        super().__init__(f"{self.made}; choose another file, or replace it with --overwrite")


def read_existing(out: Path, provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return the source fingerprint of every video in the feature file; empty without a file.

    Raises:
        OtherSettings: it was made with others.
        InputError: no feature file.
    """
    if not out.exists():
        return {}
    with FeatureFile(out) as file:
        if differing := differing_setting(provenance, file.provenance):
            raise OtherSettings(out, differing)
        return fingerprints(file)


def embedded_annotations(out: Path) -> str | None:
    """Return the annotations' JSON that a feature file holds, or None."""
    with FeatureFile(out) as file:
        annotations = file.annotations()
    return None if annotations is None else annotations.text


def fingerprints(file: FeatureFile) -> dict[str, str]:
    """Return the source fingerprint of every video; empty where the writer left none."""
    return {v: str(file.details(v).get("fingerprint", "")) for v in file.video_ids}


def write_failures(out: Path, failed: Mapping[str, str]) -> None:
    """List the videos that failed, and why, in `OUT.h5.failed.json`; without any, remove it."""
    path = out.with_name(out.name + ".failed.json")
    if failed:
        write_text(path, json.dumps(failed, indent=1, ensure_ascii=False) + "\n")
    else:
        path.unlink(missing_ok=True)


def _videos(old: FeatureFile | None, parts: Mapping[str, Path]) -> Iterator[VideoFeatures]:
    """Yield the videos of the old file and the parts, sorted; a part replaces what the file had."""
    kept = set(old.video_ids) if old else set()
    for video_id in sorted(kept | set(parts)):
        if video_id in parts:
            with FeatureFile(parts[video_id]) as part:
                yield part.video(video_id)
        elif old:
            yield old.video(video_id)
