"""ActivityNet-style JSON in, typed records out; and the same for detections.

This is the only place that knows what an annotation or a prediction file looks like:

    {"database": {ID: {"subset": S, "duration": SEC,
                       "annotations": [{"label": L, "segment": [START, END]}]}}}
    {"results": {ID: [{"label": L, "segment": [START, END], "score": P}]},
     "actionness": {ID: {"start_sec": S, "step_sec": S, "values": [...]}}}   (ours, optional)
"""

from __future__ import annotations

import contextlib
import gc
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError, shown
from .names import is_text

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
    """One video's ground truth; `duration_sec` is None where the file does not say."""

    video_id: str
    subset: str
    duration_sec: float | None
    instances: tuple[Instance, ...]


@dataclass(frozen=True)
class Annotations:
    """The ground truth of a data set, in the file's order; `text` is the JSON it came from."""

    videos: Mapping[str, AnnotatedVideo]
    text: str = field(repr=False)
    source: str

    def subset_counts(self) -> dict[str, int]:
        """Return how many videos each subset has, by falling count."""
        return dict(Counter(v.subset for v in self.videos.values()).most_common())

    def subset(self, name: str) -> dict[str, AnnotatedVideo]:
        """Return the videos of subset `name`, in the file's order.

        Raises:
            InputError: no video is in that subset; the message lists the subsets there are.
        """
        chosen = {k: v for k, v in self.videos.items() if v.subset == name}
        if not chosen:
            there = ", ".join(f"{s} ({n} videos)" for s, n in self.subset_counts().items())
            raise InputError(
                f"{self.source}: no video is in subset {name!r}; there are: {there or 'none'}"
            )
        return chosen


def class_labels(videos: Iterable[AnnotatedVideo]) -> list[str]:
    """Return the sorted labels that occur in `videos`, without `Ambiguous`."""
    return sorted({i.label for v in videos for i in v.instances} - {AMBIGUOUS})


def load_annotations(path: str | Path) -> Annotations:
    """Return the annotations in the JSON file at `path`; see `parse_annotations`."""
    return parse_annotations(_read_text(path), source=str(path))


def parse_annotations(text: str, *, source: str) -> Annotations:
    """Return the records in ActivityNet-style JSON.

    Args:
        text: the JSON.
        source: where it came from, for messages.
    Raises:
        InputError: not JSON, not of this form, or a segment that is not finite or ends before
            it starts; the message names the video and the entry. A segment of no length, one
            that runs past the end of its video, and videos without annotations are accepted.
    """
    database = _member(_parse_json(text, source), "database", dict, source)
    videos = {k: _video(_text(k, source), entry, source) for k, entry in database.items()}
    return Annotations(videos=videos, text=text, source=source)


def load_predictions(path: str | Path) -> dict[str, list[Detection]]:
    """Return the detections per video in the ActivityNet submission file at `path`.

    Raises:
        InputError: not of that form; the message names the video and the entry.
    """
    source = str(path)
    with _collector_paused():
        results = _member(_parse_json(_read_text(path), source), "results", dict, source)
        return {
            _text(video, source): [
                Detection(*_labelled_segment(d, at), _number(d.get("score"), "score", at))
                for d, at in _entries(found, f"{source}: {video}")
            ]
            for video, found in results.items()
        }


def load_actionness(path: str | Path) -> dict[str, ActionnessCurve]:
    """Return the actionness curves in a file of detections; none where it has none.

    Raises:
        InputError: not of that form; the message names the video.
    """
    source = str(path)
    raw = _parse_json(_read_text(path), source)
    curves = raw.get("actionness") if isinstance(raw, dict) else None
    if curves is None:
        return {}
    if not isinstance(curves, dict):
        raise InputError(f"{source}: 'actionness' must be a dict, is {shown(curves)}")
    return {_text(video, source): _curve(curve, f"{source}: actionness of {video}")
            for video, curve in curves.items()}  # fmt: skip


def predictions_json(
    predictions: Mapping[str, Iterable[Detection]],
    actionness: Mapping[str, ActionnessCurve] | None = None,
) -> str:
    """Return detections as ActivityNet submission JSON, videos and detections in given order.

    Args:
        actionness: curves that go into the same file, where other programs do not look.
    """
    results = {
        video: [
            {"label": d.label, "segment": [d.start_sec, d.end_sec], "score": d.score} for d in found
        ]
        for video, found in predictions.items()
    }
    whole: dict[str, Any] = {"version": "VERSION 1.3", "results": results, "external_data": {}}
    if actionness:
        whole["actionness"] = {video: asdict(curve) for video, curve in actionness.items()}
    return json.dumps(whole)


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the garbage collector from walking through millions of new records, none of it garbage,
    over and over: that would be more than half of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _read_text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: a folder, where a JSON file is needed") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8") from None


def _parse_json(text: str, source: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as e:
        raise InputError(f"{source}: not JSON (line {e.lineno}: {e.msg})") from None
    except (ValueError, RecursionError) as e:  # a number of 4,300 digits; 1,000 lists in lists
        raise InputError(f"{source}: JSON that cannot be read ({e})") from None


def _member(value: Any, key: str, kind: type, at: str) -> Any:
    if not isinstance(value, dict) or key not in value:
        raise InputError(f"{at}: has no {key!r}; ActivityNet-style JSON is needed")
    if not isinstance(value[key], kind):
        raise InputError(f"{at}: {key!r} must be a {kind.__name__}, is {shown(value[key])}")
    return value[key]


def _text(value: str, at: str) -> str:
    if not is_text(value):  # JSON can hold half a surrogate pair, which no file or terminal takes
        raise InputError(f"{at}: {value!a:.80} is not valid text")
    return value


def _number(value: Any, name: str, at: str) -> float:
    if type(value) not in (float, int) or not abs(value) <= sys.float_info.max:  # JSON has 10**400
        raise InputError(f"{at}: {name!r} must be a finite number, is {shown(value)}")
    return float(value)


def _video(video_id: str, entry: Any, source: str) -> AnnotatedVideo:
    at = f"{source}: {video_id}"
    subset = _text(_member(entry, "subset", str, at), at)
    duration = entry.get("duration")
    if duration is not None:
        duration = _number(duration, "duration", at)
    instances = tuple(
        Instance(*_labelled_segment(a, where))
        for a, where in _entries(entry.get("annotations") or [], at)
    )
    return AnnotatedVideo(video_id, subset, duration, instances)


def _curve(entry: Any, at: str) -> ActionnessCurve:
    values = [_number(v, "value", at) for v in _member(entry, "values", list, at)]
    step = _number(entry.get("step_sec"), "step_sec", at)
    if step <= 0:
        raise InputError(f"{at}: 'step_sec' must be above 0, is {step}")
    return ActionnessCurve(_number(entry.get("start_sec"), "start_sec", at), step, tuple(values))


def _entries(items: Any, at: str) -> list[tuple[Any, str]]:
    if not isinstance(items, list):
        raise InputError(f"{at}: a list of labelled segments is needed, not {shown(items)}")
    return [(item, f"{at}, entry {n}") for n, item in enumerate(items)]


def _labelled_segment(entry: Any, at: str) -> tuple[str, float, float]:
    label = _text(_member(entry, "label", str, at), at)
    segment = _member(entry, "segment", list, at)
    if len(segment) != 2:
        raise InputError(f"{at}: 'segment' must be [start, end] in seconds, is {shown(segment)}")
    start, end = _number(segment[0], "start", at), _number(segment[1], "end", at)
    if end < start:
        raise InputError(f"{at}: the segment ends ({end} s) before it starts ({start} s)")
    return label, start, end
