"""The ways in which tables and subtitles write an instant, to seconds and back."""

from __future__ import annotations

import re

NUMBER = re.compile(
    r"([+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d{1,3})?)\s*(?:s|sec|secs|seconds)?", re.I
)
CLOCK = re.compile(r"(-?)(?:(\d{1,4}):)?(\d{1,4}):(\d{1,2}(?:[.,]\d*)?)")
TIMECODE = re.compile(r"(\d{1,3}):(\d{1,2}):(\d{1,2})[:;](\d{1,3})")
NO_NUMBER = re.compile(r"[+-]?(nan|inf|infinity)", re.I)
MAX_SEC = 1e9  # beyond which lies no video
MAX_LETTERS = 40  # of an instant; longer digits are no time


def seconds_of(words: str, *, fps: float | None = None) -> float | None:
    """Return an instant in seconds, or None where the words are none.

    Takes numbers with a point or a comma (`12.5`, `12,5`), clocks (`1:02.5`, `01:02:03,4`), with a
    rate timecodes (`01:02:03:12`), and the words NaN and inf, which no label may have.
    """
    words = words.strip()
    if not words or len(words) > MAX_LETTERS:
        return None
    if found := NUMBER.fullmatch(words):
        return float(found[1].replace(",", "."))
    if found := CLOCK.fullmatch(words):
        sign, hours, minutes, seconds = found.groups()
        total = 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds.replace(",", "."))
        total = round(total, 9)  # so that 1:05.494 is 65.494
        return -total if sign else total
    if fps and (found := TIMECODE.fullmatch(words)):
        hours, minutes, seconds, frames = map(int, found.groups())
        return 3600 * hours + 60 * minutes + seconds + frames / fps
    return float(words) if NO_NUMBER.fullmatch(words) else None


def exact(seconds: float) -> str:
    """Return seconds in the shortest digits that read back as the same number."""
    return repr(float(seconds)).removesuffix(".0")


def milliseconds(seconds: float) -> int:
    """Return seconds as whole milliseconds, none below 0 or beyond `MAX_SEC`."""
    return round(min(max(seconds, 0.0), MAX_SEC) * 1000)


def stamp(seconds: float, mark: str) -> str:
    """Return an instant as `hh:mm:ss.mmm` with `mark` before the milliseconds."""
    whole, thousandths = divmod(milliseconds(seconds), 1000)
    minutes, rest = divmod(whole, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest:02d}{mark}{thousandths:03d}"
