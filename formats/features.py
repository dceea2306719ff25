"""The border between the two stages: reader and writer of the HDF5 feature file.

    /                        attrs: format = "tsatal-features", version = 1, provenance = JSON
    /annotations             optional scalar string: ActivityNet-style JSON
    /projection/<stream>     optional (values of the backbone, D) float32
    /videos/<video_id>       group; attrs: duration_sec, step_sec, start_sec, and what else is known
    /videos/<video_id>/rgb   (T, D) float16 or float32; /flow likewise, same T
    /scores/<video_id>       optional (T, C) float16: scores of the backbone's own classes
    /classes                 their names, JSON; there if any scores are

Row `t` describes the instant `start_sec + t * step_sec`; nothing else in the program guesses a
frame rate or a stride. The format is described for users in docs/feature_file.md.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import InputError, shown
from .annotations import Annotations, parse_annotations
from .atomic import ErrorKeeper, replacing
from .class_scores import ClassScores
from .names import id_problem

FORMAT = "tsatal-features"
VERSION = 1
STREAMS = ("rgb", "flow")
FEATURE_SUFFIXES = (".h5", ".hdf5")
TIMES = ("start_sec", "step_sec", "duration_sec")  # attributes that every video has
LEAST_STEP_SEC, MOST_SEC = 1e-6, 1e9  # beyond which lies no video, but overflow
MOST_PACKED = 200  # bytes of rows that come out of a stored one; no compression packs rows so well
# What h5py and NumPy raise on damage, or on a type that is not what it should be.
DAMAGE = (
    OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError,
    MemoryError,
)  # fmt: skip


@dataclass(frozen=True)
class TimeAxis:
    """The places of one video's rows in time: row `t` is at `start_sec + t * step_sec` seconds."""

    num_steps: int
    start_sec: float
    step_sec: float
    duration_sec: float


@dataclass(frozen=True)
class VideoFeatures:
    """One video's rows: `streams[name]` is (T, D); `details` are further scalar attributes.

    `scores`, (T, C), are those of the backbone's own classes, where they were asked for.
    """

    video_id: str
    streams: Mapping[str, np.ndarray]
    start_sec: float
    step_sec: float
    duration_sec: float
    details: Mapping[str, Any] = field(default_factory=dict)
    scores: np.ndarray | None = None

    @property
    def axis(self) -> TimeAxis:
        """Return the places of the rows in time."""
        steps = len(next(iter(self.streams.values())))
        return TimeAxis(steps, self.start_sec, self.step_sec, self.duration_sec)

    def rows(self, streams: Sequence[str]) -> np.ndarray:
        """Return the rows of `streams` side by side, (T, D) float32."""
        return np.concatenate([self.streams[s] for s in streams], axis=1, dtype=np.float32)


class FeatureFile(contextlib.AbstractContextManager["FeatureFile"]):
    """A feature file opened for reading; use it in a `with` statement.

    Raises:
        InputError: missing, not HDF5, not of this format or version, or in use by a writer.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        try:
            _check_format(self._file, self.path)
        except BaseException:
            self._file.close()
            raise

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def provenance(self) -> dict[str, Any]:
        """Return the extractor's words on how the rows were made."""
        with self._reading("its provenance"):
            return dict(json.loads(self._file.attrs.get("provenance", "{}")).items())

    @property
    def video_ids(self) -> list[str]:
        """Return the ids of all videos, sorted."""
        with self._reading("its list of videos"):
            ids = sorted(
                name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")
                for name in self._file["videos"]  # h5py gives bytes where they are no UTF-8
            )
        if wrong := [v for v in ids if id_problem(v)]:
            raise InputError(f"{self.path}: the video id {wrong[0]!a} {id_problem(wrong[0])}")
        return ids

    def annotations(self) -> Annotations | None:
        """Return the embedded annotations, or None where the file has none."""
        if (text := self.annotations_text()) is None:
            return None
        return parse_annotations(text, source=f"{self.path} (embedded annotations)")

    def annotations_text(self) -> str | None:
        """Return the JSON of the embedded annotations, or None where the file has none."""
        with self._reading("its annotations"):
            if "annotations" not in self._file:
                return None
            return str(self._file["annotations"].asstr()[()])

    def projections(self) -> dict[str, np.ndarray]:
        """Return the projection matrix of every stream that has one."""
        with self._reading("its projection"):
            return {
                name: _plausible(d, self.path)[()]
                for name, d in self._file.get("projection", {}).items()
            }

    def class_scores(self, video_id: str) -> ClassScores | None:
        """Return what the backbone's own classifier says of a video; None where nothing is stored.

        Raises:
            InputError: no such video, or scores that do not fit its rows or the classes.
        """
        steps, scores = self.time_axis(video_id).num_steps, self._scores(video_id)
        if scores is None:
            return None
        with self._reading("its classes"):
            classes = tuple(map(str, json.loads(self._file["classes"].asstr()[()])))
        if scores.shape != (steps, len(classes)):
            raise InputError(
                f"{self.path}: {video_id}: its class scores are {scores.shape}, must be "
                f"{(steps, len(classes))}; extract it anew"
            )
        return ClassScores(scores.astype(np.float32), classes)

    def _scores(self, video_id: str) -> np.ndarray | None:
        with self._reading(video_id):
            stored = self._file.get("scores", {}).get(video_id)
            at = f"{self.path}: {video_id}: its class scores"
            return None if stored is None else _plausible(stored, at)[()]

    def streams(self) -> tuple[str, ...]:
        """Return the streams that every video has, `rgb` before `flow`."""
        groups = [self._group(v) for v in self.video_ids]
        with self._reading("its streams"):
            return tuple(s for s in STREAMS if groups and all(s in g for g in groups))

    def time_axis(self, video_id: str) -> TimeAxis:
        """Return the places in time of the rows of `video_id`.

        Raises:
            InputError: an attribute is missing or not a positive step, or streams differ in T.
        """
        group = self._group(video_id)
        at = f"{self.path}: {video_id}"
        with self._reading(video_id):
            for name in TIMES:
                if name not in group.attrs:
                    raise InputError(f"{at}: an attribute is missing ({name})")
            start, step, duration = (_number(group.attrs[name]) for name in TIMES)
        known = all(abs(t) <= MOST_SEC for t in (start, step, duration))  # NaN is not
        if not known or step < LEAST_STEP_SEC:
            raise InputError(
                f"{at}: step_sec must be at least {LEAST_STEP_SEC} and all times at most "
                f"{MOST_SEC:g}, are start {start}, step {step}, duration {duration}"
            )
        with self._reading(video_id):
            lengths = {name: len(self._stream(video_id, name)) for name in group}
        if len(set(lengths.values())) != 1:
            raise InputError(f"{at}: its streams have different numbers of rows: {lengths}")
        return TimeAxis(next(iter(lengths.values())), start, step, duration)

    def width(self, streams: Sequence[str]) -> int:
        """Return D, the summed width of `streams`, the same for all videos.

        Raises:
            InputError: a video lacks a stream, or widths differ between videos.
        """
        by_width = {sum(self._stream(v, s).shape[1] for s in streams): v for v in self.video_ids}
        if len(by_width) != 1:
            raise InputError(
                f"{self.path}: one feature width is needed, found {by_width or 'none'}"
                "; `tsatal check` names the videos that differ"
            )
        return int(next(iter(by_width)))

    def rows(
        self, video_id: str, streams: Sequence[str], start: int = 0, stop: int | None = None
    ) -> np.ndarray:
        """Return rows `start:stop` of `streams` side by side, (t, D) float32.

        Raises:
            InputError: no such video or stream, or a value that is not finite.
        """
        with self._reading(video_id), np.errstate(over="ignore"):
            parts = [self._stream(video_id, s)[start:stop] for s in streams]
            rows = np.concatenate(parts, axis=1, dtype=np.float32)
        if not np.isfinite(rows).all():
            raise InputError(
                f"{self.path}: {video_id}: has features that are NaN or infinite"
                "; extract it anew, and look for others with `tsatal check`"
            )
        return rows

    def details(self, video_id: str) -> dict[str, Any]:
        """Return the attributes of one video other than its place in time."""
        group = self._group(video_id)
        with self._reading(video_id):
            return {k: _scalar(v) for k, v in group.attrs.items() if k not in TIMES}

    def video(self, video_id: str) -> VideoFeatures:
        """Return everything about one video, as it is stored."""
        axis = self.time_axis(video_id)
        with self._reading(video_id):
            streams = {name: self._stream(video_id, name)[()] for name in self._group(video_id)}
        times = (axis.start_sec, axis.step_sec, axis.duration_sec)
        scores = self._scores(video_id)
        return VideoFeatures(video_id, streams, *times, self.details(video_id), scores)

    def _group(self, video_id: str) -> h5py.Group:
        with self._reading(video_id):
            if video_id not in self._file["videos"]:
                raise InputError(f"{self.path}: has no video {video_id!r}")
            group = self._file["videos"][video_id]
        if not isinstance(group, h5py.Group):
            raise InputError(f"{self.path}: {video_id}: is no group with streams in it")
        return group

    def _stream(self, video_id: str, stream: str) -> h5py.Dataset:
        group = self._group(video_id)
        with self._reading(video_id):
            if stream not in group:
                raise InputError(
                    f"{self.path}: {video_id} has no stream {stream!r}; it has: "
                    f"{', '.join(group) or 'none'}; choose with --streams"
                )
            return _plausible(group[stream], f"{self.path}: {video_id}: {stream}")

    @contextlib.contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Turn every error of HDF5 and h5py about damage into one line that names the place."""
        try:
            yield
        except InputError:
            raise
        except DAMAGE as e:
            said = " ".join(str(e).split()) or type(e).__name__
            raise InputError(f"{self.path}: {what}: damaged ({said:.200})") from None


def looks_like_features(path: Path) -> bool:
    """Return whether a file is HDF5, by its ending or by its first bytes."""
    return path.suffix.lower() in FEATURE_SUFFIXES or (path.is_file() and h5py.is_hdf5(path))


def write_feature_file(
    path: str | Path,
    videos: Iterable[VideoFeatures],
    *,
    provenance: Mapping[str, Any],
    annotations_text: str | None = None,
    projections: Mapping[str, np.ndarray] | None = None,
    classes: Sequence[str] | None = None,
) -> int:
    """Write a feature file whole or not at all, and return the number of videos in it.

    `classes` are the names of those that videos have scores of.
    `videos` may read from `path`, where the old file stays until then (see `atomic.replacing`).

    Raises:
        InputError: the same video id twice, or streams of one video that differ in T.
        OSError: the disk is full, or the folder cannot be written.
    """
    count = 0
    with replacing(path) as aside, ErrorKeeper(aside) as kept:
        with h5py.File(kept, "w") as file:
            file.attrs.update(format=FORMAT, version=VERSION, provenance=json.dumps(provenance))
            if annotations_text is not None:
                file["annotations"] = annotations_text
            for stream, matrix in (projections or {}).items():
                file[f"projection/{stream}"] = matrix.astype(np.float32)
            if classes:
                file["classes"] = json.dumps(list(classes))
            group = file.create_group("videos")
            for video in videos:
                _write_video(group, video)
                if video.scores is not None:
                    file[f"scores/{video.video_id}"] = video.scores.astype(np.float16)
                kept.check()
                count += 1
        kept.check()
    return count


def _write_video(videos: h5py.Group, video: VideoFeatures) -> None:
    if problem := id_problem(video.video_id):
        raise InputError(f"the video id {video.video_id!a} {problem}; rename the video")
    if video.video_id in videos:
        raise InputError(f"two videos have the id {video.video_id!r}")
    lengths = {name: len(rows) for name, rows in video.streams.items()}
    if len(set(lengths.values())) != 1:
        raise InputError(f"{video.video_id}: streams differ in their number of rows: {lengths}")
    group = videos.create_group(video.video_id)
    for name, rows in video.streams.items():
        group[name] = rows
    group.attrs.update(
        video.details,
        start_sec=video.start_sec,
        step_sec=video.step_sec,
        duration_sec=video.duration_sec,
    )


def _open(path: Path) -> h5py.File:
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; `tsatal extract VIDEOS {path.name}` writes one, and "
            "--features names one elsewhere"
        )
    try:
        return h5py.File(path, "r")
    except BlockingIOError:
        raise InputError(f"{path}: in use by a program that is writing it") from None
    except (OSError, RuntimeError, ValueError) as e:
        if not h5py.is_hdf5(path):
            raise InputError(f"{path}: not an HDF5 file, or cut short; copy it again") from None
        raise InputError(f"{path}: cannot be opened ({e})") from None


def _check_format(file: h5py.File, path: Path) -> None:
    try:
        form, version = file.attrs.get("format"), file.attrs.get("version")
        ours = isinstance(form, str) and form == FORMAT
        ours = ours and isinstance(file.get("videos"), h5py.Group)
    except DAMAGE as e:
        raise InputError(f"{path}: damaged ({e})") from None
    if not ours:
        raise InputError(
            f"{path}: HDF5, but not a {FORMAT} file (see docs/feature_file.md)"
            "; `tsatal import` takes features of other programs"
        )
    if not isinstance(version, (int, np.integer)) or version != VERSION:
        raise InputError(
            f"{path}: format version {shown(_scalar(version))}; this program reads {VERSION}"
            "; extract it again"
        )


def _plausible(found: Any, at: object) -> h5py.Dataset:
    """Return a dataset that can be a table of rows.

    Raises:
        InputError: it is no table of numbers, or claims far more of them than the file has bytes.
    """
    table = isinstance(found, h5py.Dataset) and found.ndim == 2 and found.dtype.kind in "fiu"
    if not table or found.shape[1] == 0:
        raise InputError(f"{at}: a table (T, D) of numbers is needed")
    if not found.is_virtual and found.nbytes > MOST_PACKED * found.id.get_storage_size():
        raise InputError(f"{at}: damaged (holds fewer rows than the {len(found):,} it speaks of)")
    return found


def _number(value: Any) -> float:
    """Return an attribute as a number; raise TypeError where it is none, or several."""
    found = np.asarray(value)
    if found.size != 1 or found.dtype.kind not in "fiu":
        raise TypeError(f"{shown(value)} is no number")
    return float(found.item())


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
