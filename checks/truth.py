"""Annotations in, cases out: entries that every command refuses, and faults that none does.

Segments labelled `Ambiguous`, which is never a class, are not looked at.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from ..errors import InputError, quantity
from ..evaluation.segment_f1 import is_ignored
from ..formats.annotations import (
    AMBIGUOUS,
    AnnotatedVideo,
    Annotations,
    Instance,
    read_annotations,
)
from ..formats.json_values import Problem, repeated_keys
from ..formats.labels.find import ACTIVITYNET, DETECTIONS, keys_that_repeat
from ..formats.labels.record import Labels
from ..formats.names import as_spelled
from ..formats.subsets import Subsets, choose_subsets
from .findings import Case

# An instance may run past its video by that much: by the rounding of times, and so little of its
# length that no tIoU threshold notices.
TOLERANCE_SEC, TOLERANCE_SHARE = 0.1, 0.01
NEAR_TIOU = 0.95
SUBSET_NAMES = ("training", "train", "validation", "val", "testing", "test")  # `choose_subsets`


def read_leniently(text: str, *, source: str) -> tuple[Annotations, list[Case]]:
    """Return the annotations that can be read, and a case for everything that cannot.

    Raises:
        InputError: nothing can be read: not JSON, or not of ActivityNet's form.
    """
    truth, problems = read_annotations(text, source=source)
    return truth, _refused(problems, repeated_keys(text))


def truth_of(labels: Labels, path: Path) -> tuple[Annotations, list[Case], str]:
    """Return the annotations among labels, a case for every entry that could not be read, and in
    words which form they have where it is another program's.

    Args:
        path: where they were read from.
    Raises:
        InputError: these are detections.
    """
    if labels.form == DETECTIONS:
        raise InputError(f"{path}: has no 'database', but detections; annotations are needed")
    truth = labels.annotations(str(path))
    words = "" if labels.form == ACTIVITYNET else "; ".join([labels.words, *labels.remarks])
    return truth, _refused(labels.problems, keys_that_repeat(path)), words


def _refused(problems: Iterable[Problem], repeated: Iterable[str]) -> list[Case]:
    refused = [Case("refused", problem.says, problem.video_id) for problem in problems]
    return refused + [Case("repeated-key", repr(key)) for key in repeated]


def actions(video: AnnotatedVideo) -> list[Instance]:
    """Return the instances of a video that are of a class."""
    return [i for i in video.instances if i.label != AMBIGUOUS]


def in_words(instance: Instance) -> str:
    """Return an instance for a message."""
    return f"{instance.label} {instance.start_sec:.6g}-{instance.end_sec:.6g} s"


def check_instances(
    videos: Iterable[AnnotatedVideo], *, durations: Mapping[str, float]
) -> Iterator[Case]:
    """Yield the faults of single videos and of their instances.

    Args:
        durations: in seconds, where features tell it; for videos whose annotations do not.
    """
    for video in videos:
        end = video.duration_sec
        if end is None:
            yield Case("no-duration", f"subset {video.subset!r}", video.video_id)
            end = durations.get(video.video_id)
        elif end <= 0:
            yield Case("bad-duration", f"{end:g} s", video.video_id)
            end = None
        if not actions(video):
            yield Case("no-action", f"subset {video.subset!r}", video.video_id)
        for instance in actions(video):
            for kind, says in _misplaced(instance, end):
                yield Case(kind, f"{in_words(instance)} {says}", video.video_id)
            if is_ignored(instance, video):
                yield Case("ignored-action", in_words(instance), video.video_id)
        for start, _ in video.ignored:
            if end is not None and start > end + max(TOLERANCE_SEC, TOLERANCE_SHARE * end):
                says = f"one begins or ends at {start:.6g} s, the video ends at {end:.6g} s"
                yield Case("stretch-beyond-end", says, video.video_id)
        yield from _duplicates(video)


def check_subsets(videos: Collection[AnnotatedVideo], named: Subsets) -> Iterator[Case]:
    """Yield the faults of subset names.

    Args:
        videos: those that could be used: of a feature file, those that have features.
        named: the roles as the user names them; empty names are found by name.
    """
    annotated = Counter(v.subset for v in videos if v.instances)
    if set(annotated) == {""} and named == Subsets("", "", ""):
        yield Case("no-subset", f"{quantity(annotated.total(), 'video')} with actions")
        return
    given = {named.train, named.validation, named.test}
    misspelt = set()
    there = {v.subset for v in videos}
    for name in sorted(there - given - {as_spelled(n, there) for n in SUBSET_NAMES}):
        plain = name.strip().casefold()
        for near in difflib.get_close_matches(plain, SUBSET_NAMES, n=1, cutoff=0.75):
            misspelt.add(name)
            says = f"{name!r}: is {near!r} meant? ({quantity(annotated[name], 'video')})"
            yield Case("subset-spelling", says)
    roles = _roles(annotated, named)
    if isinstance(roles, str):
        if len(annotated) == 1 and not misspelt:
            yield Case(
                "one-subset", f"{next(iter(annotated))!r} ({quantity(annotated.total(), 'video')})"
            )
        else:
            yield Case("subset-roles", roles)
        return
    used = {roles.train, roles.validation, roles.test, *misspelt}
    groups: dict[str, set[str]] = defaultdict(set)
    for video in videos:
        groups[video.group].add(video.subset)
    measured = {roles.validation, roles.test} - {roles.train}
    for group, subsets in groups.items():
        if group and roles.train in subsets and subsets & measured:
            yield Case("divided-group", f"{group!r}: in {', '.join(map(repr, sorted(subsets)))}")
    for name in annotated:
        if name not in used:
            yield Case(
                "unused-subset", f"{name!r} ({quantity(annotated[name], 'video')} with actions)"
            )


def check_labels(videos: Collection[AnnotatedVideo], named: Subsets) -> Iterator[Case]:
    """Yield the faults of labels: of their spelling, and of the subsets in which they occur."""
    by_label: dict[str, Counter[str]] = defaultdict(Counter)
    for video in videos:
        for instance in actions(video):
            by_label[instance.label][video.subset] += 1
    yield from _spellings({label: counts.total() for label, counts in by_label.items()})
    roles = _roles(Counter(v.subset for v in videos if v.instances), named)
    held_out = set() if isinstance(roles, str) else {roles.validation, roles.test}
    several = len({subset for counts in by_label.values() for subset in counts}) > 1
    for label, counts in sorted(by_label.items()):
        where = ", ".join(f"{n} in {subset!r}" for subset, n in counts.items())
        if not isinstance(roles, str) and held_out & set(counts) and not counts[roles.train]:
            yield Case("untrained-label", f"{label!r}: {where}, none in {roles.train!r}")
        elif several and len(counts) == 1:
            yield Case("lone-label", f"{label!r}: {where} only")


def _misplaced(instance: Instance, end: float | None) -> Iterator[tuple[str, str]]:
    """Yield the kinds and words of an instance's faults in a video that lasts until `end`."""
    length = instance.end_sec - instance.start_sec
    allowed = max(TOLERANCE_SEC, TOLERANCE_SHARE * length)
    if length == 0:
        yield "no-length", "has no length"
    if instance.start_sec < -allowed:
        yield "before-start", f"starts {-instance.start_sec:.6g} s before the video"
    past = instance.end_sec - end if end is not None else 0.0
    if past > allowed + 1e-6:
        kind = "beyond-end" if end is not None and instance.start_sec >= end else "past-end"
        yield kind, f"ends {past:.6g} s after the end of the video at {end:.6g} s"


def _duplicates(video: AnnotatedVideo) -> Iterator[Case]:
    by_label: dict[str, Counter[Instance]] = defaultdict(Counter)
    for instance in actions(video):
        by_label[instance.label][instance] += 1
    for copies in by_label.values():
        for instance, n in copies.items():
            if n > 1:
                yield Case("duplicate", f"{in_words(instance)}, {n} times", video.video_id)
        for a, b in _near(copies):
            says = f"{in_words(a)} and {b.start_sec:.6g}-{b.end_sec:.6g} s"
            yield Case("near-duplicate", says, video.video_id)


def _near(instances: Iterable[Instance]) -> Iterator[tuple[Instance, Instance]]:
    """Yield the pairs of different instances that cover nearly the same time."""
    ordered = sorted(instances, key=lambda i: i.start_sec)
    for n, a in enumerate(ordered):
        for b in ordered[n + 1 :]:
            if b.start_sec >= a.end_sec:
                break
            shared = min(a.end_sec, b.end_sec) - b.start_sec
            if shared >= NEAR_TIOU * (max(a.end_sec, b.end_sec) - a.start_sec):
                yield a, b


def _spellings(counts: Mapping[str, int]) -> Iterator[Case]:
    """Yield the labels that differ by case, spaces, hyphens or underscores alone."""
    alike: dict[str, list[str]] = defaultdict(list)
    for label in sorted({*counts, AMBIGUOUS}):
        plain = unicodedata.normalize("NFKC", label).casefold()
        alike[re.sub(r"[\s_\u200b\ufeff-]+", "", plain)].append(label)
    for labels in alike.values():
        if len(labels) > 1:
            said = (f"{label!r} ({counts.get(label, 'never a class')})" for label in labels)
            yield Case("label-spelling", ", ".join(said))


def _roles(annotated: Mapping[str, int], named: Subsets) -> Subsets | str:
    """Return the roles of the subsets, or the reason why they cannot be told."""
    try:
        return choose_subsets(annotated, **vars(named))
    except InputError as e:
        return str(e)
