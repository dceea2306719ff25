"""The border between the two stages: the HDF5 feature file, and its reader.

    /                        attrs: format = "tsatal-features", version = 1, provenance = JSON
    /annotations             optional scalar string: ActivityNet-style JSON
    /projection/<stream>     optional (values of the backbone, D) float32
    /videos/<video_id>       group; attrs: duration_sec, step_sec, start_sec, and what else is known
    /videos/<video_id>/rgb   (T, D) float16 or float32; /flow likewise, same T
    /scores/<video_id>       optional (T, C) float16: scores of the backbone's own classes
    /classes                 their names, JSON; there if any scores are

Row `t` describes the instant `start_sec + t * step_sec`; nothing else in the program guesses a
frame rate or a stride. The format is described for users in docs/feature_file.md; `feature_writer`
writes such a file.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import InputError, listed, shown
from ..segments import are_cut, seconds_to_steps
from .annotations import Annotations, parse_annotations
from .class_scores import ClassScores
from .feature_format import DamagedFile, check_format, open_file
from .hdf5 import DAMAGE, attribute, number, own_member, plausible_table, scalar
from .json_values import parse_json
from .limits import check_size
from .names import SPELT, id_problem, nfc
from .shards import (
    LIST_SUFFIX,
    SUFFIXES,
    check_made_alike,
    holds_shards,
    is_sharded,
    joined_annotations,
    shard_paths,
)

STREAMS = ("rgb", "flow")
FEATURE_SUFFIXES = SUFFIXES
TIMES = ("start_sec", "step_sec", "duration_sec")  # attributes that every video has
LEAST_STEP_SEC, MOST_SEC = 1e-6, 1e9  # beyond which lies no video, but overflow


@dataclass(frozen=True)
class TimeAxis:
    """The places of one video's rows in time: row `t` is at `start_sec + t * step_sec` seconds."""

    num_steps: int
    start_sec: float
    step_sec: float
    duration_sec: float

    def cuts(self, seconds: np.ndarray) -> np.ndarray:
        """Return which segments, (N, 2), have rows for a part alone; see `segments.are_cut`."""
        steps = seconds_to_steps(seconds, start_sec=self.start_sec, step_sec=self.step_sec)
        return are_cut(steps, self.num_steps)


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

    A folder of feature files, or a `.txt` list of them, is read as one file; see `shards`.

    Raises:
        InputError: missing, not HDF5, not of this format or version, or cannot be opened; shards
            that were not made alike, or that hold the same video.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._open = contextlib.ExitStack()
        self._files: dict[Path, h5py.File] = {}
        with contextlib.ExitStack() as opened:
            for part in shard_paths(self.path) if is_sharded(self.path) else [self.path]:
                self._files[part] = opened.enter_context(open_file(part))
                check_format(self._files[part], part)
            self._file = next(iter(self._files.values()))
            if len(self._files) > 1:
                check_made_alike({p: self._provenance(p) for p in self._files})
                _ = self._places  # no video may be in two files
            self._open = opened.pop_all()

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._open.close()

    @property
    def parts(self) -> list[Path]:
        """The paths of the files that are read as one; the file's own where it is alone."""
        return list(self._files)

    @property
    def provenance(self) -> dict[str, Any]:
        """Return the extractor's words on how the rows were made."""
        return self._provenance(next(iter(self._files)))

    def _provenance(self, path: Path) -> dict[str, Any]:
        attrs = self._files[path].attrs
        with self._reading("its provenance", path):
            text = attribute(self._files[path], "provenance") if "provenance" in attrs else "{}"
            return dict(parse_json(text, str(path)).items())

    @property
    def video_ids(self) -> list[str]:
        """Return the ids of all videos, sorted."""
        ids = sorted(self._places)
        if wrong := [v for v in ids if id_problem(v)]:
            raise InputError(f"{self.path}: the video id {wrong[0]!a} {id_problem(wrong[0])}")
        return ids

    @functools.cached_property
    def _places(self) -> dict[str, tuple[Path, str]]:
        """The file that each video is in, and the name of its group there, by id."""
        places: dict[str, tuple[Path, str]] = {}
        for path, file in self._files.items():
            with self._reading("its list of videos", path):
                names = [
                    name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")
                    for name in file["videos"]  # h5py gives bytes where they are no UTF-8
                ]
            for name in names:
                other, twin = places.setdefault(nfc(name), (path, name))
                if other != path:
                    raise InputError(f"{path}: has the video {shown(nfc(name))}, as {other} has")
                if twin != name:
                    raise InputError(f"{path}: {nfc(name)!r} stands twice, {SPELT}")
        return places

    def _path_of(self, video_id: str) -> Path:
        """The path of the file that a video is in, of a single file its own."""
        if len(self._files) == 1:
            return next(iter(self._files))
        return self._places.get(nfc(video_id), (self.path, ""))[0]

    def annotations(self) -> Annotations | None:
        """Return the embedded annotations, or None where the file has none.

        Raises:
            InputError: they are damaged or of another form; what to do stands in the message.
        """
        if (text := self.annotations_text()) is None:
            return None
        try:
            return parse_annotations(text, source=embedded_in(self.path))
        except InputError as e:
            raise InputError(
                f"{e}; give others with --annotations FILE.json, or put them in anew with `tsatal "
                f"extract VIDEOS {self.path.name} --annotations FILE.json`"
            ) from None

    def annotations_text(self) -> str | None:
        """Return the JSON of the embedded annotations, or None where the file has none."""
        return joined_annotations((path, self._annotations_text(path)) for path in self._files)

    def _annotations_text(self, path: Path) -> str | None:
        with self._reading("its annotations", path):
            found = own_member(self._files[path], "annotations", f"{path}: annotations")
            if found is None:
                return None
            if found.shape != ():
                raise TypeError("one text is needed")
            check_size(2 * found.nbytes, f"{path}: annotations")
            return str(found.asstr()[()])

    def projections(self) -> dict[str, np.ndarray]:
        """Return the projection matrix of every stream that has one."""
        with self._reading("its projection"):
            at = f"{self.path}: projection"
            matrices = own_member(self._file, "projection", at)
            found = {}
            for name in () if matrices is None else matrices:
                matrix = plausible_table(own_member(matrices, name, at), at)
                check_size(2 * matrix.nbytes, f"{at}: {name}")
                found[name] = matrix[()]
            return found

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
            at = f"{self._path_of(video_id)}: {video_id}"
            raise InputError(
                f"{at}: its class scores are {scores.shape}, must be {(steps, len(classes))}"
                "; extract it anew"
            )
        return ClassScores(scores.astype(np.float32), classes)

    def _scores(self, video_id: str) -> np.ndarray | None:
        with self._reading(video_id):
            path = self._path_of(video_id)
            stored = self._files.get(path, self._file).get("scores", {}).get(video_id)
            at = f"{path}: {video_id}: its class scores"
            return None if stored is None else plausible_table(stored, at)[()]

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
        at = f"{self._path_of(video_id)}: {video_id}"
        with self._reading(video_id):
            for name in TIMES:
                if name not in group.attrs:
                    raise InputError(f"{at}: an attribute is missing ({name})")
            start, step, duration = (number(attribute(group, name)) for name in TIMES)
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
        widths = {v: sum(self._stream(v, s).shape[1] for s in streams) for v in self.video_ids}
        if not widths:
            raise InputError(f"{self.path}: holds no video, so its rows have no width")
        first, *others = widths
        other = next((v for v in others if widths[v] != widths[first]), None)
        if other is not None:
            raise InputError(
                f"{self.path}: rows of one width are needed: {widths[first]} in {shown(first)}, "
                f"{widths[other]} in {shown(other)}; `tsatal check` names all that differ"
            )
        return int(widths[first])

    def rows(
        self, video_id: str, streams: Sequence[str], start: int = 0, stop: int | None = None
    ) -> np.ndarray:
        """Return rows `start:stop` of `streams` side by side, (t, D) float32.

        Raises:
            InputError: no such video or stream, or a value that is not finite.
        """
        with self._reading(video_id), np.errstate(over="ignore"):
            tables = [self._stream(video_id, s) for s in streams]
            count = sum(
                len(range(*slice(start, stop).indices(len(t)))) * t.shape[1] for t in tables
            )
            self._check_size(tables, count, video_id)
            parts = [table[start:stop] for table in tables]
            if len(parts) == 1:
                rows = parts[0].astype(np.float32, copy=False)
            else:
                rows = np.concatenate(parts, axis=1, dtype=np.float32)
        if not np.isfinite(rows).all():
            raise InputError(
                f"{self._path_of(video_id)}: {video_id}: has features that are NaN or infinite"
                "; extract it anew, and look for others with `tsatal check`"
            )
        return rows

    def details(self, video_id: str) -> dict[str, Any]:
        """Return the attributes of one video other than its place in time."""
        group = self._group(video_id)
        with self._reading(video_id):
            return {k: scalar(attribute(group, k)) for k in group.attrs if k not in TIMES}

    def video(self, video_id: str) -> VideoFeatures:
        """Return everything about one video, as it is stored."""
        axis = self.time_axis(video_id)
        with self._reading(video_id):
            tables = {name: self._stream(video_id, name) for name in self._group(video_id)}
            self._check_size(tables.values(), sum(t.size for t in tables.values()), video_id)
            streams = {name: table[()] for name, table in tables.items()}
        times = (axis.start_sec, axis.step_sec, axis.duration_sec)
        scores = self._scores(video_id)
        return VideoFeatures(nfc(video_id), streams, *times, self.details(video_id), scores)

    def _group(self, video_id: str) -> h5py.Group:
        with self._reading(video_id):
            name, path = nfc(video_id), self._path_of(video_id)
            at = f"{path}: {video_id}"
            file = self._files.get(path, self._file)
            videos = own_member(file, "videos", f"{path}: videos")
            group = own_member(videos, name, at)
            if group is None and name in self._places:  # another writer left it decomposed
                group = own_member(videos, self._places[name][1], at)
            if group is None:
                raise InputError(f"{self.path}: has no video {shown(video_id)}")
        if not isinstance(group, h5py.Group):
            raise InputError(f"{at}: is no group with streams in it")
        return group

    def _stream(self, video_id: str, stream: str) -> h5py.Dataset:
        group = self._group(video_id)
        with self._reading(video_id):
            at = f"{self._path_of(video_id)}: {video_id}: {stream}"
            table = own_member(group, stream, at)
            if table is None:
                raise InputError(
                    f"{self._path_of(video_id)}: {video_id} has no stream {stream!r}; it has: "
                    f"{listed(group)}; choose with --streams"
                )
            return plausible_table(table, at)

    def _check_size(self, tables: Iterable[h5py.Dataset], count: int, video_id: str) -> None:
        """Refuse `count` values of a video's tables, or a chunk of these, that fill the memory."""
        at = f"{self._path_of(video_id)}: {video_id}"
        for table in tables:
            in_chunk = math.prod(table.chunks or (0,)) * table.dtype.itemsize
            check_size(
                2 * in_chunk, f"{at}: a chunk of its rows", instead="write it in smaller ones"
            )
        # As stored, as float32, and what looking at them takes.
        each = max((t.dtype.itemsize for t in tables), default=0) + 6
        check_size(each * count, f"{at}: with {count:,} values it")

    @contextlib.contextmanager
    def _reading(self, what: str, path: Path | None = None) -> Iterator[None]:
        """Turn every error of HDF5 and h5py about damage into one line that names the place.

        Args:
            what: a video's id, or something of the file at `path`.
        """
        try:
            yield
        except InputError:
            raise
        except DAMAGE as e:
            said = " ".join(str(e).split()) or type(e).__name__
            at = path or self._path_of(what)
            raise DamagedFile(f"{at}: {what}: damaged ({said:.200})") from None


def embedded_in(path: str | Path) -> str:
    """Return the words for the annotations inside a feature file, for messages."""
    return f"{path} (embedded annotations)"


def looks_like_features(path: Path) -> bool:
    """Return whether a file is HDF5, by its ending or its first bytes, or several are named."""
    if path.is_dir() or path.suffix.lower() == LIST_SUFFIX:
        return holds_shards(path)
    return path.suffix.lower() in FEATURE_SUFFIXES or (path.is_file() and h5py.is_hdf5(path))
