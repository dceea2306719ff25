"""Published features in, a feature file out, one video at a time.

`arrays` reads what others wrote, `streams` makes rows of it, `facts` and `layouts` place them in
time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..formats.atomic import check_place
from ..formats.feature_writer import write_feature_file
from ..formats.features import VideoFeatures
from ..formats.labels.find import load_annotations
from ..formats.shards import check_single
from ..progress import counted
from .arrays import Entry, open_source
from .facts import FactBook
from .layouts import ImportSettings, UnknownTimes, clock
from .pairing import stream_folders, with_suffixes
from .streams import Streams, split_rows


@dataclass
class ImportSummary:
    """The videos of an import by their ids, and what became of each.

    matched, unlabelled: imported, with and without annotations.
    missing: annotated, without an array.
    failed: left out, with the reason; an array of no video stands here by its own name.
    skipped: left out, as they have no annotations, and so no frame rate or duration.
    trimmed: imported, with the number of rows that one stream had more than the other.
    misfits: imported, with the share of the duration that rows cover, where that is not all.
    others: number of arrays whose names lack the prefix or suffix.
    transposed: whether arrays are (D, T).
    notes: what was found out about the source, a line each.
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
    notes: list[str] = field(default_factory=list)


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
    """Write published features into a feature file, and account for every video.

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
    # A mistake in a path shows before anything is read.
    check_place(out)
    check_single(Path(out))
    if out.exists():
        if any(s and s.exists() and s.samefile(out) for s in (source, flow)):
            raise InputError(f"{out}: is what would be imported; write to another file")
        if not overwrite:
            raise InputError(f"{out}: is there already; --overwrite replaces it")
    if flow and flow.exists() and source.exists() and flow.samefile(source):
        if settings.flow_suffix is None and settings.flow_key is None:
            raise InputError(
                f"{flow}: is the first stream's place too; --flow-suffix tells streams apart by "
                "names, --split-at parts one array"
            )
        flow = None
    # What stands in the annotations decides which names are ids, and where rows are in time.
    truth = load_annotations(annotations) if annotations else None
    facts = FactBook(truth, video_info)
    with ExitStack() as stack:
        opened, settings, notes = _open_streams(stack, source, flow, settings, facts.annotated)
        streams = Streams(opened, settings, facts.annotated)
        job = _Import(source, out, settings, streams, facts)
        job.summary.notes = notes
        provenance = {
            **settings.provenance(),
            "source": source.name,
            "flow": flow.name if flow else None,
            "store": settings.dtype,
            "made_with": {"tsatal": metadata.version("tsatal"), "numpy": np.__version__},
        }
        # `job.videos()` yields them one at a time: a set does not fit into memory.
        out.parent.mkdir(parents=True, exist_ok=True)
        text = truth.text if truth else None
        write_feature_file(out, job.videos(), provenance=provenance, annotations_text=text)
    return job.summary


def _open_streams(
    stack: ExitStack, source: Path, flow: Path | None, settings: ImportSettings, known: set[str]
) -> tuple[dict[str, list[Entry]], ImportSettings, list[str]]:
    """Open the places of one or two streams, and find out whether one place holds two.

    Returns:
        The arrays by stream, the settings with the suffixes that tell streams of one place apart,
        and what was found out, in words.
    """
    if not flow and settings.names_one_stream and (folders := stream_folders(source)):
        source, flow = folders["rgb"], folders["flow"]
        notes = [f"two streams: rgb in {source}, flow in {flow}"]
    else:
        notes = []
    opened = {"rgb": stack.enter_context(open_source(source, settings, flow))}
    if settings.flow_key:
        of_flow = settings.changed(key=settings.flow_key)
        opened["flow"] = stack.enter_context(open_source(flow or source, of_flow))
    elif flow:
        opened["flow"] = stack.enter_context(open_source(flow, settings))
    else:
        named = with_suffixes(settings, [entry.stem for entry in opened["rgb"]], known)
        if named.flow_suffix:
            opened["flow"] = opened["rgb"]
        if named != settings:
            notes.append(
                f"two streams in {source}: names that end in {named.rgb_suffix!r} are rgb, in "
                f"{named.flow_suffix!r} flow (--rgb-suffix, --flow-suffix)"
            )
        settings = named
    return opened, settings, notes


class _Import:
    """An import under way, and its summary.

    Raises:
        InputError: no array belongs to a known video, no video has a place in time, or it cannot
            be told which axis of the arrays is time.
    """

    def __init__(
        self, source: Path, out: Path, settings: ImportSettings, streams: Streams, facts: FactBook
    ) -> None:
        self._source, self._settings, self._streams, self._facts = source, settings, streams, facts
        self.summary = ImportSummary(
            out,
            missing=sorted(facts.annotated - set(streams.found)),
            failed=dict(streams.problems),
            others=streams.others,
        )
        self._check_names()
        self._check_times()
        self.summary.transposed = streams.find_axes(self._expected_rows)

    def videos(self) -> Iterator[VideoFeatures]:
        """Yield the videos that can be read, and account for all.

        Raises:
            InputError: there is none.
        """
        summary, annotated = self.summary, self._facts.annotated
        for video_id in counted(self._streams.ids, "import"):
            try:
                video = self._video(video_id)
            except InputError as e:
                if isinstance(e, UnknownTimes) and video_id not in annotated:
                    summary.skipped.append(video_id)
                else:
                    named = video_id in str(e)
                    summary.failed[video_id] = str(e) if named else f"{video_id}: {e}"
                continue
            (summary.matched if video_id in annotated else summary.unlabelled).append(video_id)
            yield video
        if not (summary.matched or summary.unlabelled):
            raise self._nothing(next(iter(summary.failed.values())))

    def _video(self, video_id: str) -> VideoFeatures:
        facts = self._facts.of(video_id)
        clock(self._settings, facts)  # raises before the reading, which takes long
        rows, uneven = self._streams.rows(video_id)
        count = len(rows["rgb"])
        axis = clock(self._settings, facts, count)
        source = self._streams.entries["rgb"][video_id]
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
            {"source": source.stem, **({"fps": axis.fps} if axis.fps else {})},
        )

    def _check_names(self) -> None:
        """Refuse at once what matches nothing: a prefix forgotten, or another data set."""
        found, annotated = self._streams.found, self._facts.annotated
        if found and (not annotated or annotated & set(found)):
            if not self._streams.ids:
                raise self._nothing(next(iter(self.summary.failed.values())))
            return
        such = f" such as {found[0]!r}" if found else ""
        wanted = f" such as {min(annotated)!r}" if annotated else ""
        raise self._nothing(
            f"the names of the arrays{such} are not those of videos{wanted}; --prefix and "
            "--suffix say what stands around the id, --rgb-suffix and --flow-suffix tell two "
            "streams in one folder apart"
        )

    def _check_times(self) -> None:
        """Refuse at once what no video has: a frame rate forgotten, not a video damaged."""
        wanted = [v for v in self._streams.ids if v in self._facts.annotated] or self._streams.ids
        reason = None
        for video_id in wanted:
            try:
                clock(self._settings, self._facts.of(video_id))
                return
            except UnknownTimes as e:
                reason = reason or e
            except InputError:
                return  # that one fails by its own name
        raise self._nothing(f"{wanted[0]} and all others have {reason}")

    def _expected_rows(self, video_id: str) -> float | None:
        with suppress(InputError):  # that one fails by its own name
            facts = self._facts.of(video_id)
            if facts.duration_sec and not self._settings.spread:
                return clock(self._settings, facts).rows_in(facts.duration_sec)
        return None

    def _nothing(self, reason: str) -> InputError:
        return InputError(f"{self._source}: no video can be imported: {reason}")
