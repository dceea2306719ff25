"""Faults of feature files: rows that hold nothing, and times that cannot be those of the video."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from statistics import median

import numpy as np

from ..errors import InputError
from ..formats.annotations import AnnotatedVideo
from ..formats.features import FeatureFile, TimeAxis, VideoFeatures
from .findings import NO_ANNOTATIONS, Case
from .truth import actions, in_words

SLACK_STEPS = 2  # by which rows may miss a stated duration
RATIO = 0.03  # by which rows may miss it before the clock is in doubt
MOST = 0.5  # share of frozen rows, and of videos stretched alike, that is worth a word
MANY_SHORT = 0.05  # share of instances shorter than a step that is more than a curiosity
VIDEO_ENDINGS = (".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg")


def usable_axes(file: FeatureFile) -> tuple[dict[str, TimeAxis], list[Case]]:
    """Return the time axes of the videos that have rows, and a case for every other video."""
    axes, cases = {}, []
    for video_id in file.video_ids:
        try:
            axis = file.time_axis(video_id)
        except InputError as e:
            cases.append(Case("unreadable", _reason(e, file, video_id), video_id))
            continue
        if axis.num_steps:
            axes[video_id] = axis
        else:
            cases.append(Case("unreadable", "has no rows", video_id))
    return axes, cases


def check_ids(there: Collection[str], truth: Mapping[str, AnnotatedVideo]) -> Iterator[Case]:
    """Yield the videos that have features or annotations, but not both.

    Args:
        there: the ids of the videos that have features.
    """
    unmatched = [v for v in there if v not in truth]
    if len(unmatched) == len(there) and truth:
        first = f"{unmatched[0]!r} has features" if unmatched else "no video has features"
        yield Case("no-match", f"{first}, {next(iter(truth))!r} has annotations")
    like = {_bare(k): k for k in truth if k not in there}
    for video_id in unmatched:
        near = like.get(_bare(video_id))
        says = f"annotated under the id {near!r}?" if near else "not in the annotations"
        yield Case(NO_ANNOTATIONS, says, video_id)
    for video_id, video in truth.items():
        if video_id not in there and actions(video):
            yield Case("missing-features", f"subset {video.subset!r}", video_id)


def check_times(
    axes: Mapping[str, TimeAxis], truth: Mapping[str, AnnotatedVideo]
) -> Iterator[Case]:
    """Yield the videos whose rows cover another time than is said, or not their instances."""
    off = []
    for video_id, axis in axes.items():
        if mismatch := _mismatch(video_id, axis, truth.get(video_id)):
            case, ratio = mismatch
            yield case
            off += [ratio] if case.kind == "wrong-duration" else []
    if len(off) > max(1, MOST * len(axes)):
        ratio = median(off)
        alike = sum(abs(r / ratio - 1) <= RATIO for r in off)
        if alike > MOST * len(axes):
            says = f"rows cover {ratio:.3f} times what is said, in {alike} of {len(axes)} videos"
            yield Case("wrong-fps", says)
    yield from _instances_on_rows(axes, truth)


def check_rows(file: FeatureFile, video_ids: Collection[str]) -> Iterator[Case]:
    """Yield the faults of the rows themselves, reading one video at a time."""
    streams: dict[str, tuple[str, ...]] = {}
    widths: dict[str, dict[str, int]] = defaultdict(dict)
    used: dict[str, np.ndarray] = {}
    copies: dict[bytes, list[str]] = defaultdict(list)
    for video_id in video_ids:
        try:
            video = file.video(video_id)
        except InputError as e:
            yield Case("unreadable", _reason(e, file, video_id), video_id)
            continue
        for stream, rows in video.streams.items():
            yield from _row_faults(video, stream, rows)
            widths[stream][video_id] = rows.shape[1]
            columns = (_bits(rows) != 0).any(axis=0)
            before = used.setdefault(stream, columns)
            if len(before) == len(columns):
                used[stream] = before | columns
        streams[video_id] = tuple(video.streams)
        if any((rows != rows[0]).any() for rows in video.streams.values()):
            copies[_digest(video)].append(video_id)
    # What the videos lack is known when all were read.
    for video_id, own in streams.items():
        if lacks := [s for s in sorted(widths) if s not in own]:
            yield Case("streams", f"has no {', '.join(lacks)}", video_id)
    for stream, of_videos in widths.items():
        usual = Counter(of_videos.values()).most_common(1)[0][0]
        for video_id, width in of_videos.items():
            if width != usual:
                yield Case("widths", f"{stream} is {width} wide, not {usual}", video_id)
    for first, *others in copies.values():
        yield from (Case("copied", f"has the rows of {first}", other) for other in others)
    for stream, columns in used.items():
        if not columns.all():
            yield Case("dead-columns", f"{stream}: {(~columns).sum()} of {len(columns)} columns")


def _mismatch(
    video_id: str, axis: TimeAxis, annotated: AnnotatedVideo | None
) -> tuple[Case, float] | None:
    """Return the worse disagreement of the time that rows cover with a stated duration, and the
    ratio of the two; None where they agree with the file's own duration and the annotations'.

    The last row stands for half a step after it, or for as long as passes before the first row:
    features of long clips start half a clip late, and end as early.
    """
    last = axis.start_sec + (axis.num_steps - 1) * axis.step_sec
    least, most = last + axis.step_sec / 2, last + max(axis.start_sec, axis.step_sec / 2)
    said = {"its duration_sec": axis.duration_sec}
    if annotated and annotated.duration_sec is not None and annotated.duration_sec > 0:
        said["the annotations"] = annotated.duration_sec
    covered = {who: min(max(sec, least), most) for who, sec in said.items()}
    who = max(said, key=lambda w: abs(covered[w] - said[w]))
    off = abs(covered[who] - said[who])
    if off <= SLACK_STEPS * axis.step_sec + 1e-6:
        return None
    ratio = covered[who] / said[who] if said[who] > 0 else float("inf")
    rounded = who == "the annotations" and said[who].is_integer() and off <= 1
    doubt = "rounded-duration" if rounded else "duration"
    kind = "wrong-duration" if abs(ratio - 1) > RATIO and not rounded else doubt
    says = f"rows cover {covered[who]:.6g} s, {who} say{'s' * (who[0] == 'i')} {said[who]:.6g} s"
    return Case(kind, f"{says} (ratio {ratio:.3f})", video_id), ratio


def _instances_on_rows(
    axes: Mapping[str, TimeAxis], truth: Mapping[str, AnnotatedVideo]
) -> Iterator[Case]:
    """Yield the instances that rows do not describe, or not whole, and those shorter than a step.

    What misses little is let pass, see `segments.are_cut`.
    """
    short, total = [], 0
    for video_id, axis in axes.items():
        if video_id not in truth:
            continue
        first = axis.start_sec - axis.step_sec / 2
        end = first + axis.num_steps * axis.step_sec
        said = truth[video_id].duration_sec or axis.duration_sec
        for instance in actions(truth[video_id]):
            total += 1
            length = instance.end_sec - instance.start_sec
            if 0 < length < axis.step_sec * (1 - 1e-6):
                short.append((video_id, f"{in_words(instance)}, a step is {axis.step_sec:g} s"))
            inside = instance.start_sec < said and length > 0  # else there is another finding
            if inside and (instance.start_sec >= end or instance.end_sec <= first):
                says = f"{in_words(instance)}, rows from {first:.6g} to {end:.6g} s"
                yield Case("no-rows", says, video_id)
            elif inside:
                # What is outside of the video is another finding.
                own = max(instance.start_sec, 0), min(instance.end_sec, said)
                if axis.cuts(np.array([own]))[0]:
                    says = f"{in_words(instance)}, rows from {first:.6g} to {end:.6g} s"
                    yield Case("part-rows", says, video_id)
    kind = "many-short" if len(short) > MANY_SHORT * total else "short"
    yield from (Case(kind, says, video_id) for video_id, says in short)


def _row_faults(video: VideoFeatures, stream: str, rows: np.ndarray) -> Iterator[Case]:
    """Yield the faults of one stream of one video, (T, D)."""
    broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if broken.size:
        yield Case("not-finite", _where(video, stream, broken), video.video_id)
    zero = np.flatnonzero(~(rows != 0).any(axis=1))
    if zero.size:
        yield Case("zero-rows", _where(video, stream, zero), video.video_id)
    if len(rows) < 2 or zero.size == len(rows):
        return
    bits = _bits(rows)
    still = float((bits[1:] == bits[:-1]).all(axis=1).mean())
    if still == 1:
        yield Case("constant", f"{stream}: all {len(rows)} rows", video.video_id)
    elif still > MOST:
        yield Case("frozen", f"{stream}: {100 * still:.0f} % of the rows", video.video_id)


def _where(video: VideoFeatures, stream: str, rows: np.ndarray) -> str:
    """Return the number of some rows of a stream, and the time of the first."""
    first = video.start_sec + int(rows[0]) * video.step_sec
    total = len(video.streams[stream])
    return f"{stream}: {len(rows)} of {total} rows, the first at {first:.6g} s"


def _digest(video: VideoFeatures) -> bytes:
    digest = hashlib.sha1(usedforsecurity=False)
    for rows in video.streams.values():
        digest.update(np.ascontiguousarray(rows).data)
    return digest.digest()


def _bits(rows: np.ndarray) -> np.ndarray:
    """Return the values as unsigned integers: comparing half floats takes ten times as long."""
    return np.ascontiguousarray(rows).view(f"u{rows.dtype.itemsize}")


def _bare(video_id: str) -> str:
    """Return an id without what collections add to it: `v_` before it, a file's ending after it."""
    bare = video_id.casefold().removeprefix("v_")
    ending = next((e for e in VIDEO_ENDINGS if bare.endswith(e)), "")
    return bare.removesuffix(ending)


def _reason(error: Exception, file: FeatureFile, video_id: str) -> str:
    return str(error).removeprefix(f"{file.path}: {video_id}: ")
