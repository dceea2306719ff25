"""What every reader of labels fills and every writer takes: videos with actions, and their clock.

A reader turns one file's text into `Labels`. What it cannot take becomes a problem, which names its
place; what it leaves out, though it is no fault, becomes a remark.
"""

from __future__ import annotations

import bisect
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from ...errors import InputError, shown
from ...segments import united
from ..annotations import (
    ActionnessCurve,
    AnnotatedVideo,
    Annotations,
    Detection,
    Instance,
    annotations_json,
)
from ..json_values import Problem
from ..names import is_text, nfc
from .times import MAX_SEC

Action = Instance | Detection

MAX_ACTIONS = 500_000  # of one file; the largest published set has a third of it
SAME_COUNT = 0.01  # relative difference of two counts of the same pictures
NAMED = 3  # names in a remark; the rest are quantity

ADDRESS = re.compile(r"https?://", re.IGNORECASE)
# What may stand at the end of a name of a video or of its sound.
# fmt: off
MEDIA_ENDINGS = frozenset((
    ".264", ".265", ".266", ".3g2", ".3gp", ".aac", ".aif", ".aiff", ".amv", ".asf", ".avc",
    ".avi", ".avs2", ".avs3", ".dav", ".divx", ".dv", ".dvr-ms", ".f4v", ".flac", ".flv",
    ".gif", ".h261", ".h263", ".h264", ".h265", ".h266", ".h26l", ".hevc", ".insv", ".ivf",
    ".lrv", ".m1v", ".m2t", ".m2ts", ".m2v", ".m4a", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mod",
    ".mov", ".mp3", ".mp4", ".mpeg", ".mpg", ".mpv", ".mts", ".mxf", ".nut", ".obu", ".oga",
    ".ogg", ".ogm", ".ogv", ".opus", ".qt", ".rm", ".rmvb", ".tod", ".trp", ".ts", ".vc1",
    ".vob", ".vvc", ".wav", ".webm", ".wma", ".wmv", ".wtv", ".y4m",
))
# fmt: on


@dataclass(frozen=True)
class VideoLabels:
    """One video's actions, with scores where they are detections.

    subset: empty where the form does not say.
    media: the name of its file, where the form says it.
    ignored, group: see `annotations.AnnotatedVideo`.
    """

    video_id: str
    actions: tuple[Action, ...]
    subset: str = ""
    duration_sec: float | None = None
    media: str = ""
    ignored: tuple[tuple[float, float], ...] = ()
    group: str = ""


@dataclass(frozen=True)
class Labels:
    """The content of a file of labels, or of a folder of such files.

    form: in words, as "BORIS project".
    quantity: how much of it there is, in the form's own words, as "14 observations".
    problems: entries that could not be read.
    remarks: what was left out, and is no fault.
    text: the ActivityNet JSON that it was read from, which may say more; None of other forms.
    curves, classes, thresholds: where a file of detections has them: actionness, all classes in
        the order of their colours, and from which score on detections count.
    """

    form: str
    videos: Mapping[str, VideoLabels]
    quantity: str = ""
    problems: tuple[Problem, ...] = ()
    remarks: tuple[str, ...] = ()
    text: str | None = None
    curves: Mapping[str, ActionnessCurve] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """The form and how much of it there is, for one line."""
        return f"{self.form}, {self.quantity}" if self.quantity else self.form

    @property
    def scored(self) -> bool:
        """Whether these are detections: every action has a score, and there are some."""
        actions = [a for v in self.videos.values() for a in v.actions]
        return bool(actions) and all(isinstance(a, Detection) for a in actions)

    def annotations(self, source: str) -> Annotations:
        """Return the labels as ground truth; scores are left out."""
        videos = {v.video_id: annotated_video(v) for v in self.videos.values()}
        if self.text is not None:
            return Annotations(videos, self.text, source)
        return Annotations(videos, annotations_json(videos.values()), source, self.words)


def annotated_video(video: VideoLabels) -> AnnotatedVideo:
    """Return a video's labels as ground truth; scores are left out."""
    instances = tuple(map(instance_of, video.actions))
    return AnnotatedVideo(
        video.video_id, video.subset, video.duration_sec, instances, video.ignored, video.group
    )


def instance_of(action: Action) -> Instance:
    """Return an action without its score."""
    return Instance(action.label, action.start_sec, action.end_sec)


@dataclass(frozen=True)
class FrameClock:
    """Turns numbers of frames into seconds, and seconds into numbers.

    fps: what the user says; counts before all else.
    pictures: gives the seconds of all pictures of a video, and the end of the last one; None
        where the video is not at hand.
    """

    fps: float | None = None
    pictures: Callable[[str], Sequence[float] | None] = lambda video_id: None

    def seconds(self, video_id: str, frame: float, *, stated_fps: float | None = None) -> float:
        """Return the instant at which a frame begins; the first frame is number 0.

        Args:
            stated_fps: what the file of labels says, used where nothing better is known.
        Raises:
            InputError: no rate is known, or the video has no such frame.
        """
        if not math.isfinite(frame):
            return frame  # told of as an instant that is none
        if self.fps:
            return frame / self.fps
        if times := self.pictures(video_id):
            if frame > len(times) - 1:
                raise InputError(
                    f"frame {frame:g} is after the last of {len(times) - 1} pictures of {video_id}"
                )
            return times[max(int(frame), 0)]
        if stated_fps:
            return frame / stated_fps
        raise InputError(
            "counts in frames, whose rate is not known; turn them into seconds with `tsatal "
            "convert FROM labels.csv --videos VIDEOS`, or with --label-fps N"
        )

    def of_count(self, video_id: str, frames: float | None, stated_fps: float | None) -> FrameClock:
        """Return the clock of a file that says how many frames it counts in a video.

        A tool that counts at a rate of its own has another number than the video has pictures, and
        then its numbers are at that rate.
        """
        times = self.pictures(video_id) if frames and stated_fps and not self.fps else None
        pictures = len(times) - 1 if times else 0
        if times and frames and abs(frames - pictures) > max(2, pictures * SAME_COUNT):
            return FrameClock(stated_fps)
        return self

    def frame(self, video_id: str, seconds: float) -> int:
        """Return the number, from 0, of the frame whose beginning is nearest to an instant.

        Raises:
            InputError: no rate is known.
        """
        if self.fps:
            return max(round(min(seconds, MAX_SEC) * self.fps), 0)
        times = self.pictures(video_id)
        if not times:
            raise InputError(
                f"{video_id}: this form counts in frames; give the videos (--videos VIDEOS), or "
                "frames per second (--label-fps N)"
            )
        after = min(max(bisect.bisect_left(times, seconds), 1), len(times) - 1)
        return after - (seconds - times[after - 1] <= times[after] - seconds)


class Gathering:
    """Collects what a reader finds, checked, video by video in the order of the file."""

    def __init__(self) -> None:
        self._actions: dict[str, list[Action]] = {}
        self._facts: dict[str, tuple[str, float | None, str]] = {}
        self._groups: dict[str, str] = {}
        self._ignored: dict[str, list[tuple[float, float]]] = {}
        self._count = 0
        self.problems: list[Problem] = []
        self.remarks: list[str] = []

    def video(
        self,
        video_id: str,
        *,
        subset: str = "",
        duration_sec: float | None = None,
        media: str = "",
        group: str = "",
    ) -> None:
        """Take down that a video is there, also if it has no action; what is new is added."""
        video_id, subset, group = nfc(video_id), nfc(subset), nfc(group)
        if not video_id or not is_text(video_id):
            self.problem("", f"the name of a video, {video_id!a:.80}, is not valid text")
            return
        self._actions.setdefault(video_id, [])
        was = self._facts.get(video_id, ("", None, ""))
        if duration_sec is not None and not 0 <= duration_sec <= MAX_SEC:
            self.problem(video_id, f"its duration is {duration_sec:g} s")
            duration_sec = None
        if subset and was[0] and subset != was[0]:
            self.problem(video_id, f"is in the subsets {was[0]!r} and {subset!r}")
        if not is_text(subset):
            self.problem(video_id, "the name of its subset is not valid text")
            subset = ""
        if group != (known := self._groups.setdefault(video_id, group)) and group and known:
            self.problem(video_id, f"is in the groups {known!r} and {group!r}")
        elif not is_text(group):
            self.problem(video_id, "the name of its group is not valid text")
        else:
            self._groups[video_id] = known or group
        media = media if is_text(media) else ""
        duration = duration_sec if was[1] is None else was[1]
        self._facts[video_id] = (was[0] or subset, duration, was[2] or media)

    def action(
        self,
        video_id: str,
        label: str,
        start_sec: float,
        end_sec: float,
        *,
        score: float | None = None,
        where: str,
    ) -> None:
        """Take down an action, or a problem where it cannot be one.

        Args:
            where: its place in the file, as "line 7".
        Raises:
            InputError: there are too many.
        """
        self._count += 1
        if self._count > MAX_ACTIONS:
            raise InputError(f"more than {MAX_ACTIONS:,} labels; split the file")
        video_id, label = nfc(video_id), nfc(label)
        self.video(video_id)
        wrong = _problem(label, start_sec, end_sec, score)
        if wrong or video_id not in self._actions:
            self.problem(video_id, f"{where}: {wrong or 'has no video'}")
        elif score is None:
            self._actions[video_id].append(Instance(label, float(start_sec), float(end_sec)))
        else:
            found = Detection(label, float(start_sec), float(end_sec), float(score))
            self._actions[video_id].append(found)

    def ignore(self, video_id: str, start_sec: float, end_sec: float, *, where: str) -> None:
        """Take down a stretch that counts neither way, or a problem where it cannot be one."""
        video_id = nfc(video_id)
        self.video(video_id)
        if wrong := _problem("ignored", start_sec, end_sec, None):
            self.problem(video_id, f"{where}: {wrong}")
        elif video_id in self._actions:
            self._ignored.setdefault(video_id, []).append((float(start_sec), float(end_sec)))

    def problem(self, video_id: str, says: str) -> None:
        """Take down what cannot be read."""
        self.problems.append(Problem(video_id if is_text(video_id) else "", says))

    def labels(self, form: str, quantity: str = "") -> Labels:
        """Return all that was taken down."""
        videos = {
            video_id: VideoLabels(
                video_id,
                tuple(actions),
                *self._facts[video_id],
                ignored=united(self._ignored.get(video_id, ())),
                group=self._groups.get(video_id, ""),
            )
            for video_id, actions in self._actions.items()
        }
        return Labels(form, videos, quantity, tuple(self.problems), tuple(self.remarks))


def _problem(label: str, start_sec: float, end_sec: float, score: float | None) -> str:
    """Return the reason why this is no action; empty where it is one."""
    if not label.strip():
        return "the label is empty"
    if not is_text(label):
        return f"the label {label!a:.80} is not valid text"
    for value, name in ((start_sec, "start"), (end_sec, "end"), (score, "score")):
        if value is not None and not math.isfinite(value):
            return f"the {name} must be a finite number, is {value}"
    if max(abs(start_sec), abs(end_sec)) > MAX_SEC:
        return f"lies beyond {MAX_SEC:g} s"
    if end_sec < start_sec:
        return f"ends ({end_sec:g} s) before it starts ({start_sec:g} s)"
    return ""


def id_of_media(name: str) -> str:
    """Return the id of a video that a tool names by its file, path or address.

    Folders and the ending of a video's or a sound's file are left out; other dots are kept.
    """
    if ADDRESS.match(name := name.strip()):
        name = unquote(name.split("?")[0].split("#")[0])
    last = name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    stem, dot, ending = last.rpartition(".")
    return stem if stem and (dot + ending).lower() in MEDIA_ENDINGS else last


def looks_like_media(name: str) -> bool:
    """Return whether a text ends like the file of a video or a sound."""
    _, dot, ending = name.strip().rpartition(".")
    return (dot + ending).lower() in MEDIA_ENDINGS


def number(value: object, name: str) -> float:
    """Return a number of a JSON file.

    Raises:
        InputError: it is none.
    """
    if type(value) in (int, float):
        return float(value) if abs(value) <= 1e300 else math.inf  # type: ignore[arg-type,operator]
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    raise InputError(f"{name!r} must be a number, is {shown(value)}")


def pair(value: object, name: str) -> tuple[float, float]:
    """Return the two numbers of a JSON list.

    Raises:
        InputError: these are not two numbers.
    """
    if not isinstance(value, list) or len(value) != 2:
        raise InputError(f"{name!r} must be [start, end], is {shown(value)}")
    return number(value[0], name), number(value[1], name)


def finite(value: object) -> float | None:
    """Return a number of a JSON file that may be missing; None where it is none."""
    known = type(value) in (int, float) and abs(value) <= 1e300  # type: ignore[arg-type,operator]
    return float(value) if known else None  # type: ignore[arg-type]


def members(value: object, name: str) -> list[Any]:
    """Return a JSON list; an empty one where there is nothing.

    Raises:
        InputError: it is something else.
    """
    if value is not None and not isinstance(value, list):
        raise InputError(f"{name!r} must be a list, is {shown(value)}")
    return value or []


def listed(names: Iterable[str]) -> str:
    """Return the first of some names in parentheses, for a remark."""
    every = list(dict.fromkeys(names))
    return f"({', '.join(every[:NAMED])}{', ...' if len(every) > NAMED else ''})"


def lanes(actions: Sequence[Action]) -> list[list[Action]]:
    """Return the actions in as few rows as it takes that none overlaps another of its row.

    Those that touch stay in one row; a row is in the order of time.
    """
    rows: list[list[Action]] = []
    for action in sorted(actions, key=lambda a: (a.start_sec, a.end_sec)):
        for row in rows:
            if row[-1].end_sec <= action.start_sec:
                row.append(action)
                break
        else:
            rows.append([action])
    return rows


def spaced(label: str) -> str:
    """Return a label on one line, for forms that end a label with the line."""
    return (
        " ".join(label.split()) if any(c in label for c in "\r\n\t\v\f\x85\u2028\u2029") else label
    )
