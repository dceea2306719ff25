"""Subtitles in and out: WebVTT and SubRip (SRT), an action per cue, a file per video.

WebVTT: https://www.w3.org/TR/webvtt1/. SubRip has no standard; players agree on a number, a line
`hh:mm:ss,mmm --> hh:mm:ss,mmm`, and text up to an empty line. A detection's score stands in
parentheses after its label.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from functools import partial

from ...errors import quantity
from ..annotations import Detection
from .record import Action, FrameClock, Gathering, Labels, VideoLabels
from .times import seconds_of, stamp

CUE = re.compile(r"\s*([\d:.,]+)\s+-->\s+([\d:.,]+)(?:\s.*)?")
TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
PAIR = re.compile(r"<(b|i|u|font)\b[^<>]{0,200}>(.*?)</\1>", re.IGNORECASE)
SCORE = re.compile(r"(.+) \((-?\d+\.\d+(?:e[+-]?\d+)?)\)", re.DOTALL)
NO_TEXT = ("WEBVTT", "NOTE", "STYLE", "REGION")  # blocks of WebVTT that are no cues


def looks_like_subtitles(text: str) -> bool:
    """Return whether a text is WebVTT or SubRip."""
    begin = text.lstrip()
    first = begin.split("\n", 3)
    return begin.startswith("WEBVTT") or any(CUE.fullmatch(line) for line in first[:2])


def read_subtitles(text: str, name: str, clock: FrameClock) -> Labels:
    """Return the cues of subtitles as labels.

    Where every cue ends with a number in parentheses, these are scores.

    Args:
        name: the id of the video.
    """
    gathered = Gathering()
    gathered.video(name)
    webvtt = text.lstrip().startswith("WEBVTT")
    cues = []
    for number, block in enumerate(re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")), start=1):
        lines = block.strip("\n").split("\n")
        timed = next((n for n, line in enumerate(lines[:2]) if CUE.fullmatch(line)), None)
        if timed is None:
            if block.strip() and not (webvtt and block.lstrip().startswith(NO_TEXT)):
                gathered.problem(name, f"block {number}: no cue: {block.strip()[:40]!r}")
            continue
        found = CUE.fullmatch(lines[timed])
        times = [seconds_of(words) for words in found.groups()] if found else []
        said = " ".join(line.strip() for line in lines[timed + 1 :]).strip()
        # In WebVTT every "<" begins a tag; SubRip has pairs of a few, and no other way to say "<".
        said = html.unescape(TAG.sub("", said)) if webvtt else PAIR.sub(r"\2", said)
        if len(times) != 2 or times[0] is None or times[1] is None:
            gathered.problem(name, f"block {number}: no times: {lines[timed][:40]!r}")
            continue
        cues.append((times[0], times[1], said, f"block {number}"))
    scored = [SCORE.fullmatch(said) for _, _, said, _ in cues]
    for (start, end, said, where), match in zip(cues, scored, strict=True):
        label, score = (match[1], float(match[2])) if match and all(scored) else (said, None)
        gathered.action(name, label, start, end, score=score, where=where)
    return gathered.labels("WebVTT" if webvtt else "SRT subtitles", quantity(len(cues), "cue"))


def write_webvtt(video: VideoLabels) -> str:
    """Return a video's actions as WebVTT, in the order of time."""
    escaped = partial(html.escape, quote=False)
    cues = [
        f"{stamp(a.start_sec, '.')} --> {stamp(a.end_sec, '.')}\n{_said(a, escaped)}\n"
        for a in _in_time(video)
    ]
    return "\n".join(["WEBVTT\n", *cues])


def write_srt(video: VideoLabels) -> str:
    """Return a video's actions as SubRip, in the order of time."""
    return "\n".join(
        f"{n}\n{stamp(a.start_sec, ',')} --> {stamp(a.end_sec, ',')}\n{_said(a, str)}\n"
        for n, a in enumerate(_in_time(video), start=1)
    )


def _in_time(video: VideoLabels) -> list[Action]:
    return sorted(video.actions, key=lambda a: (a.start_sec, a.end_sec))


def _said(action: Action, written: Callable[[str], str]) -> str:
    label = written(" ".join(action.label.split()))
    return f"{label} ({action.score:.4f})" if isinstance(action, Detection) else label
