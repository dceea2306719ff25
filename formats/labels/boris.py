"""BORIS's projects (`.boris`, JSON) in and out; its exports are `boris_export.py`'s.

The form is that of BORIS 7 to 9 (https://www.boris.unito.it/user_guide/): a project has
`observations`, each with `events` of `[time, subject, code, modifier, comment, ...]`, and an
ethogram, `behaviors_conf`, that says which codes are states and which points. A state's events
begin and end it in turn, for each subject and modifier by itself. Times of events contain the
observation's `time offset`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...errors import InputError, quantity
from .record import (
    Gathering,
    Labels,
    VideoLabels,
    id_of_media,
    lanes,
    listed,
    members,
    number,
)

FORMAT_VERSION = "7.0"
Event = tuple[float, str, str, str]  # time, subject, code, modifiers


def looks_like_project(raw: Any) -> bool:
    """Return whether a JSON file's content is a BORIS project."""
    return isinstance(raw, dict) and "observations" in raw and "behaviors_conf" in raw


def read_project(raw: Mapping[str, Any]) -> Labels:
    """Return the state events of a project as labels; point events are labels of no length."""
    gathered, notes = Gathering(), Notes()
    kinds = _ethogram(raw)
    observations = raw["observations"]
    if not isinstance(observations, dict):
        raise InputError("'observations' must be a dict of BORIS observations")
    for name, observation in observations.items():
        try:
            _observe(str(name), observation, kinds, gathered, notes)
        except InputError as e:
            gathered.problem(str(name), str(e))
    gathered.remarks += notes.remarks()
    return gathered.labels("BORIS project", quantity(len(observations), "observation"))


def write_project(videos: Sequence[VideoLabels]) -> str:
    """Return a BORIS project with an observation per video.

    Labels of one kind that overlap are given to several subjects, since BORIS ends a state before
    the same subject begins it again.
    """
    labels = sorted({a.label for v in videos for a in v.actions})
    most = 0
    observations = {}
    for v in videos:
        events: list[list[Any]] = []
        for label in labels:
            for n, lane in enumerate(lanes([a for a in v.actions if a.label == label])):
                subject = f"lane {n + 1}" if n else ""
                most = max(most, n)
                for a in lane:
                    events += [[t, subject, label, "", ""] for t in (a.start_sec, a.end_sec)]
        media = v.media or v.video_id
        observations[v.video_id] = {
            "file": {"1": [media]},
            "type": "MEDIA",
            "date": "2000-01-01T00:00:00",
            "description": "",
            "time offset": 0.0,
            "events": sorted(events, key=lambda e: e[0]),
            "observation time interval": [0, 0],
            "independent_variables": {},
            "media_info": {"length": {} if v.duration_sec is None else {media: v.duration_sec}},
        }
    behaviours = {
        str(n): {
            "type": "State event", "key": "", "code": label, "description": "", "category": "",
            "modifiers": "", "excluded": "", "coding map": "",
        }
        for n, label in enumerate(labels)
    }  # fmt: skip
    subjects = {
        str(n): {"key": "", "name": f"lane {n + 2}", "description": ""} for n in range(most)
    }
    project = {
        "time_format": "s",
        "project_date": "2000-01-01T00:00:00",
        "project_name": "tsatal",
        "project_description": "",
        "project_format_version": FORMAT_VERSION,
        "subjects_conf": subjects,
        "behaviors_conf": behaviours,
        "observations": observations,
        "behavioral_categories": [],
        "independent_variables": {},
        "coding_map": {},
        "behaviors_coding_map": [],
        "converters": {},
    }
    return json.dumps(project, indent=1, ensure_ascii=False)


class Notes:
    """What is left out of BORIS's events, told in the end."""

    def __init__(self) -> None:
        self.points: dict[str, int] = defaultdict(int)
        self.subjects: dict[str, None] = {}
        self.modifiers: dict[str, None] = {}
        self.passes: dict[str, int] = defaultdict(int)

    def saw(self, subject: str, modifiers: str) -> None:
        """Take down what an event has beside its behaviour."""
        if subject and subject.lower() != "no focal subject" and not subject.startswith("lane "):
            self.subjects[subject] = None
        if modifiers and modifiers.strip("|") not in ("", "None"):
            self.modifiers[modifiers] = None

    def remarks(self) -> Iterator[str]:
        """Yield a remark on each kind of things that are left out."""
        if points := sum(self.points.values()):
            named = [code for code, n in self.points.items() if n]
            yield f"{quantity(points, 'point event')} {listed(named)} kept as labels of no length"
        if self.subjects:
            yield f"subjects are not told apart {listed(self.subjects)}"
        if self.modifiers:
            yield f"modifiers are left out {listed(self.modifiers)}"
        if several := [v for v, n in self.passes.items() if n > 1]:
            yield f"several observations of one video are joined {listed(several)}"


def _ethogram(raw: Mapping[str, Any]) -> dict[str, str]:
    """Return the type of every behaviour, by its code."""
    conf = raw["behaviors_conf"]
    entries = conf.values() if isinstance(conf, dict) else conf if isinstance(conf, list) else []
    return {str(b.get("code")): str(b.get("type")) for b in entries if isinstance(b, dict)}


def _observe(
    name: str, observation: Any, kinds: Mapping[str, str], gathered: Gathering, notes: Notes
) -> None:
    """Take down the events of one observation."""
    if not isinstance(observation, dict):
        raise InputError("an observation must be a dict")
    media, lengths = _files(observation)
    offset = number(observation.get("time offset") or 0, "time offset")
    ids = [id_of_media(m) for m in media] or [name]
    ends: list[float] = []  # of all videos in a row but the last
    for path in media[:-1]:
        if path not in lengths:
            raise InputError(
                f"its {len(media)} videos follow each other, and the project does not say how "
                f"long {path} is; observe them one by one"
            )
        ends.append((ends[-1] if ends else 0.0) + lengths[path])
    for video_id, path in zip(ids, [*media, ""], strict=False):
        gathered.video(video_id, duration_sec=lengths.get(path), media=path)
        notes.passes[video_id] += 1
    for start, end, code, where in _spans(observation.get("events"), kinds, name, gathered, notes):
        start_sec, end_sec = start - offset, end - offset
        n = sum(start_sec >= e for e in ends)
        before = ends[n - 1] if n else 0.0
        if n < len(ends) and end_sec > ends[n]:
            gathered.problem(ids[n], f"{where}: {code!r} goes on into the next video")
            continue
        gathered.action(ids[n], code, start_sec - before, end_sec - before, where=where)


def _files(observation: Mapping[str, Any]) -> tuple[list[str], dict[str, float]]:
    """Return the videos that an observation plays one after the other, and known lengths."""
    files = observation.get("file")
    players = files.values() if isinstance(files, dict) else [files]
    played = next((p for p in players if isinstance(p, list) and p), [])
    info = observation.get("media_info")
    stated = info.get("length") if isinstance(info, dict) else None
    lengths = {}
    for path, seconds in (stated if isinstance(stated, dict) else {}).items():
        lengths[str(path)] = number(seconds, "length")
    return [str(p) for p in played], lengths


def _spans(
    raw: Any, kinds: Mapping[str, str], name: str, gathered: Gathering, notes: Notes
) -> Iterator[tuple[float, float, str, str]]:
    """Yield the start, end, code and place of an observation's states and points."""
    states: dict[tuple[str, str], list[tuple[Event, str]]] = defaultdict(list)
    for n, entry in enumerate(members(raw, "events")):
        where = f"observation {name}: event {n}"
        try:
            event = _event(entry)
        except InputError as e:
            gathered.problem(name, f"event {n}: {e}")
            continue
        time, subject, code, modifiers = event
        notes.saw(subject, modifiers)
        kind = kinds.get(code, "")
        if kind.lower().startswith("point"):
            notes.points[code] += 1
            yield time, time, code, where
        elif kind.lower().startswith("state"):
            states[subject, code].append((event, where))
        else:
            gathered.problem(name, f"event {n}: {code!r} is not in the ethogram")
    for (_, code), events in states.items():
        for group in _by_modifiers(sorted(events, key=lambda e: e[0][0])):
            for (begun, where), (ended, _) in zip(group[::2], group[1::2], strict=False):
                yield begun[0], ended[0], code, where
            if len(group) % 2:
                (time, *_), where = group[-1]
                gathered.problem(name, f"{where}: {code!r} begins at {time:g} s and never ends")


def _by_modifiers(events: list[tuple[Event, str]]) -> list[list[tuple[Event, str]]]:
    """Return a state's events by modifiers; together where that leaves some without an end."""
    groups: dict[str, list[tuple[Event, str]]] = defaultdict(list)
    for event in events:
        groups[event[0][3]].append(event)
    alone = any(len(group) % 2 for group in groups.values())
    return [events] if alone and len(events) % 2 == 0 else list(groups.values())


def _event(entry: Any) -> Event:
    if isinstance(entry, dict):  # as tables of BORIS's own name the columns
        entry = [entry.get(k, "") for k in ("time", "subject", "code", "modifier")]
    if not isinstance(entry, list) or len(entry) < 3:
        raise InputError("an event is [time, subject, code, modifier, comment]")
    time = number(entry[0], "time")
    modifiers = entry[3] if len(entry) > 3 else ""
    return time, str(entry[1] or ""), str(entry[2]), str(modifiers or "")
