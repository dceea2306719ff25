"""Values out of a JSON text, each refused in words where it is not of the kind that is needed.

What annotations and predictions have in common: entries by video, and labelled segments in them.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from ..errors import InputError, shown
from .limits import check_json
from .names import SPELT, is_text, nfc

JSON = "a JSON file"

Record = TypeVar("Record")


class Problem(NamedTuple):
    """Why an entry cannot be read, and of which video it is; of none where the id itself is bad."""

    video_id: str
    says: str

    def __str__(self) -> str:
        return f"{self.video_id}: {self.says}" if self.video_id else self.says


def parse_json(text: str, source: str) -> Any:
    """Return the values in a JSON text.

    Raises:
        InputError: not JSON, or too large; the message begins with `source`.
    """
    check_json(text, source)
    try:
        return json.loads(text)
    except json.JSONDecodeError as e:
        raise InputError(f"{source}: not JSON (line {e.lineno}: {e.msg})") from None
    except (ValueError, RecursionError) as e:  # a number of 4,300 digits; 1,000 lists in lists
        raise InputError(f"{source}: JSON that cannot be read ({e})") from None


def repeated_keys(text: str) -> list[str]:
    """Return the keys that stand more than once in one object of a JSON text."""
    repeated: Counter[str] = Counter()

    def counted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Return an object's members, the last of equal keys; those keys are added up."""
        members = dict(pairs)
        if len(members) < len(pairs):
            repeated.update(Counter(key for key, _ in pairs) - Counter(members.keys()))
        return members

    json.loads(text, object_pairs_hook=counted)
    return list(repeated)


def by_video(raw: Any, key: str, source: str, problems: list[Problem]) -> dict[str, Any]:
    """Return the entries of all videos in the member `key` of a file, by id.

    Args:
        problems: gets a line for each id that is no text or stands twice.
    Raises:
        InputError: there is no such member.
    """
    try:
        entries = member(raw, key, dict)
    except InputError as e:
        raise InputError(f"{source}: {e}") from None
    problems += [Problem("", f"{v!a:.80} is not valid text") for v in entries if not is_text(v)]
    by_id: dict[str, Any] = {}
    for name, entry in entries.items():
        if (video_id := nfc(name)) in by_id:
            problems.append(Problem(video_id, f"stands twice, {SPELT}; keep one of them"))
        elif is_text(name):
            by_id[video_id] = entry
    return by_id


def readable_entries(
    raw: Any,
    read: Callable[[Any], Record],
    video_id: str,
    problems: list[Problem],
    *,
    stretches: str = "",
) -> list[Record]:
    """Return one video's entries as `read` makes them, without those that it refuses.

    Args:
        problems: gets a line for each of these.
        stretches: the member that they are in, where that is not the video's labelled segments.
    """
    if not isinstance(raw, list):
        says = f"a list of labelled segments is needed, not {shown(raw)}"
        if stretches:
            says = f"{stretches!r} must be a list of [start, end] in seconds, is {shown(raw)}"
        problems.append(Problem(video_id, says))
        return []
    records = []
    for n, entry in enumerate(raw):
        try:
            records.append(read(entry))
        except InputError as e:
            of = f" of {stretches!r}" if stretches else ""
            problems.append(Problem(video_id, f"entry {n}{of}: {e}"))
    return records


def labelled_segment(raw: Any) -> tuple[str, float, float]:
    """Return an entry's label, start and end (seconds); an InputError says what is amiss."""
    label = member(raw, "label", str)
    if not label.strip():
        raise InputError("the label is empty")
    segment = member(raw, "segment", list)
    if len(segment) != 2:
        raise InputError(f"'segment' must be [start, end] in seconds, is {shown(segment)}")
    start, end = finite_number(segment[0], "start"), finite_number(segment[1], "end")
    if end < start:
        raise InputError(f"the segment ends ({end} s) before it starts ({start} s)")
    return label, start, end


def member(raw: Any, key: str, kind: type) -> Any:
    """Return a member of an object; an InputError says that it is absent or of another kind."""
    if not isinstance(raw, dict) or key not in raw:
        raise InputError(f"has no {key!r}; ActivityNet-style JSON is needed (docs/feature_file.md)")
    if not isinstance(raw[key], kind):
        raise InputError(f"{key!r} must be a {kind.__name__}, is {shown(raw[key])}")
    if kind is str and not is_text(raw[key]):  # half a surrogate pair: no file or terminal takes it
        raise InputError(f"{raw[key]!a:.80} is not valid text")
    return nfc(raw[key]) if kind is str else raw[key]


def finite_number(value: Any, name: str) -> float:
    """Return a number of JSON's; an InputError names what is none, or not finite."""
    if type(value) not in (float, int) or not abs(value) <= sys.float_info.max:  # JSON has 10**400
        raise InputError(f"{name!r} must be a finite number, is {shown(value)}")
    return float(value)
