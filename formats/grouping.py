"""Annotations in, groups of videos out: those that share a person, a day, a camera.

A group is what must stay on one side of every division. By several keys, videos that share any
value are in one group, and so are those that a third one connects: a head that knows the camera
from one of them and the person from another has seen both.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ..errors import InputError, listed, shown
from .annotations import AnnotatedVideo, Annotations
from .names import is_text, nfc
from .split import GroupBy

logger = logging.getLogger(__name__)

VIDEO, GROUP = "video", "group"  # what `--group-by` means by itself
OURS = ("subset", "note")  # text of every video that groups nothing
MOST = 3  # values in the name of a group

_Value = TypeVar("_Value", bound=Hashable)


def group_videos(
    videos: Mapping[str, AnnotatedVideo], truth: Annotations, asked: str | None
) -> tuple[dict[str, AnnotatedVideo], str]:
    """Return the videos with their groups, and what is grouped by: `video`, `group`, or the keys.

    Args:
        videos: of `truth`.
        asked: `video`, `group`, or members of the annotations' videos, "person,camera"; where not
            given, groups if there are some.
    Raises:
        InputError: no video has such a member, or all are one group.
    """
    keys = list(dict.fromkeys(filter(None, (k.strip() for k in (asked or "").split(",")))))
    if asked == VIDEO or keys == [VIDEO]:
        return dict(videos), VIDEO
    if not keys and not any(v.group for v in videos.values()):
        return dict(videos), VIDEO
    keys = [nfc(k) for k in keys] or [GROUP]
    option = f"--group-by {','.join(keys)}"
    values = _values(videos, truth, keys, option)
    if alone := [v for v, own in values.items() if not own]:
        word = " or ".join(keys)
        logger.warning(
            "%d videos have no %s and are dealt one by one: %s", len(alone), word, listed(alone)
        )
    groups = connected({v: own for v, own in values.items() if own})
    named = {v: _name(ids, values, keys) for ids in groups for v in ids}
    grouped = {k: replace(v, group=named.get(k, "")) for k, v in videos.items()}
    if len(groups) == 1 and not alone:
        raise InputError(
            f"{option}: all {len(videos)} videos are one group, since each shares a value with "
            f"another ({named[groups[0][0]]}), and nothing is left to divide"
            + ("; name fewer keys" if len(keys) > 1 else "; name another key, or video")
        )
    if len(keys) > 1:
        largest = max(groups, key=len)
        logger.info(
            "%s: %d groups, the largest of %d of %d videos (%s)",
            option, len(groups), len(largest), len(videos), named[largest[0]],
        )  # fmt: skip
    return grouped, ",".join(keys)


def unit_of(group_by: str) -> GroupBy:
    """Return what is dealt as one."""
    return "video" if group_by == VIDEO else "group"


def connected(values: Mapping[str, Sequence[_Value]]) -> list[list[str]]:
    """Return the names that share a value, directly or by others between; each in one list.

    In the order of `values`.
    """
    holders: dict[_Value, list[str]] = {}
    for name, own in values.items():
        for value in own:
            holders.setdefault(value, []).append(name)
    part_of: dict[str, int] = {}
    for number, first in enumerate(values):
        todo = [] if first in part_of else [first]
        while todo:
            name = todo.pop()
            part_of[name] = number
            # A value is looked at once: after that, all that have it are in this part.
            near = [other for value in values[name] for other in holders.pop(value, ())]
            todo += [other for other in dict.fromkeys(near) if other not in part_of]
    parts: dict[int, list[str]] = {}
    for name in values:
        parts.setdefault(part_of[name], []).append(name)
    return list(parts.values())


def _values(
    videos: Mapping[str, AnnotatedVideo], truth: Annotations, keys: Sequence[str], option: str
) -> dict[str, list[tuple[str, str]]]:
    """Return each video's values, (key, value); none where it has none."""
    database = {nfc(name): raw for name, raw in json.loads(truth.text)["database"].items()}
    members = {v: _members(database.get(v)) for v in videos}
    found = Counter(key for own in members.values() for key in own)
    for key in keys:
        if not found[key]:
            there = [k for k in found if k not in OURS]
            raise InputError(
                f'{option}: no video of the annotations has a "{key}"'
                + (f"; there are: {listed(sorted(there))}" if there else "")
                + "; write one per video, such as the person or the day"
            )
    for v in videos:
        for key in keys:
            raw = (database.get(v) or {}).get(key)
            if raw is not None and key not in members[v] and raw != "":
                raise InputError(
                    f"{truth.source}: {shown(v)}: {key!r} must be text or a whole number to group "
                    f"by, is {shown(raw)}"
                )
    return {v: [(key, own[key]) for key in keys if key in own] for v, own in members.items()}


def _members(raw: Any) -> dict[str, str]:
    """Return what an entry says in text or as a whole number."""
    entries = raw.items() if isinstance(raw, dict) else ()
    return {
        nfc(key): nfc(str(value))
        for key, value in entries
        if type(value) is int or (isinstance(value, str) and value and is_text(value))
    }


def _name(
    ids: Sequence[str], values: Mapping[str, Sequence[tuple[str, str]]], keys: Sequence[str]
) -> str:
    """Return the name of a group: the values of the first key that it has.

    No other has them, so names differ.
    """
    pairs = {pair for v in ids for pair in values[v]}
    key = next(k for k in keys if any(pair[0] == k for pair in pairs))
    every = sorted(value for name, value in pairs if name == key)
    own = ", ".join(every[:MOST]) + (f" and {len(every) - MOST} more" if every[MOST:] else "")
    return own if len(keys) == 1 else f"{key} {own}"
