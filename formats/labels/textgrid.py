"""Praat's TextGrid in: tiers of intervals and points, in its long and its short text form.

https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html: whatever stands between them,
the strings in quotes and the numbers by themselves follow each other in one order. A file is about
the video of its own name; intervals without text are pauses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ...errors import InputError, quantity
from .record import Gathering, Labels

TOKEN = re.compile(
    r'"((?:[^"]|"")*)"|(?<![\w\[.+-])([+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w\].])'
)
POINTS = "TextTier"
TIERS = ("IntervalTier", POINTS)


def looks_like_textgrid(text: str) -> bool:
    """Return whether a text is a TextGrid."""
    return "ooTextFile" in text[:60] and '"TextGrid"' in text[:200]


def read_textgrid(text: str, name: str, *, tiers: Sequence[str] = ()) -> Labels:
    """Return the intervals and points that have a text.

    Args:
        name: the id of the video.
        tiers: the tiers to take; all where none is named.
    Raises:
        InputError: it ends too soon, is damaged, or has no such tier.
    """
    tokens = (word if word is not None else digits for word, digits in _tokens(text))
    gathered = Gathering()
    try:
        for _ in range(2):  # the kind of file, the kind of object
            next(tokens)
        _, end_sec, number = _number(tokens), _number(tokens), _number(tokens)
        gathered.video(name, duration_sec=end_sec)
        names, taken = [], 0
        for _ in range(int(number)):
            kind, tier = next(tokens), next(tokens)
            if kind not in TIERS:
                raise InputError(f"a tier of the kind {kind[:40]!r}")
            names.append(tier)
            _number(tokens), _number(tokens)
            for n in range(int(_number(tokens))):
                start = _number(tokens)
                end = start if kind == POINTS else _number(tokens)
                label = next(tokens).replace('""', '"').strip()
                if label and (not tiers or tier in tiers):
                    taken += 1
                    gathered.action(name, label, start, end, where=f"{tier} {n + 1}")
    except (StopIteration, ValueError, OverflowError):
        raise InputError("a TextGrid that is damaged, or ends too soon") from None
    if missing := [t for t in tiers if t not in names]:
        raise InputError(f"has no tier {missing[0]!r}, but: {', '.join(names) or 'none'}")
    return gathered.labels("Praat TextGrid", quantity(taken, "interval or point", "intervals"))


def _tokens(text: str) -> Iterator[tuple[str | None, str]]:
    for found in TOKEN.finditer(text):
        yield found[1], found[2] or ""


def _number(tokens: Iterator[str]) -> float:
    return float(next(tokens))
