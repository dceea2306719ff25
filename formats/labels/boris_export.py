"""BORIS's exports of events in: tables with START and STOP of each, or aggregated.

The columns are those of BORIS 4 to 9 (https://www.boris.unito.it/user_guide/). Times count from the
start of the observation and contain its time offset; an observation may play several videos, one
after the other, whose lengths the newer versions give.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...errors import InputError, quantity
from .boris import Notes
from .record import Gathering, Labels, id_of_media
from .tables import DELIMITERS, MAX_ROWS, cells, plain
from .times import seconds_of

PREAMBLE = 60  # rows that may stand before the names of the columns
OTHER_PLAYER = re.compile(
    r"[|](?=player)|[;|]?\s*(?=(?:player )?#[2-9]\d*:)|[;|](?=[2-9]\d*:)"
)  # what stands before the second player's videos
NOTHING = ("", "na", "nan", "none", "not found", "live observation")
Row = tuple[int, list[str]]


@dataclass(frozen=True)
class _Place:
    """The video that an event is in, and the observation's time at which that video begins."""

    video_id: str
    media: str
    begins_sec: float
    lasts_sec: float | None


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
    gathered, notes = Gathering(), Notes()
    states = _States(gathered)
    for line, row in rows:
        event = preamble | {
            key: cell
            for key, n in columns.items()
            if n < len(row) and (cell := row[n].strip()).lower() not in NOTHING
        }
        try:
            _take(event, f"line {line}", name, states, gathered, notes)
        except InputError as e:
            gathered.problem(event.get("id", name), f"line {line}: {e}")
    states.finish()
    gathered.remarks += notes.remarks()
    return gathered.labels("BORIS export", quantity(len(rows), "event"))


class _States:
    """The states that have begun and not ended, for each subject and modifier by itself."""

    def __init__(self, gathered: Gathering) -> None:
        self._gathered = gathered
        self._begun: dict[tuple[str, ...], list[tuple[_Place, float]]] = defaultdict(list)

    def begin(self, key: tuple[str, ...], place: _Place, time: float) -> None:
        """Take down a START."""
        self._begun[key].append((place, time))

    def end(self, key: tuple[str, ...], place: _Place, time: float, where: str) -> None:
        """Take down the action that a STOP ends, or a problem where there is none."""
        if not self._begun[key]:
            raise InputError(f"STOP of {key[2]!r} without a START")
        began, start = self._begun[key].pop(0)
        if began.video_id != place.video_id:
            raise InputError(f"{key[2]!r} goes on into the next video")
        times = (start - began.begins_sec, time - began.begins_sec)
        self._gathered.action(place.video_id, key[2], *times, where=where)

    def finish(self) -> None:
        """Take down a problem for each state that never ends."""
        for key, starts in self._begun.items():
            for place, start in starts:
                self._gathered.problem(
                    place.video_id, f"START of {key[2]!r} at {start:g} s without a STOP"
                )


def _take(
    event: Mapping[str, str],
    where: str,
    name: str,
    states: _States,
    gathered: Gathering,
    notes: Notes,
) -> None:
    """Take down one row.

    Raises:
        InputError: it cannot be read.
    """
    place = _place(event, name)
    gathered.video(place.video_id, duration_sec=place.lasts_sec, media=place.media)
    subject, code, modifiers = (event.get(k, "") for k in ("subject", "code", "modifiers"))
    notes.saw(subject, modifiers)
    kind, start, stop = event.get("kind", "").upper(), _time(event, "start"), _time(event, "stop")
    key = (event.get("id", place.video_id), subject, code, modifiers)
    if start is None:
        raise InputError("no time")
    if kind.startswith("POINT"):
        notes.points[code] += 1
        stop = start
    elif kind.startswith("START"):
        states.begin(key, place, start)
        return
    elif kind.startswith("STOP"):
        states.end(key, place, start, where)
        return
    elif stop is None:
        raise InputError(f"no end of {code!r}")
    if place.lasts_sec and len(_played(event)) > 1 and stop > place.begins_sec + place.lasts_sec:
        raise InputError(f"{code!r} goes on into the next video")
    times = (start - place.begins_sec, stop - place.begins_sec)
    gathered.action(place.video_id, code, *times, where=where)


def _place(event: Mapping[str, str], name: str) -> _Place:
    """Return where an event is.

    Raises:
        InputError: the table does not say how long the videos before its own are.
    """
    played = _played(event)
    lasts = [seconds_of(words) for words in re.split("[|]", event.get("length", ""))[0].split(";")]
    media = _paths(event.get("media", ""))[0] or (played[0] if played else "")
    ids = [id_of_media(p) for p in played]
    video_id = id_of_media(media) or event.get("id") or name
    before = ids.index(video_id) if video_id in ids else 0
    if None in lasts[:before] or len(lasts) < before:
        raise InputError(
            f"the observation plays {len(played)} videos in a row, and the table does not say how "
            "long they are; export them from a project that knows (tsatal reads projects, too)"
        )
    begins = (_time(event, "offset") or 0.0) + sum(s for s in lasts[:before] if s is not None)
    return _Place(video_id, media, begins, lasts[before] if before < len(lasts) else None)


def _played(event: Mapping[str, str]) -> list[str]:
    """Return the videos that the first player of an observation shows, in their order."""
    return [p for p in _paths(event.get("source", "")) if p]


def _paths(words: str) -> list[str]:
    """Return the paths of the first player in a cell.

    Cells are such as `v.mp4`, `1:v.mp4`, `player #1:a.mp4;b.mp4|player #2:c.mp4`, `#1: a.mp4`.
    """
    first = OTHER_PLAYER.split(words)[0]
    paths = re.sub(r"^(player )?#?\d+:\s*", "", first.strip()).split(";")
    return [p.strip() for p in paths] or [""]


def _time(event: Mapping[str, str], key: str) -> float | None:
    """Return a time in a row, in seconds; None where there is none.

    Raises:
        InputError: it is no time.
    """
    words = event.get(key, "")
    if not words:
        return None
    if (found := seconds_of(words)) is None:
        raise InputError(f"the {key} is no time: {words[:40]!r}")
    return found


def _export(text: str) -> tuple[dict[str, str], dict[str, int], list[Row]] | None:
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
        preamble: dict[str, str] = {}
        for _, row in rows[:at]:
            said, value = plain(row[0]), next((c for c in row[1:] if c.strip()), "").strip()
            if said == "observationid":
                preamble["id"] = value
            elif said in ("timeoffset", "timeoffsets"):
                preamble["offset"] = value
            elif said.startswith(("player", "mediafile")) and value:
                preamble.setdefault("media", value)
        return preamble, _columns(rows[at][1]), cells(text, delimiter, most=MAX_ROWS)[at + 1 :]
    return None


def _columns(row: Sequence[str]) -> dict[str, int]:
    """Return the places of an export's columns; empty where these are not their names."""
    names = {
        "behavior": "code", "subject": "subject", "behaviortype": "kind", "status": "kind",
        "eventtype": "kind", "starts": "start", "startseconds": "start", "stops": "stop",
        "stopseconds": "stop", "time": "start", "times": "start", "timeseconds": "start",
        "mediafilename": "media", "mediafilepath": "media", "mediafile": "media",
        "mediafiles": "source", "source": "source", "timeoffsets": "offset",
        "timeoffset": "offset", "observationid": "id", "totallength": "length",
        "mediadurations": "length", "mediaduration": "length", "modifiers": "modifiers",
        "modifier1": "modifiers", "modifier": "modifiers",
    }  # fmt: skip
    columns: dict[str, int] = {}
    for n, cell in enumerate(row):
        if meaning := names.get(plain(cell)):
            columns.setdefault(meaning, n)
    timed = "start" in columns and ("stop" in columns or "kind" in columns)
    # A table of someone's own may have a column Behavior, too; only BORIS has these.
    of_boris = "kind" in columns or "id" in columns
    return columns if "code" in columns and timed and of_boris else {}
