"""Detections of any program in, cases out: what an evaluation would leave out, or misunderstand.

`usable_predictions` is what `evaluate --predictions` measures; `check_predictions` finds more, and
nothing is refused.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..errors import InputError, quantity
from ..evaluation.time_scale import likely_scale
from ..formats.annotations import (
    AMBIGUOUS,
    AnnotatedVideo,
    Annotations,
    Detection,
    class_labels,
)
from ..formats.json_values import Problem
from ..formats.labels.detections import load_detections
from ..formats.labels.find import AS_IT_IS, HowToRead
from .findings import Case
from .truth import TOLERANCE_SEC

NAMED = 3  # entries in a note; the rest are counted

Found = Mapping[str, Sequence[Detection]]


def usable_predictions(
    path: str | Path, truth: Annotations, *, strict: bool, how: HowToRead = AS_IT_IS
) -> tuple[dict[str, list[Detection]], list[str]]:
    """Return the detections that can be measured, and a note on each kind that was left out.

    Args:
        truth: all annotations, whose videos are those that detections can be about.
        strict: refuse a file with anything that would be left out.
        how: what the user says of how it is to be read.
    Raises:
        InputError: nothing can be read, or nothing has a score; with `strict`, an entry that
            cannot be read or a video that the annotations do not have.
    """
    read = load_detections(path, how)
    found, problems = read.videos, read.problems
    unknown = [v for v in found if v not in truth.videos]
    if strict and problems:
        more = f"; and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise InputError(f"{path}: {problems[0]}{more}")
    if strict and unknown:
        raise InputError(f"{path}: {truth.source} has no {_videos(unknown)}; correct the ids")
    notes = []
    if problems:
        entries = quantity(len(problems), "entry", "entries")
        notes.append(f"{entries} of {path} that cannot be read left out: {_some(problems)}")
    if unknown:
        notes.append(f"{truth.source} has no {_videos(unknown)}; their detections are left out")
    return {v: d for v, d in found.items() if v in truth.videos}, notes


def check_predictions(
    found: Found,
    problems: Sequence[Problem],
    truth: Annotations | None,
    subset: Mapping[str, AnnotatedVideo],
) -> Iterator[Case]:
    """Yield the faults of detections.

    Args:
        truth: None where there are no annotations to compare with.
        subset: the videos that would be measured; empty where that is not known.
    """
    for problem in problems:
        yield Case("refused-detection", problem.says, problem.video_id)
    if not any(found.values()):
        yield Case("empty", "no detection at all")
        return
    for video_id, detections in found.items():
        known = truth.videos.get(video_id) if truth else None
        end = known.duration_sec if known else None
        for kind, says in _of_video(detections, end):
            yield Case(kind, says, video_id)
    scores = {d.score for detections in found.values() for d in detections}
    if len(scores) == 1 and sum(map(len, found.values())) > 1:
        yield Case("one-score", f"{next(iter(scores)):g}")
    if truth is None:
        yield Case("not-compared", "no annotations were given")
        return
    yield from _unknown(found, truth)
    if subset:
        yield from _silent(found, subset)
    if scale := likely_scale(truth.videos, found):
        yield Case("time-scale", str(scale))


def _of_video(detections: Sequence[Detection], end: float | None) -> Iterator[tuple[str, str]]:
    """Yield the kinds and words of the faults of one video's detections."""
    segments = Counter((d.label, d.start_sec, d.end_sec) for d in detections)
    number = len(detections)
    if copies := segments.total() - len(segments):
        (label, start, stop), _ = segments.most_common(1)[0]
        yield "repeated-detection", f"{copies} of {number}, such as {label} {start:g}-{stop:g} s"
    outside = [d.score for d in detections if not 0 <= d.score <= 1]
    if outside:
        spread = f"from {min(outside):g} to {max(outside):g}"
        yield "score-range", f"{len(outside)} of {number}, {spread}"
    if empty := sum(d.start_sec == d.end_sec for d in detections):
        yield "empty-detection", f"{empty} of {number}"
    if early := sum(d.start_sec < -TOLERANCE_SEC for d in detections):
        yield "outside-video", f"{early} of {number} start before 0 s"
    if end is not None:
        late = [d.end_sec for d in detections if d.end_sec > end + TOLERANCE_SEC]
        if late:
            says = f"{len(late)} of {number} end after {end:g} s, the last at {max(late):g} s"
            yield "outside-video", says


def _unknown(found: Found, truth: Annotations) -> Iterator[Case]:
    """Yield the videos and labels that the annotations do not have."""
    for video_id in found:
        if video_id not in truth.videos:
            near = difflib.get_close_matches(video_id, truth.videos, n=1, cutoff=0.8)
            says = quantity(len(found[video_id]), "detection") + (
                f"; is it {near[0]!r}?" if near else ""
            )
            yield Case("unknown-video", says, video_id)
    counts = Counter(d.label for detections in found.values() for d in detections)
    labels = {label.casefold(): label for label in class_labels(truth.videos.values())}
    for label, number in sorted(counts.items()):
        if label not in labels.values() and label != AMBIGUOUS:
            near = difflib.get_close_matches(label.casefold(), labels, n=1, cutoff=0.75)
            also = f"; is it {labels[near[0]]!r}?" if near else ""
            yield Case("unknown-label", f"{label!r} ({quantity(number, 'detection')}){also}")


def _silent(found: Found, subset: Mapping[str, AnnotatedVideo]) -> Iterator[Case]:
    """Yield the videos and labels of the subset that no detection is about."""
    for video_id, video in subset.items():
        if video.instances and not found.get(video_id):
            says = f"{quantity(len(video.instances), 'instance')} in subset {video.subset!r}"
            yield Case("no-detections", says, video_id)
    there = {d.label for v in subset for d in found.get(v, ())}
    for label in class_labels(subset.values()):
        if label not in there:
            yield Case("undetected-label", repr(label))


def _videos(unknown: Sequence[str]) -> str:
    return f"{quantity(len(unknown), 'video')} of the detections: {_some(unknown)}"


def _some(items: Sequence[object]) -> str:
    """Return the first few, and how many more there are."""
    more = [f"and {len(items) - NAMED} more"] if len(items) > NAMED else []
    return "; ".join([*map(str, items[:NAMED]), *more])
