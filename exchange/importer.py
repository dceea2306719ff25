"""Published features into a feature file, one video at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..formats.annotations import load_annotations
from ..formats.features import VideoFeatures, write_feature_file
from ..progress import counted
from .facts import FactBook
from .layouts import FIRST_AXIS_IS_TIME, UnknownTimes, clock
from .settings import ImportSettings
from .streams import Streams, open_source, split_rows


@dataclass
class ImportSummary:
    """What became of the videos.

    matched, unlabelled: imported, with and without annotations.
    missing: annotated, without an array.
    failed: why a video or an array was left out, by name.
    skipped: without annotations, and so without a frame rate or duration; not imported.
    trimmed: how many rows one stream had more than the other.
    misfits: what share of its duration a video's rows cover, where that is not all of it.
    others: arrays whose names lack the prefix or suffix.
    transposed: whether arrays are (D, T).
    """

    out: Path
    matched: list[str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    trimmed: dict[str, int] = field(default_factory=dict)
    misfits: dict[str, float] = field(default_factory=dict)
    others: int = 0
    transposed: bool = False


def import_features(
    source: Path,
    out: Path,
    settings: ImportSettings,
    *,
    annotations: Path | None = None,
    flow: Path | None = None,
    video_info: Path | None = None,
    overwrite: bool = False,
) -> ImportSummary:
    """Write the features in `source` into the feature file `out`; return what became of them.

    Args:
        source: a folder of files, or an HDF5 file.
        out: written whole or not at all.
        settings: how the rows were made and are named.
        annotations: ActivityNet-style JSON; goes into the file.
        flow: where the second stream is.
        video_info: a table with frame rates and the like.
        overwrite: whether `out` may be there.
    Raises:
        InputError: nothing can be imported, or rows cannot be placed in time.
    """
    _check_out(out, (source, flow), overwrite=overwrite)
    if flow and flow.exists() and source.exists() and flow.samefile(source):
        raise InputError(f"{flow}: is the first stream's place too; --split-at parts one array")
    truth = load_annotations(annotations) if annotations else None
    known = set(truth.videos) if truth else set()
    with ExitStack() as stack:
        opened = {"rgb": open_source(source, settings, flow)}
        stack.enter_context(closing(opened["rgb"]))
        if flow:
            opened["flow"] = stack.enter_context(closing(open_source(flow, settings)))
        streams = Streams(opened, settings, known)
        job = _Import(source, out, settings, streams, known, FactBook(truth, video_info))
        out.parent.mkdir(parents=True, exist_ok=True)
        write_feature_file(
            out,
            job.videos(),
            provenance=_provenance(settings, source, flow),
            annotations_text=truth.text if truth else None,
        )
    return job.summary


class _Import:
    """An import under way, and its summary.

    Raises:
        InputError: no array is that of a known video, none can be placed in time, or it cannot be
            told which of their axes is time.
    """

    def __init__(
        self,
        source: Path,
        out: Path,
        settings: ImportSettings,
        streams: Streams,
        known: set[str],
        facts: FactBook,
    ) -> None:
        self._source, self._settings, self._streams = source, settings, streams
        self._known, self._facts = known, facts
        self.summary = ImportSummary(
            out,
            missing=sorted(known - set(streams.found)),
            failed=dict(streams.problems),
            others=streams.others,
        )
        self._check_names()
        self._check_times()
        transpose = settings.transpose
        if transpose is None and settings.layout.format in FIRST_AXIS_IS_TIME:
            transpose = False
        self.summary.transposed = streams.find_axes(transpose, self._expected_rows)

    def videos(self) -> Iterator[VideoFeatures]:
        """Yield the videos that can be read, and account for all.

        Raises:
            InputError: there is none.
        """
        summary = self.summary
        for video_id in counted(self._streams.ids, "import"):
            try:
                video = self._video(video_id)
            except InputError as e:
                self._leave_out(video_id, e)
                continue
            (summary.matched if video_id in self._known else summary.unlabelled).append(video_id)
            yield video
        if not (summary.matched or summary.unlabelled):
            raise self._nothing(next(iter(summary.failed.values())))

    def _video(self, video_id: str) -> VideoFeatures:
        layout, facts = self._settings.layout, self._facts.of(video_id)
        clock(layout, facts)  # raises; before reading, where the time goes
        rows, uneven = self._streams.rows(video_id)
        count = len(rows["rgb"])
        axis = clock(layout, facts, count)
        if uneven:
            self.summary.trimmed[video_id] = uneven
        if facts.duration_sec and (share := axis.misfit(count, facts.duration_sec)):
            self.summary.misfits[video_id] = share
        return VideoFeatures(
            video_id,
            split_rows(rows, self._settings.split_at, self._facts.streams),
            axis.start_sec,
            axis.step_sec,
            facts.duration_sec or axis.covered_sec(count),
            {"source": self._streams.stem(video_id), **({"fps": axis.fps} if axis.fps else {})},
        )

    def _leave_out(self, video_id: str, error: InputError) -> None:
        if isinstance(error, UnknownTimes) and video_id not in self._known:
            self.summary.skipped.append(video_id)
        else:
            reason = str(error)
            named = video_id in reason
            self.summary.failed[video_id] = reason if named else f"{video_id}: {reason}"

    def _check_names(self) -> None:
        """Refuse at once what matches nothing: a prefix forgotten, or another data set."""
        found, problems = self._streams.found, self.summary.failed
        if found and (not self._known or self._known & set(found)):
            if not self._streams.ids:
                raise self._nothing(next(iter(problems.values())))
            return
        such = f" such as {found[0]!r}" if found else ""
        wanted = f" such as {min(self._known)!r}" if self._known else ""
        raise self._nothing(
            f"the names of the arrays{such} are not those of videos{wanted}; --prefix and "
            "--suffix say what stands around the id"
        )

    def _check_times(self) -> None:
        """Refuse at once what no video has: a frame rate forgotten, not a video damaged."""
        wanted = [v for v in self._streams.ids if v in self._known] or self._streams.ids
        reason = None
        for video_id in wanted:
            try:
                clock(self._settings.layout, self._facts.of(video_id))
                return
            except UnknownTimes as e:
                reason = reason or e
            except InputError:
                return  # that one fails by its own name
        raise self._nothing(f"{wanted[0]} and all others have {reason}")

    def _expected_rows(self, video_id: str) -> float | None:
        if self._settings.layout.resized:
            return None
        try:
            facts = self._facts.of(video_id)
            axis = clock(self._settings.layout, facts)
        except InputError:
            return None
        return axis.rows_in(facts.duration_sec) if facts.duration_sec else None

    def _nothing(self, reason: str) -> InputError:
        return InputError(f"{self._source}: no video can be imported: {reason}")


def _provenance(settings: ImportSettings, source: Path, flow: Path | None) -> dict[str, Any]:
    """Return what the feature file says about its rows; the same words for the same making."""
    return {
        **settings.layout.provenance(),
        "source": source.name,
        "flow": flow.name if flow else None,
        "store": settings.dtype,
        "made_with": {"tsatal": metadata.version("tsatal"), "numpy": np.__version__},
    }


def _check_out(out: Path, sources: tuple[Path | None, ...], *, overwrite: bool) -> None:
    if not out.exists():
        return
    if any(s and s.exists() and s.samefile(out) for s in sources):
        raise InputError(f"{out}: is what would be imported; write to another file")
    if not overwrite:
        raise InputError(f"{out}: is there already; --overwrite replaces it")
