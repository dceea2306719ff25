"""ActivityNet-style JSON in, typed records out: the ground truth; and records of detections.

Only this module knows the keys of our annotation files (`predictions` those of detections):

    {"database": {ID: {"subset": S, "duration": SEC,
                       "annotations": [{"label": L, "segment": [START, END]}],
                       "annotated": [[START, END]], "ignore": [[START, END]],
                       "group": G}}}                                        (ours, optional)
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError, listed, quantity, shown
from ..segments import united
from .json_values import (
    Problem,
    by_video,
    finite_number,
    labelled_segment,
    member,
    parse_json,
    readable_entries,
)
from .names import as_spelled, nfc

FOREVER_SEC = 1e9  # the end of a stretch that goes on to the end of the video
AMBIGUOUS = "Ambiguous"  # THUMOS14's mark for stretches nobody could label; never a class


@dataclass(frozen=True)
class Instance:
    """One annotated action: what, from when to when (seconds)."""

    label: str
    start_sec: float
    end_sec: float


@dataclass(frozen=True)
class Detection:
    """One found action: what, from when to when (seconds), and how sure (higher is surer)."""

    label: str
    start_sec: float
    end_sec: float
    score: float


@dataclass(frozen=True)
class ActionnessCurve:
    """How sure the head is, from 0 to 1, that any action goes on: value `t` is that of the
    instant `start_sec + t * step_sec`."""

    start_sec: float
    step_sec: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class VideoDetections:
    """One video's detections, best first, and the actionness of all of its feature rows."""

    detections: list[Detection]
    actionness: ActionnessCurve


@dataclass(frozen=True)
class AnnotatedVideo:
    """One video's ground truth; `duration_sec` is None where the file does not say.

    ignored: stretches that count neither way, (start, end) in seconds: what the file says to
        ignore, and what lies outside of what it says was annotated.
    group: what it shares with other videos (person, day, camera); empty where the file says none.
    """

    video_id: str
    subset: str
    duration_sec: float | None
    instances: tuple[Instance, ...]
    ignored: tuple[tuple[float, float], ...] = ()
    group: str = ""


@dataclass(frozen=True)
class Annotations:
    """The ground truth of a data set, in the file's order.

    text: as ActivityNet-style JSON: what it came from, or was made into.
    form: the form that it was made from, in words; empty where `text` is what `source` holds.
    """

    videos: Mapping[str, AnnotatedVideo]
    text: str = field(repr=False)
    source: str
    form: str = ""

    @property
    def without_subsets(self) -> bool:
        """Whether there are videos, and none of them is in a subset that has a name."""
        return bool(self.videos) and not any(v.subset for v in self.videos.values())

    def subset_counts(self) -> dict[str, int]:
        """Return the number of videos of each subset, the largest first."""
        return dict(Counter(v.subset for v in self.videos.values()).most_common())

    def subset(self, name: str) -> dict[str, AnnotatedVideo]:
        """Return the videos of subset `name`, in any capitals, in the file's order.

        Raises:
            InputError: no video is in that subset; the message lists the subsets there are.
        """
        wanted = as_spelled(nfc(name), self.subset_counts())
        chosen = {k: v for k, v in self.videos.items() if v.subset == wanted}
        if not chosen:
            counts = self.subset_counts().items()
            there = listed(f"{s or 'no subset'} ({quantity(n, 'video')})" for s, n in counts)
            raise InputError(
                f"{self.source}: no video is in subset {shown(name)}; there are: {there}"
            )
        return chosen


def class_labels(videos: Iterable[AnnotatedVideo]) -> list[str]:
    """Return the sorted labels that occur in `videos`, without `Ambiguous`."""
    return sorted({i.label for v in videos for i in v.instances} - {AMBIGUOUS})


def all_labels(first: Sequence[str], truth: Annotations | None) -> list[str]:
    """Return the labels of a run, then those that only the annotations have: sorted, each once.

    One list for a run, so that a class has the same colour wherever it is drawn.
    """
    others = set(class_labels(truth.videos.values())) - set(first) if truth else set()
    return [*first, *sorted(others)]


def parse_annotations(text: str, *, source: str) -> Annotations:
    """Return the records in ActivityNet-style JSON.

    Args:
        source: where it came from, for messages.
    Raises:
        InputError: not JSON, not of this form, or a segment that is not finite or ends before
            it starts; the message names the video and the entry. A segment of no length, one
            that runs past the end of its video, and videos without annotations are accepted.
    """
    truth, problems = read_annotations(text, source=source)
    if problems:
        raise InputError(f"{source}: {problems[0]}")
    return truth


def read_annotations(text: str, *, source: str) -> tuple[Annotations, list[Problem]]:
    """Return the annotations that can be read, and what is wrong with the others.

    Raises:
        InputError: nothing can be read: not JSON, or not of this form.
    """
    problems: list[Problem] = []
    database = by_video(parse_json(text, source), "database", source, problems)
    # A file may leave subsets out, but not for some videos only: these would be used for nothing.
    subsets = any(isinstance(raw, dict) and raw.get("subset") for raw in database.values())
    videos = {
        video_id: _video(video_id, raw, problems, subsets=subsets)
        for video_id, raw in database.items()
    }
    return Annotations(videos, text, source), problems


def annotations_json(videos: Iterable[AnnotatedVideo]) -> str:
    """Return ground truth as ActivityNet-style JSON, which `parse_annotations` reads back."""
    database = {
        video.video_id: {
            "subset": video.subset,
            **({} if video.duration_sec is None else {"duration": video.duration_sec}),
            **({"ignore": [list(s) for s in video.ignored]} if video.ignored else {}),
            **({"group": video.group} if video.group else {}),
            "annotations": [
                {"label": i.label, "segment": [i.start_sec, i.end_sec]} for i in video.instances
            ],
        }
        for video in videos
    }
    return json.dumps({"database": database}, indent=1)


def _video(video_id: str, raw: Any, problems: list[Problem], *, subsets: bool) -> AnnotatedVideo:
    """Return one video without what cannot be read of it."""
    subset, duration, group = "", None, ""
    try:
        if subsets or not isinstance(raw, dict) or raw.get("subset") is not None:
            subset = member(raw, "subset", str)
        if raw.get("duration") is not None:
            duration = finite_number(raw["duration"], "duration")
        if raw.get("group") is not None:
            group = _group(raw)
    except InputError as e:
        problems.append(Problem(video_id, str(e)))
    annotations = raw.get("annotations") if isinstance(raw, dict) else None
    instances = readable_entries(
        annotations or [], lambda entry: Instance(*labelled_segment(entry)), video_id, problems
    )
    ignored = _ignored(raw, video_id, problems)
    return AnnotatedVideo(video_id, subset, duration, tuple(instances), ignored, group)


def _group(raw: Mapping[str, Any]) -> str:
    """Return a video's group as text; a whole number is one, too."""
    return str(raw["group"]) if type(raw["group"]) is int else member(raw, "group", str)


def _ignored(raw: Any, video_id: str, problems: list[Problem]) -> tuple[tuple[float, float], ...]:
    """Return the stretches of a video that count neither way."""
    if not isinstance(raw, dict):
        return ()

    def stretches(key: str) -> list[tuple[float, float]]:
        said = [] if raw.get(key) is None else raw[key]
        return readable_entries(said, _stretch, video_id, problems, stretches=key)

    ignored = stretches("ignore")
    if raw.get("annotated") is not None:
        before = 0.0
        for start, end in sorted(stretches("annotated")):
            if start > before:
                ignored.append((before, start))
            before = max(before, end)
        ignored.append((before, FOREVER_SEC))
    return united(ignored)


def _stretch(raw: Any) -> tuple[float, float]:
    if not isinstance(raw, list) or len(raw) != 2:
        raise InputError(f"[start, end] in seconds is needed, not {shown(raw)}")
    start, end = finite_number(raw[0], "start"), finite_number(raw[1], "end")
    if end < start:
        raise InputError(f"the stretch ends ({end} s) before it starts ({start} s)")
    return start, end
