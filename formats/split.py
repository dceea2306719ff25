"""Annotations without subsets in; out comes which videos to train on, and which to keep apart.

Whole videos are divided so that every class has its share of instances in every part, rare classes
first: the iterative stratification of Sechidis et al., "On the Stratification of Multi-Label Data"
(ECML PKDD 2011), with instances in place of examples.
"""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from ..errors import InputError, listed, quantity
from .annotations import AMBIGUOUS, AnnotatedVideo, Annotations
from .names import nfc

logger = logging.getLogger(__name__)

GroupBy = Literal["video", "group"]  # what stays together

TRAIN, KEPT_APART = "training", "validation"
NAMED = 20  # videos that are named; the others are counted


def split(
    truth: Annotations, share: float, *, seed: int = 0, among: Collection[str] | None = None
) -> Annotations:
    """Return the annotations with a subset for every video, and log which went where.

    Args:
        share: of the instances, and of the videos without any, to train on; between 0 and 1.
        seed: another seed divides otherwise; the order of the file changes nothing.
        among: the videos to divide; the others stay without a subset.
    Raises:
        InputError: there are subsets already, or fewer than two videos.
    """
    if not 0 < share < 1:
        raise InputError(f"--split must lie between 0 and 1, is {share:g}")
    if truth.videos and not truth.without_subsets:
        counts = truth.subset_counts().items()
        there = listed(f"{name or 'none'} ({quantity(n, 'video')})" for name, n in counts)
        raise InputError(f"{truth.source}: has subsets already: {there}; leave out --split")
    videos = {k: v for k, v in truth.videos.items() if among is None or k in among}
    units = units_of(videos, "group")
    if len(units) < 2:
        what = "groups" if any(v.group for v in videos.values()) else "videos"
        raise InputError(
            f"{truth.source}: --split divides whole {what}, and there "
            f"{'is one' if videos else 'are none'}"
        )
    shares = {TRAIN: share, KEPT_APART: 1 - share}
    parts = divide(as_one(videos, units), shares, seed=seed)
    divided = with_subsets(truth, {v: parts[unit] for unit, ids in units.items() for v in ids})
    for name in shares:
        ids = [k for k, v in divided.videos.items() if v.subset == name]
        number = sum(len(divided.videos[k].instances) for k in ids)
        logger.info(
            "%s: %s with %s: %s", name, quantity(len(ids), "video"),
            quantity(number, "action"), listed(ids, most=NAMED),
        )  # fmt: skip
    return divided


def units_of(videos: Mapping[str, AnnotatedVideo], group_by: GroupBy) -> dict[str, list[str]]:
    """Return the ids of the videos that stay together, by a name for them."""
    units: dict[str, list[str]] = {}
    for video_id, video in videos.items():
        grouped = group_by == "group" and video.group
        name = f"group {video.group}" if grouped else f"video {video_id}"
        units.setdefault(name, []).append(video_id)
    return units


def as_one(
    videos: Mapping[str, AnnotatedVideo], units: Mapping[str, Sequence[str]]
) -> dict[str, AnnotatedVideo]:
    """Return a video for every unit, with the actions of all of its videos."""
    return {
        name: AnnotatedVideo(name, "", None, tuple(i for v in ids for i in videos[v].instances))
        for name, ids in units.items()
    }


def divide(
    videos: Mapping[str, AnnotatedVideo], shares: Mapping[str, float], *, seed: int = 0
) -> dict[str, str]:
    """Return the part that each video belongs to; no part is empty while there are videos enough.

    Args:
        videos: by id.
        shares: of the instances, by the name of the part; they add up to 1. `{"a": 0.2, ...}`
            with five names makes five folds.
        seed: another seed divides otherwise; the order of `videos` changes nothing.
    """
    counts = {
        k: Counter(i.label for i in videos[k].instances if i.label != AMBIGUOUS)
        for k in sorted(videos)
    }
    order = list(counts)
    random.Random(seed).shuffle(order)
    total = sum(counts.values(), Counter[str]())
    wanted = {name: {label: s * n for label, n in total.items()} for name, s in shares.items()}
    videos_wanted = {name: s * len(order) for name, s in shares.items()}
    left, chosen = Counter(total), dict[str, str]()

    def lack(name: str, label: str | None) -> tuple[float, ...]:
        """How much of its own share a part lacks, so that long videos come to all of them."""
        actions = wanted[name][label] / total[label] if label else 0.0
        return round(actions / shares[name], 9), videos_wanted[name] / shares[name], shares[name]

    def give(video_id: str, label: str | None) -> None:
        """Put a video into the part that lacks most of a label, then most videos."""
        name = max(shares, key=lambda n: lack(n, label))
        chosen[video_id] = name
        videos_wanted[name] -= 1
        for each, number in counts[video_id].items():
            wanted[name][each] -= number
            left[each] -= number

    # The rarest class that is left has the least choice, so its videos are given first.
    while label := min(
        (k for k, n in left.items() if n > 0), key=lambda k: (left[k], k), default=None
    ):
        with_it = [v for v in order if v not in chosen and counts[v][label]]
        for video_id in sorted(with_it, key=lambda v: -counts[v][label]):
            give(video_id, label)
    for video_id in order:
        if video_id not in chosen:
            give(video_id, None)
    # The rule may leave a part empty where videos are few: it gets the smallest of the largest.
    for name in shares:
        sizes = Counter(chosen.values()).most_common()
        if name not in dict(sizes) and sizes and sizes[0][1] > 1:
            of_largest = [v for v in order if chosen[v] == sizes[0][0]]
            chosen[min(of_largest, key=lambda v: (counts[v].total(), v))] = name
    return chosen


def with_subsets(truth: Annotations, subsets: Mapping[str, str]) -> Annotations:
    """Return the annotations with these subsets, by video, in their JSON, too."""
    videos = {k: replace(v, subset=subsets.get(k, v.subset)) for k, v in truth.videos.items()}
    raw = json.loads(truth.text)
    for name, entry in raw["database"].items():
        if (video_id := nfc(name)) in subsets:
            entry["subset"] = subsets[video_id]
    words = f"{truth.form or 'annotations'}, divided"
    return Annotations(videos, json.dumps(raw, indent=1), truth.source, words)
