"""ActivityNet-style JSON in, typed records out; and the same for detections.

Only this module knows the keys of our annotation and prediction files:

    {"database": {ID: {"subset": S, "duration": SEC,
                       "annotations": [{"label": L, "segment": [START, END]}],
                       "annotated": [[START, END]], "ignore": [[START, END]],
                       "group": G}}}                                        (ours, optional)
    {"results": {ID: [{"label": L, "segment": [START, END], "score": P}]},
     "actionness": {ID: {"start_sec": S, "step_sec": S, "values": [...]}},   (ours, optional)
     "labels": [L, ...],                                                     (ours, optional)
     "thresholds": {L: P}}                                                   (ours, optional)
"""

from __future__ import annotations

import gc
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from ..errors import InputError, listed, shown
from ..segments import united
from .limits import check_json, read_text
from .names import SPELT, as_spelled, is_text, nfc

FOREVER_SEC = 1e9  # the end of a stretch that goes on to the end of the video
JSON = "a JSON file"
AMBIGUOUS = "Ambiguous"  # THUMOS14's mark for stretches nobody could label; never a class

Record = TypeVar("Record")


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
            there = listed(f"{s or 'no subset'} ({n} videos)" for s, n in counts)
            raise InputError(
                f"{self.source}: no video is in subset {shown(name)}; there are: {there}"
            )
        return chosen


class Problem(NamedTuple):
    """Why an entry cannot be read, and of which video it is; of none where the id itself is bad."""

    video_id: str
    says: str

    def __str__(self) -> str:
        return f"{self.video_id}: {self.says}" if self.video_id else self.says


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
    database = _by_video(parse_json(text, source), "database", source, problems)
    # A file may leave subsets out, but not for some videos only: these would be used for nothing.
    subsets = any(isinstance(raw, dict) and raw.get("subset") for raw in database.values())
    videos = {
        video_id: _video(video_id, raw, problems, subsets=subsets)
        for video_id, raw in database.items()
    }
    return Annotations(videos, text, source), problems


def load_predictions(path: str | Path) -> dict[str, list[Detection]]:
    """Return the detections per video in the ActivityNet submission file at `path`.

    Raises:
        InputError: not of that form; the message names the video and the entry.
    """
    found, problems = read_predictions(path)
    if problems:
        raise InputError(f"{path}: {problems[0]}")
    return found


def read_predictions(path: str | Path) -> tuple[dict[str, list[Detection]], list[Problem]]:
    """Return the detections that can be read, per video, and what is wrong with the others.

    Raises:
        InputError: nothing can be read: not JSON, or not of this form.
    """
    with without_collector():
        return detections_of(parse_json(read_text(path, needs=JSON), str(path)), str(path))


@contextmanager
def without_collector() -> Iterator[None]:
    """Keep the garbage collector from walking through millions of new records again and again.

    None of these is garbage, and it would take more than half of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def detections_of(raw: Any, source: str) -> tuple[dict[str, list[Detection]], list[Problem]]:
    """Return the detections in a file's JSON values; see `read_predictions`."""
    problems = list[Problem]()
    results = _by_video(raw, "results", source, problems)
    found = {v: _records(entries, _detection, v, problems) for v, entries in results.items()}
    if problems and not any(found.values()):
        raise InputError(f"{source}: {problems[0]}; no entry can be read")
    return found, problems


def load_actionness(path: str | Path) -> dict[str, ActionnessCurve]:
    """Return the actionness curves in a file of detections; none where it has none.

    Raises:
        InputError: not of that form; the message names the video.
    """
    return actionness_of(parse_json(read_text(path, needs=JSON), str(path)), str(path))


def actionness_of(raw: Any, source: str) -> dict[str, ActionnessCurve]:
    """Return the actionness curves in a file's JSON values; see `load_actionness`."""
    if isinstance(raw, dict) and raw.get("actionness") is None:
        return {}
    curves, problems = dict[str, ActionnessCurve](), list[Problem]()
    for video_id, entry in _by_video(raw, "actionness", source, problems).items():
        try:
            values = tuple(finite_number(v, "value") for v in _member(entry, "values", list))
            step = finite_number(entry.get("step_sec"), "step_sec")
            if step <= 0:
                raise InputError(f"'step_sec' must be above 0, is {step}; leave 'actionness' out")
            start = finite_number(entry.get("start_sec"), "start_sec")
            curves[video_id] = ActionnessCurve(start, step, values)
        except InputError as e:
            problems.append(Problem(f"actionness of {video_id}", str(e)))
    if problems:
        raise InputError(f"{source}: {problems[0]}")
    return curves


def label_order_of(raw: Any) -> list[str]:
    """Return all classes of the run that wrote these detections; none where it does not say."""
    labels = raw.get("labels") if isinstance(raw, dict) else None
    if not isinstance(labels, list):
        return []
    return list(dict.fromkeys(x for x in labels if isinstance(x, str) and is_text(x)))


def load_thresholds(path: str | Path) -> dict[str, float]:
    """Return from which score on detections count, by class; empty where a file does not say.

    Raises:
        InputError: one is not a finite number; the message names the class.
    """
    return thresholds_of(parse_json(read_text(path, needs=JSON), str(path)), str(path))


def thresholds_of(raw: Any, source: str) -> dict[str, float]:
    """Return the thresholds in a file's JSON values; see `load_thresholds`."""
    least = raw.get("thresholds") if isinstance(raw, dict) else None
    if not isinstance(least, dict):
        return {}
    try:
        return {nfc(label): finite_number(score, label) for label, score in least.items()}
    except InputError as e:
        raise InputError(f"{source}: thresholds: {e}") from None


def json_kind(path: str | Path) -> str | None:
    """Return `annotations` or `detections`, or None for other JSON.

    Raises:
        InputError: not JSON.
    """
    raw = parse_json(read_text(path, needs=JSON), str(path))
    keys = raw if isinstance(raw, dict) else {}
    return "annotations" if "database" in keys else "detections" if "results" in keys else None


def repeated_keys(text: str) -> list[str]:
    """Return the keys that stand more than once in one object of a JSON text."""
    repeated: Counter[str] = Counter()

    def counted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Return an object's members, the last of equal keys; those keys are added up."""
        members = dict(pairs)
        if len(members) < len(pairs):
            repeated.update(Counter(key for key, _ in pairs) - Counter(members.keys()))
        return members

    json.loads(text, object_pairs_hook=counted)
    return list(repeated)


def predictions_json(
    predictions: Mapping[str, Iterable[Detection]],
    actionness: Mapping[str, ActionnessCurve] | None = None,
    labels: Sequence[str] = (),
    thresholds: Mapping[str, float] = MappingProxyType({}),
) -> str:
    """Return detections as ActivityNet submission JSON, videos and detections in given order.

    Args:
        actionness: curves that go into the same file, where other programs do not look.
        labels: all classes of the run, in the order that fixes their colours; as `actionness`.
        thresholds: from which score on detections count, by class; as `actionness`.
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
    if labels:
        whole["labels"] = list(labels)
    if thresholds:
        whole["thresholds"] = dict(thresholds)
    return json.dumps(whole)


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


def parse_json(text: str, source: str) -> Any:
    """Return the values in a JSON text.

    Raises:
        InputError: not JSON, or too large; the message begins with `source`.
    """
    check_json(text, source)
    try:
        return json.loads(text)
    except json.JSONDecodeError as e:
        raise InputError(f"{source}: not JSON (line {e.lineno}: {e.msg})") from None
    except (ValueError, RecursionError) as e:  # a number of 4,300 digits; 1,000 lists in lists
        raise InputError(f"{source}: JSON that cannot be read ({e})") from None


def _by_video(raw: Any, key: str, source: str, problems: list[Problem]) -> dict[str, Any]:
    """Return the entries of all videos in the member `key` of a file."""
    try:
        entries = _member(raw, key, dict)
    except InputError as e:
        raise InputError(f"{source}: {e}") from None
    problems += [Problem("", f"{v!a:.80} is not valid text") for v in entries if not is_text(v)]
    by_id: dict[str, Any] = {}
    for name, entry in entries.items():
        if (video_id := nfc(name)) in by_id:
            problems.append(Problem(video_id, f"stands twice, {SPELT}; keep one of them"))
        elif is_text(name):
            by_id[video_id] = entry
    return by_id


def _video(video_id: str, raw: Any, problems: list[Problem], *, subsets: bool) -> AnnotatedVideo:
    """Return one video without what cannot be read of it."""
    subset, duration, group = "", None, ""
    try:
        if subsets or not isinstance(raw, dict) or raw.get("subset") is not None:
            subset = _member(raw, "subset", str)
        if raw.get("duration") is not None:
            duration = finite_number(raw["duration"], "duration")
        if raw.get("group") is not None:
            group = _group(raw)
    except InputError as e:
        problems.append(Problem(video_id, str(e)))
    annotations = raw.get("annotations") if isinstance(raw, dict) else None
    instances = _records(
        annotations or [], lambda entry: Instance(*_labelled_segment(entry)), video_id, problems
    )
    ignored = _ignored(raw, video_id, problems)
    return AnnotatedVideo(video_id, subset, duration, tuple(instances), ignored, group)


def _group(raw: Mapping[str, Any]) -> str:
    """Return a video's group as text; a whole number is one, too."""
    return str(raw["group"]) if type(raw["group"]) is int else _member(raw, "group", str)


def _ignored(raw: Any, video_id: str, problems: list[Problem]) -> tuple[tuple[float, float], ...]:
    """Return the stretches of a video that count neither way."""
    if not isinstance(raw, dict):
        return ()
    ignored = _records(raw.get("ignore") or [], _stretch, video_id, problems)
    if raw.get("annotated") is not None:
        before = 0.0
        for start, end in sorted(_records(raw["annotated"], _stretch, video_id, problems)):
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


def _records(
    raw: Any, read: Callable[[Any], Record], video_id: str, problems: list[Problem]
) -> list[Record]:
    """Return one video's labelled segments without those that cannot be read."""
    if not isinstance(raw, list):
        says = f"a list of labelled segments is needed, not {shown(raw)}"
        problems.append(Problem(video_id, says))
        return []
    records = []
    for n, entry in enumerate(raw):
        try:
            records.append(read(entry))
        except InputError as e:
            problems.append(Problem(video_id, f"entry {n}: {e}"))
    return records


def _detection(raw: Any) -> Detection:
    return Detection(*_labelled_segment(raw), finite_number(raw.get("score"), "score"))


def _labelled_segment(raw: Any) -> tuple[str, float, float]:
    label = _member(raw, "label", str)
    segment = _member(raw, "segment", list)
    if len(segment) != 2:
        raise InputError(f"'segment' must be [start, end] in seconds, is {shown(segment)}")
    start, end = finite_number(segment[0], "start"), finite_number(segment[1], "end")
    if end < start:
        raise InputError(f"the segment ends ({end} s) before it starts ({start} s)")
    return label, start, end


def _member(raw: Any, key: str, kind: type) -> Any:
    if not isinstance(raw, dict) or key not in raw:
        raise InputError(f"has no {key!r}; ActivityNet-style JSON is needed (docs/feature_file.md)")
    if not isinstance(raw[key], kind):
        raise InputError(f"{key!r} must be a {kind.__name__}, is {shown(raw[key])}")
    if kind is str and not is_text(raw[key]):  # half a surrogate pair: no file or terminal takes it
        raise InputError(f"{raw[key]!a:.80} is not valid text")
    return nfc(raw[key]) if kind is str else raw[key]


def finite_number(value: Any, name: str) -> float:
    """Return a number of JSON's; an InputError names what is none, or not finite."""
    if type(value) not in (float, int) or not abs(value) <= sys.float_info.max:  # JSON has 10**400
        raise InputError(f"{name!r} must be a finite number, is {shown(value)}")
    return float(value)
