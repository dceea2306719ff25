"""BORIS in and out: its projects (`.boris`, JSON), and its exports of events as tables.

The forms are those of BORIS 7 to 9 (https://www.boris.unito.it/user_guide/): a project has
`observations`, each with `events` of `[time, subject, code, modifier, comment, ...]`, and an
ethogram, `behaviors_conf`, that says which codes are states and which points. A state's events
begin and end it in turn, for each subject and modifier by itself. Times of events contain the
observation's `time offset`.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...errors import InputError
from .record import (
    Gathering,
    Labels,
    VideoLabels,
    counted,
    id_of_media,
    lanes,
    listed,
    members,
    number,
)
from .tables import DELIMITERS, MAX_ROWS, cells, plain
from .times import seconds_of

PREAMBLE = 60  # rows that may stand before the names of an export's columns
FORMAT_VERSION = "7.0"
Event = tuple[float, str, str, str]  # time, subject, code, modifiers


def looks_like_project(raw: Any) -> bool:
    """Return whether a JSON file's content is a BORIS project."""
    return isinstance(raw, dict) and "observations" in raw and "behaviors_conf" in raw


def read_project(raw: Mapping[str, Any]) -> Labels:
    """Return the state events of a project as labels; point events are labels of no length."""
    gathered, notes = Gathering(), _Notes()
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
    return gathered.labels("BORIS project", counted(len(observations), "observation"))


def looks_like_export(text: str) -> bool:
    """Return whether a text is a table of events that BORIS exported."""
    return _export(text) is not None


def read_export(text: str, name: str) -> Labels:
    """Return the labels in a table of events, aggregated or with START and STOP of each.

    Args:
        name: the id of the video where the table does not say.
    """
    found = _export(text)
    if found is None:
        raise InputError("no table of BORIS events")
    preamble, columns, rows = found
    gathered, notes = Gathering(), _Notes()
    open_states: dict[tuple[str, str, str, str], list[float]] = defaultdict(list)
    for line, row in rows:
        event = {key: row[n].strip() if n < len(row) else "" for key, n in columns.items()}
        where = f"line {line}"
        media = _media(event.get("media", "")) or preamble.get("media", "")
        video_id = id_of_media(media) or event.get("id") or preamble.get("id") or name
        gathered.video(video_id, duration_sec=_seconds(event.get("length", "")), media=media)
        subject, code, modifiers = (event.get(k, "") for k in ("subject", "code", "modifiers"))
        notes.saw(subject, modifiers)
        kind = event.get("kind", "").upper()
        start = _seconds(event.get("start", ""))
        if start is None:
            gathered.problem(video_id, f"{where}: no time")
        elif "stop" in columns:
            stop = _seconds(event.get("stop", ""))
            if kind.startswith("POINT") or stop is None:
                stop = start if kind.startswith("POINT") else stop
            if stop is None:
                gathered.problem(video_id, f"{where}: no end")
                continue
            notes.points[code] += kind.startswith("POINT")
            gathered.action(video_id, code, start, stop, where=where)
        elif kind.startswith("POINT"):
            notes.points[code] += 1
            gathered.action(video_id, code, start, start, where=where)
        elif kind.startswith("START"):
            open_states[video_id, subject, code, modifiers].append(start)
        elif kind.startswith("STOP"):
            begun = open_states[video_id, subject, code, modifiers]
            if begun:
                gathered.action(video_id, code, begun.pop(0), start, where=where)
            else:
                gathered.problem(video_id, f"{where}: STOP of {code!r} without a START")
        else:
            gathered.problem(video_id, f"{where}: neither START, STOP nor POINT: {kind[:20]!r}")
    for (video_id, _, code, _), starts in open_states.items():
        for start in starts:
            gathered.problem(video_id, f"START of {code!r} at {start:g} s without a STOP")
    gathered.remarks += notes.remarks()
    return gathered.labels("BORIS export", counted(len(rows), "event"))


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


class _Notes:
    """What is left out of BORIS's events, told in the end."""

    def __init__(self) -> None:
        self.points: dict[str, int] = defaultdict(int)
        self.subjects: dict[str, None] = {}
        self.modifiers: dict[str, None] = {}
        self.passes: dict[str, int] = defaultdict(int)

    def saw(self, subject: str, modifiers: str) -> None:
        if subject and subject.lower() != "no focal subject" and not subject.startswith("lane "):
            self.subjects[subject] = None
        if modifiers and modifiers.strip("|") not in ("", "None"):
            self.modifiers[modifiers] = None

    def remarks(self) -> Iterator[str]:
        if points := sum(self.points.values()):
            named = [code for code, n in self.points.items() if n]
            yield f"{counted(points, 'point event')} {listed(named)} kept as labels of no length"
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
    name: str, observation: Any, kinds: Mapping[str, str], gathered: Gathering, notes: _Notes
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
    raw: Any, kinds: Mapping[str, str], name: str, gathered: Gathering, notes: _Notes
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


def _export(
    text: str,
) -> tuple[dict[str, str], dict[str, int], list[tuple[int, list[str]]]] | None:
    """Return an export's first words by their meaning, the places of its columns, and its rows."""
    head = "\n".join(text.split("\n", PREAMBLE + 1)[:PREAMBLE])
    if "Behavior" not in head:
        return None
    for delimiter in DELIMITERS:
        try:
            rows = cells(head, delimiter, most=MAX_ROWS)
        except InputError:
            continue
        at = next((n for n, (_, row) in enumerate(rows) if _columns(row)), None)
        if at is None:
            continue
        columns = _columns(rows[at][1])
        preamble = {}
        for _, row in rows[:at]:
            said, value = plain(row[0]), next((c for c in row[1:] if c.strip()), "")
            if said == "observationid":
                preamble["id"] = value.strip()
            elif said.startswith(("player", "mediafile")) and value.strip():
                preamble.setdefault("media", _media(value.strip()))
        return preamble, columns, cells(text, delimiter, most=MAX_ROWS)[at + 1 :]
    return None


def _columns(row: Sequence[str]) -> dict[str, int]:
    """Return the places of an export's columns; empty where these are not their names."""
    names = {
        "behavior": "code", "subject": "subject", "behaviortype": "kind", "status": "kind",
        "eventtype": "kind", "starts": "start", "startseconds": "start", "stops": "stop",
        "stopseconds": "stop", "time": "start", "times": "start", "timeseconds": "start",
        "mediafilename": "media", "mediafilepath": "media", "mediafile": "media", "source": "media",
        "observationid": "id", "totallength": "length", "mediadurations": "length",
        "modifiers": "modifiers", "modifier1": "modifiers", "modifier": "modifiers",
    }  # fmt: skip
    columns: dict[str, int] = {}
    for n, cell in enumerate(row):
        if meaning := names.get(plain(cell)):
            columns.setdefault(meaning, n)
    timed = "start" in columns and ("stop" in columns or "kind" in columns)
    # A table of someone's own may have a column Behavior, too; only BORIS has these.
    of_boris = "kind" in columns or "id" in columns
    return columns if "code" in columns and timed and of_boris else {}


def _media(words: str) -> str:
    """Return the first path in a cell such as `#1:a.mp4` or `1:a.mp4;2:b.mp4`."""
    first = re.split(r"[;|](?=#?\d+:)|\s+(?=#\d+:)", words.strip())[0]
    return re.sub(r"^(player )?#?\d+:\s*", "", first)


def _seconds(words: str) -> float | None:
    return None if words.upper() in ("", "NA", "NAN") else seconds_of(words)
