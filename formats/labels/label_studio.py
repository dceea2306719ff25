"""Label Studio's exports in (JSON, JSON-MIN, CSV, TSV), and tasks to import out.

Regions of `TimelineLabels` (https://labelstud.io/tags/timelinelabels) hold frames, the first of
which is number 1, both ends inside; so do the life spans of `VideoRectangle`
(https://labelstud.io/tags/videorectangle). Regions of `Labels` on the sound of a video
(https://labelstud.io/templates/video_timeline_segmentation) hold seconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ...errors import InputError, quantity
from ..annotations import Detection
from .record import (
    Action,
    FrameClock,
    Gathering,
    Labels,
    VideoLabels,
    finite,
    id_of_media,
    members,
    number,
)
from .tables import MAX_ROWS, cells

UPLOAD = re.compile(r"[0-9a-f]{8}-(?=.)")  # what Label Studio puts before an uploaded file's name
RESULT_LABELS = ("timelinelabels", "labels", "timeserieslabels", "videolabels")


def looks_like_label_studio(raw: Any) -> bool:
    """Return whether a JSON file's content is an export of Label Studio, JSON or JSON_MIN."""
    tasks = raw if isinstance(raw, list) else [raw]
    return bool(tasks) and all(
        isinstance(t, dict)
        and (
            (
                isinstance(t.get("data"), dict)
                and {"annotations", "predictions", "completions"} & set(t)
            )
            or ("annotation_id" in t and "annotator" in t)
        )
        for t in tasks
    )


def read_label_studio(raw: Any, clock: FrameClock) -> Labels:
    """Return the labelled regions of all tasks; predictions where a task has no annotation.

    Args:
        clock: turns frames into seconds.
    """
    given = raw if isinstance(raw, list) else [raw]
    tasks = _last_of_each(given)
    gathered = Gathering()
    several, skipped, other = len(given) - len(tasks), 0, dict[str, int]()
    for n, task in enumerate(tasks):
        data = task["data"] if isinstance(task.get("data"), dict) else task
        media = _media(data)
        if not media:
            gathered.problem("", f"task {task.get('id', n)}: names no video")
            continue
        video_id = id_of_media(media)
        gathered.video(
            video_id,
            subset=str(data.get("subset") or ""),
            duration_sec=finite(data.get("duration_sec")),
            media=media,
            group=str(data.get("group") or ""),
        )
        try:
            every = members(task.get("annotations") or task.get("completions"), "annotations")
            done = [a for a in every if _kept(a)]
            guessed = [p for p in members(task.get("predictions"), "predictions") if _kept(p)]
            chosen = (done or guessed)[-1:]
            regions = members(chosen[0].get("result"), "result") if chosen else _minimal(task)
            if not done and chosen and chosen[0].get("score") is not None:
                # A model may score its prediction as a whole; each region then has that score.
                regions = [
                    {"score": chosen[0]["score"]} | r if isinstance(r, dict) else r for r in regions
                ]
        except InputError as e:
            gathered.problem(video_id, f"task {task.get('id', n)}: {e}")
            continue
        several += len(done) > 1
        skipped += len(every) - len(done)
        for k, region in enumerate(regions):
            where = f"task {task.get('id', n)}: region {k}"
            try:
                kind = _take(region, video_id, clock, gathered, where)
            except InputError as e:
                gathered.problem(video_id, f"{where}: {e}")
                continue
            if kind:
                other[kind] = other.get(kind, 0) + 1
    if several:
        gathered.remarks.append(
            f"{quantity(several, 'task has', 'tasks have')} several annotations; the last is taken"
        )
    if skipped:
        gathered.remarks.append(f"{quantity(skipped, 'cancelled annotation')} left out")
    if other:
        kinds = ", ".join(f"{count} {kind}" for kind, count in other.items())
        gathered.remarks.append(f"regions without a span of time left out: {kinds}")
    return gathered.labels("Label Studio", quantity(len(tasks), "task"))


def looks_like_label_studio_table(text: str) -> str:
    """Return the delimiter of a text that is an export of Label Studio, CSV or TSV; else nothing.

    Such a table has a row per annotation, and JSON in the cell of each tag.
    """
    first = text.lstrip().split("\n", 1)[0]
    for delimiter in ("\t", ","):
        if {"annotation_id", "annotator"} <= {c.strip().strip('"') for c in first.split(delimiter)}:
            return delimiter
    return ""


def read_label_studio_table(text: str, delimiter: str, clock: FrameClock) -> Labels:
    """Return the labelled regions in an export of rows; see `read_label_studio`."""
    (_, names), *rows = cells(text, delimiter, most=MAX_ROWS)
    tasks = [
        {name: _value(cell) for name, cell in zip(names, row, strict=False) if cell.strip()}
        for _, row in rows
    ]
    return read_label_studio(tasks, clock)


def _value(cell: str) -> Any:
    """Return what a cell holds: JSON where it looks like a list, else its text."""
    if not cell.lstrip().startswith("["):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        raise InputError(f"a cell that is not JSON: {cell[:40]!r}") from None


def _last_of_each(tasks: Sequence[Any]) -> list[Any]:
    """Return the tasks; of rows that are several annotations of one task, the last."""
    kept: dict[Any, Any] = {}
    for n, task in enumerate(tasks):
        minimal = isinstance(task, dict) and "annotation_id" in task
        task_id = task.get("id") if minimal else None
        kept[task_id if isinstance(task_id, str | int) else (n,)] = task
    return list(kept.values())


def write_label_studio(videos: Sequence[VideoLabels], clock: FrameClock) -> str:
    """Return tasks with regions of `TimelineLabels`; detections are predictions with scores.

    Raises:
        InputError: the rate of a video's frames is not known.
    """
    tasks = []
    for number_, v in enumerate(videos, start=1):
        regions = [_region(a, v.video_id, clock, f"r{n}") for n, a in enumerate(v.actions)]
        data: dict[str, Any] = {"video": v.media or v.video_id}
        data |= {"subset": v.subset} if v.subset else {}
        data |= {"group": v.group} if v.group else {}
        data |= {} if v.duration_sec is None else {"duration_sec": v.duration_sec}
        scored = any(isinstance(a, Detection) for a in v.actions)
        task: dict[str, Any] = {"id": number_, "data": data, "annotations": [], "predictions": []}
        task["predictions" if scored else "annotations"] = [{"result": regions}]
        tasks.append(task)
    return json.dumps(tasks, indent=1, ensure_ascii=False)


def _region(action: Action, video_id: str, clock: FrameClock, name: str) -> dict[str, Any]:
    first = clock.frame(video_id, action.start_sec) + 1
    last = max(clock.frame(video_id, action.end_sec), first)
    region: dict[str, Any] = {
        "id": name, "from_name": "label", "to_name": "video", "type": "timelinelabels",
        "value": {"ranges": [{"start": first, "end": last}], "timelinelabels": [action.label]},
    }  # fmt: skip
    return region | ({"score": action.score} if isinstance(action, Detection) else {})


def _kept(annotation: Any) -> bool:
    return isinstance(annotation, dict) and not annotation.get("was_cancelled")


def _media(data: Mapping[str, Any]) -> str:
    """Return the name of a task's video file, without what Label Studio put before it."""
    names = [k for k in ("video", "video_url", "url", "audio") if isinstance(data.get(k), str)]
    value = data[names[0]] if names else next((v for v in data.values() if _is_address(v)), "")
    address = urlsplit(str(value)) if "?" in str(value) or "://" in str(value) else None
    if address is not None:
        local = parse_qs(address.query).get("d", [""])[0]
        value = local or unquote(address.path)
    folder, _, last = str(value).replace("\\", "/").rpartition("/")
    return UPLOAD.sub("", last, count=1) if "upload/" in f"{folder}/" else last


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and id_of_media(value) != value.rsplit("/", 1)[-1]


def _minimal(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the regions of an export in the form JSON_MIN, where they are members of the task."""
    found = []
    for value in task.values():
        for entry in value if isinstance(value, list) else []:
            if isinstance(entry, dict) and ("ranges" in entry or {"start", "end"} <= set(entry)):
                found.append({"value": entry})
    return found


def _take(region: Any, video_id: str, clock: FrameClock, gathered: Gathering, where: str) -> str:
    """Take down the actions of a region; return its type where it has no span of time."""
    value = region.get("value") if isinstance(region, dict) else None
    if not isinstance(value, dict):
        raise InputError("has no 'value'")
    labels = next((value[k] for k in RESULT_LABELS if isinstance(value.get(k), list)), None)
    spans = list(_spans(value, video_id, clock))
    if not spans:
        return str(region.get("type", "region"))
    if not labels:
        raise InputError("has no label")
    score = number(region["score"], "score") if region.get("score") is not None else None
    for label in labels:
        for start, end in spans:
            gathered.action(video_id, str(label).strip(), start, end, score=score, where=where)
    return ""


def _spans(
    value: Mapping[str, Any], video_id: str, clock: FrameClock
) -> Iterator[tuple[float, float]]:
    """Yield the spans of time of a region, in seconds."""
    if isinstance(value.get("ranges"), list):
        for span in value["ranges"]:
            if not isinstance(span, dict):
                raise InputError("a range must have a start and an end")
            yield _of_frames(span.get("start"), span.get("end"), video_id, clock, None)
    elif isinstance(value.get("sequence"), list):
        frames, lasts = finite(value.get("framesCount")), finite(value.get("duration"))
        rate = frames / lasts if frames and lasts and frames > 0 and lasts > 0 else None
        clock = clock.of_count(video_id, frames, rate)
        for first, last in _lifespans(value["sequence"], frames):
            yield _of_frames(first, last, video_id, clock, rate)
    elif "start" in value and "end" in value:
        yield number(value["start"], "start"), number(value["end"], "end")


def _of_frames(
    first: Any, last: Any, video_id: str, clock: FrameClock, stated_fps: float | None
) -> tuple[float, float]:
    begin, end = number(first, "start"), number(last, "end")
    start_sec = clock.seconds(video_id, max(begin - 1, 0), stated_fps=stated_fps)
    return start_sec, clock.seconds(video_id, max(end, 0), stated_fps=stated_fps)


def _lifespans(sequence: Sequence[Any], frames: float | None) -> Iterator[tuple[float, float]]:
    """Yield the first and last frames during which a rectangle is there.

    It is there from a key frame on until the next one, or the end, where that is enabled.
    """
    keys = sorted(
        (
            (number(k.get("frame"), "frame"), bool(k.get("enabled", True)))
            for k in sequence
            if isinstance(k, dict)
        ),
        key=lambda key: key[0],
    )
    begun: float | None = None
    for frame, enabled in keys:
        begun = frame if begun is None else begun
        if not enabled:
            yield begun, frame
            begun = None
    if begun is not None:
        yield begun, keys[-1][0] if frames is None else frames
