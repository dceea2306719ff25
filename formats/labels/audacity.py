"""Audacity's label tracks in and out: `start<TAB>end<TAB>label` lines, a file per video.

https://manual.audacityteam.org/man/importing_and_exporting_labels.html: seconds; a label at one
instant has it twice; a line that begins with a backslash gives the frequencies of a spectral
selection, which are left out.
"""

from __future__ import annotations

import re

from ...errors import quantity
from .record import FrameClock, Gathering, Labels, VideoLabels, spaced
from .times import seconds_of

LINE = re.compile(r"\s*[+-]?\d+(?:[.,]\d+)?\t\s*[+-]?\d+(?:[.,]\d+)?(?:\t.*)?")


def looks_like_audacity(text: str) -> bool:
    """Return whether every line is that of a label track, and there is one."""
    lines = [line for line in text.splitlines() if line.strip()]
    return bool(lines) and all(
        line.startswith("\\") or (LINE.fullmatch(line) and line.count("\t") <= 2) for line in lines
    )


def read_audacity(text: str, name: str, clock: FrameClock) -> Labels:
    """Return the labels of a label track.

    Args:
        name: the id of the video.
    """
    gathered = Gathering()
    gathered.video(name)
    spectral = 0
    # Lines end with "\n" alone: a label may hold what else Python takes for the end of one.
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip("\r")
        if line.startswith("\\"):
            spectral += 1
        elif line.strip():
            start, end, label = [*line.split("\t", 2), ""][:3]
            times = [seconds_of(t) for t in (start, end)]
            if times[0] is None or times[1] is None:
                gathered.problem(name, f"line {number}: no times: {line[:40]!r}")
                continue
            gathered.action(name, label.strip(), times[0], times[1], where=f"line {number}")
    if spectral:
        gathered.remarks.append(f"{quantity(spectral, 'range')} of frequencies left out")
    return gathered.labels("Audacity labels", quantity(_lines(text), "label"))


def write_audacity(video: VideoLabels) -> str:
    """Return a video's actions as a label track, with six decimals as Audacity writes them."""
    return "".join(
        f"{a.start_sec:.6f}\t{a.end_sec:.6f}\t{spaced(a.label)}\n" for a in video.actions
    )


def _lines(text: str) -> int:
    return sum(bool(line.strip()) and not line.startswith("\\") for line in text.split("\n"))
