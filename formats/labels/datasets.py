"""Texts that published data sets come in: lists by class, labels by frame, Charades, chapters.

- THUMOS14, MultiTHUMOS: a file per class, `video_test_0000004  0.2  1.1` lines.
- Breakfast, 50 Salads, GTEA as MS-TCN reads them (`groundTruth/*.txt`): a label per frame.
- Charades: `id,...,actions,length` with `c092 11.90 21.20;c147 0.00 12.60` in a cell.
- Chapters under a video of YouTube: `0:00 Intro`, each up to the next one.
"""

from __future__ import annotations

import csv
import re
from itertools import groupby, pairwise

from ...errors import InputError, quantity
from .record import SAME_COUNT, FrameClock, Gathering, Labels, listed
from .tables import MAX_ROWS, cells, plain
from .times import seconds_of

OF_A_CLASS = re.compile(
    r"(video_(validation|test|background)_\d{7})[ \t]+([\d.]+)[ \t]+([\d.]+)[ \t]*"
)
BY_CLASS = "list of one class"  # several files may be about one video
BACKGROUND = {"background", "SIL", "action_start", "action_end"}  # as these data sets call it
LEAST_FRAMES = 10
# The name begins neither with another time nor with a number in a cell: those are tables.
CHAPTER = re.compile(
    r"[(\[]?((?:\d{1,2}:)?\d{1,2}:\d{2})[)\]]?(?:[ \t]*[-–—|:][ \t]+|[ \t]+)"
    r"(?!\d{1,2}:\d{2}|[\d.]*[,;\t|])(\S.*)"
)
SPAN = re.compile(r"(\S+) ([\d.]+) ([\d.]+)")


def read_data_set(text: str, name: str, clock: FrameClock) -> Labels | None:
    """Return the labels of a text in one of these forms; None where it is in none.

    Args:
        name: of the file: the class where it is a list of one class, else the video.
        clock: turns frames into seconds.
    Raises:
        InputError: its times cannot be told.
    """
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not lines:
        return None
    if all(OF_A_CLASS.fullmatch(line) for line in lines):
        return _of_a_class(lines, name)
    if _names_actions(lines[0]):
        return _charades(text)
    if _is_per_frame(lines):
        return _per_frame(lines, name, clock)
    chapters = [CHAPTER.fullmatch(line) for line in lines]
    if len(lines) > 1 and all(chapters):
        found = [(seconds_of(c[1]) or 0.0, c[2].strip()) for c in chapters if c]
        if all(a[0] < b[0] for a, b in pairwise(found)):
            return _chapters(found, name, clock)
    return None


def _of_a_class(lines: list[str], name: str) -> Labels:
    gathered = Gathering()
    label = re.sub(r"_(val|validation|test)$", "", name)
    for n, line in enumerate(lines, start=1):
        if found := OF_A_CLASS.fullmatch(line):
            video_id, subset, *times = found.groups()
            start, end = (seconds_of(t) for t in times)
            if start is None or end is None:
                gathered.problem(video_id, f"line {n}: no times: {line[:60]!r}")
                continue
            gathered.video(video_id, subset=subset)
            gathered.action(video_id, label, start, end, where=f"line {n}")
    gathered.remarks.append(f"the class is the file's name, {label}")
    return gathered.labels(BY_CLASS, quantity(len(lines), "line"))


def _names_actions(first: str) -> bool:
    """Return whether a line names Charades' columns."""
    try:
        names = {plain(c) for c in next(csv.reader([first]))}
    except csv.Error:
        return False
    return {"id", "actions"} <= names


def _charades(text: str) -> Labels:
    gathered = Gathering()
    (_, header), *rows = cells(text, ",", most=MAX_ROWS)
    place = {plain(name): n for n, name in enumerate(header)}
    for line, row in rows:
        cell = {name: row[n] if n < len(row) else "" for name, n in place.items()}
        video_id, where = cell["id"].strip(), f"line {line}"
        if not video_id:
            gathered.problem("", f"{where}: names no video")
            continue
        lasts = seconds_of(cell.get("length", ""))
        gathered.video(video_id, duration_sec=lasts, group=cell.get("subject", "").strip())
        for span in filter(None, (s.strip() for s in cell["actions"].split(";"))):
            found = SPAN.fullmatch(span)
            times = [seconds_of(t) for t in found.groups()[1:]] if found else []
            if not found or len(times) != 2 or times[0] is None or times[1] is None:
                gathered.problem(video_id, f"{where}: no class and two times: {span[:60]!r}")
            else:
                gathered.action(video_id, found[1], times[0], times[1], where=where)
    return gathered.labels("Charades", quantity(len(rows), "video"))


def _is_per_frame(lines: list[str]) -> bool:
    """Return whether each line is one word, most of them the same as the line before."""
    one_word = all(len(line) < 100 and re.fullmatch(r"[^\s,;|<>{}]+", line) for line in lines)
    if not one_word or len(lines) < LEAST_FRAMES or any(seconds_of(n) is not None for n in lines):
        return False
    return sum(1 for _ in groupby(lines)) <= len(lines) / 2


def _per_frame(lines: list[str], name: str, clock: FrameClock) -> Labels:
    times = None if clock.fps else clock.pictures(name)
    pictures = len(times) - 1 if times else len(lines)
    if abs(len(lines) - pictures) > max(2, pictures * SAME_COUNT):
        raise InputError(
            f"has a label for each of {len(lines)} frames, and the video {pictures} pictures; say "
            "at which rate it counts with --label-fps N"
        )
    gathered = Gathering()
    gathered.video(name)
    first, left_out, runs = 0, set(), 0
    for label, run in groupby(lines):
        last = first + sum(1 for _ in run)
        if label in BACKGROUND:
            left_out.add(label)
        else:
            end = min(last, pictures) if times else last
            start_sec, end_sec = (clock.seconds(name, n) for n in (min(first, end), end))
            gathered.action(name, label, start_sec, end_sec, where=f"line {first + 1}")
            runs += 1
        first = last
    if left_out:
        gathered.remarks.append(f"no actions, and left out: {listed(sorted(left_out))}")
    return gathered.labels(f"labels of {len(lines)} frames", quantity(runs, "action"))


def _chapters(found: list[tuple[float, str]], name: str, clock: FrameClock) -> Labels:
    gathered = Gathering()
    gathered.video(name)
    times = clock.pictures(name)
    ends = [start for start, _ in found[1:]] + ([times[-1]] if times else [])
    for n, ((start, label), end) in enumerate(zip(found, ends, strict=False), start=1):
        gathered.action(name, label, start, end, where=f"line {n}")
    if not times:
        start, label = found[-1]
        gathered.remarks.append(
            f"the last one ({label}, from {start:g} s) has no end and is left out; with --videos, "
            "it goes to the end of the video"
        )
    return gathered.labels("chapters", quantity(len(found), "line"))
