"""Tables of labels in and out: CSV, TSV and Excel's CSV, with or without a line of names.

A table has a row per action. Columns are found by their names, in the common variants; without
names, by what is in them. TRACE's files are tables of one video (`labelId,timestamp,endTimestamp`;
`trace_tad/server/app.py` of trace-tad 0.2.2 writes them beside the videos).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import InputError, listed, quantity
from ..annotations import FOREVER_SEC, Detection
from .record import (
    FrameClock,
    Gathering,
    Labels,
    VideoLabels,
    id_of_media,
    looks_like_media,
)
from .times import TIMECODE, exact, seconds_of

DELIMITERS = "\t;|,"  # in this order: a comma may be a decimal point, or stand in a label
MAX_ROWS = 500_000
MAX_CELL = 10_000  # letters
SAMPLE = 200  # rows that tell the kind of a column without a name

# Names of columns, without case, spaces, points and units; the better ones first.
NAMES = {
    "video": "video videoid videoname videofile videofilename videopath mediafilename "
    "mediafilepath mediafile media filename file filepath path youtubeid clipid clip recording "
    "vid source observationid datei url videourl link",
    "label": "label labelname labelid labels behavior behaviour class classname action actionlabel "
    "actionname activity activityname event eventtype category code annotation tag klasse "
    "markername name type verb",
    "start": "start starttime timestart starttimestamp tstart begin begintime beginning from onset "
    "timestamp anfang beginn von in recordin t0",
    "end": "end endtime timeend endtimestamp tend stop stoptime stoptimestamp finish until to "
    "offset ende bis out recordout t1",
    "score": "score confidence conf probability prob",
    "subset": "subset split set partition",
    "fps": "fps framerate framespersecond rate videofps",
    "length": "duration length dauer",
    "duration": "videoduration videolength totallength mediaduration",
    "ignore": "ignore ignored",
    "group": "group groupid participant participantid",
}
UNITS = {
    "": 1.0, "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "ms": 0.001,
    "msec": 0.001, "milliseconds": 0.001, "min": 60.0, "minutes": 60.0, "frame": 0.0,
    "frames": 0.0, "frameno": 0.0, "framenumber": 0.0, "frameindex": 0.0, "sek": 1.0,
}  # fmt: skip
FRAME = 0.0  # in UNITS: numbers of frames
NO = ("", "0", "no", "false", "nein")  # in a column `ignore`
TRACE = {"labelId", "timestamp", "endTimestamp"}

# Columns without names, by what is in them: N times or numbers, T text.
UNNAMED = {
    "TTNN": ("video", "label", "start", "end"),
    "NTNN": ("video", "label", "start", "end"),
    "TTNNN": ("video", "label", "start", "end", "score"),
    "NTNNN": ("video", "label", "start", "end", "score"),
    "TNNT": ("video", "start", "end", "label"),
    "NNNT": ("video", "start", "end", "label"),
    "TNNTN": ("video", "start", "end", "label", "score"),
    "NNNTN": ("video", "start", "end", "label", "score"),
    "NNTT": ("start", "end", "label", "video"),
    "TNN": ("label", "start", "end"),
    "NNT": ("start", "end", "label"),
}


@dataclass(frozen=True)
class _Columns:
    """The places of columns by their meaning, and the units of times."""

    place: dict[str, int]
    unit: dict[str, float]


def looks_like_table(text: str) -> bool:
    """Return whether a text is a table that `read_table` can tell the columns of."""
    return _layout(text) is not None


def why_none(text: str) -> str:
    """Return what a text that is no table of labels lacks; empty where it is no table at all."""
    lines = [n for n in text.split("\n", SAMPLE) if n.strip() and n.strip()[0] != "#"][:2]
    delimiter = max(DELIMITERS, key=lambda d: lines[0].count(d)) if len(lines) > 1 else ","
    names = [cell.strip().strip('"') for cell in lines[0].split(delimiter)] if lines else []
    alike = len({line.count(delimiter) for line in lines}) == 1
    if len(names) < 2 or not alike or any(seconds_of(n) is not None for n in names):
        return ""
    return (
        f"a table with the columns {listed(names, most=12)}; label, start and end (or duration) "
        "are needed, and video where it is about several"
    )


def read_table(text: str, name: str, clock: FrameClock) -> Labels:
    """Return the labels in a table.

    Args:
        name: the id of the video where no column names one.
        clock: turns frames into seconds.
    Raises:
        InputError: its columns cannot be told, or it has too many rows.
    """
    found = _layout(text)
    if found is None:
        raise InputError(
            "no table of labels: give it a first line such as video,label,start,end"
            " (docs/labels.md)"
        )
    delimiter, named, columns = found
    rows = cells(text, delimiter, most=MAX_ROWS + named)
    header, body = (rows[0][1], rows[1:]) if named else ([], rows)
    if _answers(header, body, columns):
        raise InputError(
            "a table of clips with a yes or no for a class (HACS Clips), and not of actions"
        )
    gathered = Gathering()
    trace = {cell.strip() for cell in header} >= TRACE
    for line, row in body:
        _take(row, f"line {line}", columns, name, clock, gathered)
    if header:
        unread = [c for n, c in enumerate(header) if c.strip() and n not in columns.place.values()]
        if unread:
            gathered.remarks.append(f"columns that are not read: {', '.join(unread[:8])}")
    else:
        order = sorted(columns.place, key=columns.place.__getitem__)
        gathered.remarks.append(f"no line of names; read as {','.join(order)}")
    if "video" not in columns.place:
        gathered.video(name)
        if not trace:
            gathered.remarks.append(f"no column of videos; all of it is about {name}")
    form = "TRACE labels" if trace else "table of labels"
    return gathered.labels(form, quantity(len(body), "row"))


def _answers(
    header: Sequence[str], body: Sequence[tuple[int, list[str]]], columns: _Columns
) -> bool:
    """Return whether the labels are a 1 or -1 for the class that another column names."""
    names, place = [plain(cell) for cell in header], columns.place["label"]
    if "classname" not in names or names[place] != "label":
        return False
    return {row[place].strip() for _, row in body if place < len(row)} in (
        {"1"},
        {"-1"},
        {"1", "-1"},
    )


def write_table(videos: Sequence[VideoLabels], *, delimiter: str = ",") -> str:
    """Return a table with a row per action, and one for a video without any.

    Columns are video, label, start_sec, end_sec, and where there are such score, subset,
    video_duration_sec, group and ignore. Numbers have all their digits. A stretch that counts
    neither way has no label, a yes in `ignore`, and no end where it goes on to the video's end.
    """
    scores = any(isinstance(a, Detection) for v in videos for a in v.actions)
    subsets = any(v.subset for v in videos)
    durations = any(v.duration_sec is not None for v in videos)
    groups, ignored = any(v.group for v in videos), any(v.ignored for v in videos)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    more = ["score"] * scores + ["subset"] * subsets + ["video_duration_sec"] * durations
    more += ["group"] * groups + ["ignore"] * ignored
    writer.writerow(["video", "label", "start_sec", "end_sec", *more])
    for v in videos:
        last = [v.subset] * subsets
        last += ["" if v.duration_sec is None else exact(v.duration_sec)] * durations
        last += [v.group] * groups
        for a in v.actions:
            score = [exact(a.score) if isinstance(a, Detection) else ""] * scores
            times = [exact(a.start_sec), exact(a.end_sec)]
            writer.writerow([v.video_id, a.label, *times, *score, *last, *[""] * ignored])
        for start, end in v.ignored:
            times = [exact(start), "" if end >= FOREVER_SEC else exact(end)]
            writer.writerow([v.video_id, "", *times, *[""] * scores, *last, "yes"])
        if not v.actions and not v.ignored:
            writer.writerow([v.video_id, "", "", "", *[""] * scores, *last, *[""] * ignored])
    return text.getvalue()


def write_trace(video: VideoLabels) -> str:
    """Return a video's actions as TRACE's table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["labelId", "timestamp", "endTimestamp"])
    writer.writerows([a.label, exact(a.start_sec), exact(a.end_sec)] for a in video.actions)
    return text.getvalue()


def cells(text: str, delimiter: str, *, most: int) -> list[tuple[int, list[str]]]:
    """Return the rows that hold something, each with the number of its line, from 1.

    Lines that begin with `#` are comments.

    Raises:
        InputError: more rows than `most`, or quotes that do not end.
    """
    rows: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        for row in reader:
            if not any(cell.strip() for cell in row) or row[0].lstrip().startswith("#"):
                continue
            if len(rows) >= most:
                raise InputError(f"more than {MAX_ROWS:,} lines of a table; split the file")
            rows.append((reader.line_num, row))
    except csv.Error as e:
        raise InputError(f"line {reader.line_num}: {e}") from None
    return rows


def plain(column: str) -> str:
    """Return the name of a column without case, spaces and signs."""
    return re.sub(r"[^a-z0-9]", "", column.casefold())


def _layout(text: str) -> tuple[str, bool, _Columns] | None:
    """Return the delimiter of a table, whether it has a line of names, and its columns."""
    lines = text.split("\n", SAMPLE + 1)[: SAMPLE + 1]
    first = next((n for n in lines if n.strip() and not n.lstrip().startswith("#")), "")
    for delimiter in DELIMITERS:
        try:
            named = [_by_names(row) for _, row in cells(first, delimiter, most=1) if len(row) > 2]
            if named and named[0]:
                return delimiter, True, named[0]
            sample = [row for _, row in cells("\n".join(lines), delimiter, most=MAX_ROWS)]
        except InputError:
            continue
        if sample and len(sample[0]) > 2 and (columns := _by_content(sample)):
            return delimiter, False, columns
    return None


def _by_names(header: Sequence[str]) -> _Columns | None:
    """Return the columns by their names; None where these are no names, or not enough."""
    place: dict[str, int] = {}
    unit: dict[str, float] = {}
    best: dict[str, tuple[float, int]] = {}
    for n, cell in enumerate(header):
        for meaning, rank, factor in _meanings(plain(cell)):
            # Seconds go before frames, and better names before others.
            key = (float(factor == FRAME), rank)
            if meaning not in best or key < best[meaning]:
                best[meaning], place[meaning], unit[meaning] = key, n, factor
    if "end" in place or "duration" in place or "length" not in place:
        place.pop("length", None)
    enough = {"label", "start"} <= set(place) and ("end" in place or "length" in place)
    if not enough or len(set(place.values())) < len(place):
        return None
    return _Columns(place, unit)


def _meanings(name: str) -> list[tuple[str, int, float]]:
    """Return the meanings that a column's name may have, with the name's rank and the unit."""
    found = []
    for meaning, words in NAMES.items():
        names = words.split()
        if meaning not in ("start", "end", "length", "duration"):
            if name in names:
                found.append((meaning, names.index(name), 1.0))
            continue
        for unit, factor in UNITS.items():
            for whole in {name.removesuffix(unit), name.removeprefix(unit)} if unit else {name}:
                if whole in names and (not unit or whole != name):
                    found.append((meaning, names.index(whole), factor))
    return found


def _by_content(sample: Sequence[Sequence[str]]) -> _Columns | None:
    """Return the columns of a table without names, by what is in them."""
    width = len(sample[0])
    if any(len(row) != width for row in sample):
        return None
    kinds = "".join(
        "N" if all(seconds_of(row[n], fps=25) is not None for row in sample) else "T"
        for n in range(width)
    )
    meanings = UNNAMED.get(kinds)
    if meanings is None:
        return None
    if kinds == "TTNN" and looks_like_media(sample[0][1]) and not looks_like_media(sample[0][0]):
        meanings = ("label", "video", "start", "end")
    place = {meaning: n for n, meaning in enumerate(meanings)}
    return _Columns(place, {"start": 1.0, "end": 1.0})


def _take(
    row: Sequence[str],
    where: str,
    columns: _Columns,
    name: str,
    clock: FrameClock,
    gathered: Gathering,
) -> None:
    """Take down the action in a row, or what is wrong with it."""

    def cell(meaning: str) -> str:
        place = columns.place.get(meaning, -1)
        return row[place].strip() if 0 <= place < len(row) else ""

    video_id = id_of_media(cell("video")) if "video" in columns.place else name
    if any(len(c) > MAX_CELL for c in row):
        gathered.problem("", f"{where}: a cell of more than {MAX_CELL:,} letters")
        return
    if not video_id:
        gathered.problem("", f"{where}: names no video")
        return
    media = cell("video") if looks_like_media(cell("video")) else ""
    try:
        stated = _number(cell("fps"), "fps") if cell("fps") else None
        if stated is not None and not 0 < stated <= 100_000:
            raise InputError(f"the rate is {stated:g} frames per second")
        duration = cell("duration")
        lasts = _instant("duration", duration, columns, video_id, clock, None) if duration else None
        gathered.video(
            video_id, subset=cell("subset"), duration_sec=lasts, media=media, group=cell("group")
        )
        label, start = cell("label"), cell("start")
        if not label and not start and not cell("end"):
            return  # a video without actions
        start_sec = _instant("start", start, columns, video_id, clock, stated)
        if cell("ignore").casefold() not in NO and not cell("end") + cell("length"):
            gathered.ignore(video_id, start_sec, FOREVER_SEC, where=where)
            return
        if "length" in columns.place:
            end_sec = start_sec + _instant(
                "length", cell("length"), columns, video_id, clock, stated
            )
        else:
            end_sec = _instant("end", cell("end"), columns, video_id, clock, stated)
        score = _number(cell("score"), "score") if cell("score") else None
    except InputError as e:
        gathered.problem(video_id, f"{where}: {e}")
        return
    if cell("ignore").casefold() not in NO:
        gathered.ignore(video_id, start_sec, end_sec, where=where)
        return
    gathered.action(video_id, label, start_sec, end_sec, score=score, where=where)


def _instant(
    meaning: str,
    words: str,
    columns: _Columns,
    video_id: str,
    clock: FrameClock,
    stated_fps: float | None,
) -> float:
    """Return the time in a cell, in seconds."""
    found = seconds_of(words, fps=clock.fps or stated_fps)
    if found is None and TIMECODE.fullmatch(words):
        raise InputError(
            f"{words} counts in frames, whose rate is not known; give it with --label-fps N"
        )
    if found is None:
        raise InputError(f"the {meaning} is no time: {words[:40]!r}" if words else f"no {meaning}")
    unit = columns.unit.get(meaning, 1.0)
    if unit == FRAME and found == found and abs(found) < 1e12:  # NaN is told of as a time
        return clock.seconds(video_id, found, stated_fps=stated_fps)
    return found * unit if unit not in (FRAME, 1.0) else found


def _number(words: str, name: str) -> float:
    found = seconds_of(words)
    if found is None or ":" in words:
        raise InputError(f"the {name} is no number: {words[:40]!r}")
    return found
