"""What is asked of folds in, a number, groups or a file; out comes who is held out where."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, listed, quantity, shown
from .annotations import AMBIGUOUS, AnnotatedVideo, Annotations
from .features import FeatureFile
from .folds import deal_folds, videos_to_deal
from .grouping import VIDEO, group_videos, unit_of
from .ready_folds import check_ids, folds_of, read_folds
from .split import units_of
from .subsets import videos_with_features

logger = logging.getLogger(__name__)

GROUPS = "groups"  # a fold for each group
Asked = int | str | Path | Mapping[str, Any] | Iterable[Any]


@dataclass(frozen=True)
class Dealt:
    """Who is held out where.

    videos: all that take part, with their groups.
    folds: the ids that each holds out; names: of the folds, none where they are numbered.
    always: ids that no fold holds out; every one of them trains on these.
    group_by: what stayed together: `video`, or members of the annotations' videos.
    """

    videos: Mapping[str, AnnotatedVideo]
    folds: tuple[tuple[str, ...], ...]
    group_by: str
    names: tuple[str, ...] = ()
    always: tuple[str, ...] = ()


def name_of(asked: Asked) -> str:
    """Return a name for a folder of such folds."""
    if isinstance(asked, int):
        return f"{asked}folds"
    return Path(asked).stem if isinstance(asked, str | Path) else "folds"


def deal_out(
    file: FeatureFile,
    truth: Annotations,
    asked: Asked,
    *,
    group_by: str | None,
    seed: int,
    train: str = "",
    validation: str = "",
    test: str = "",
) -> Dealt:
    """Return the folds of the annotated videos that have features.

    Args:
        asked: how many; `groups`, for one of each; a JSON file, or what it could hold (see
            `ready_folds`).
        group_by: see `grouping.group_videos`.
        seed: of a number of folds; another one deals otherwise.
        train, validation, test: see `folds.videos_to_deal`.
    Raises:
        InputError: too few videos or groups, or folds that do not fit the videos.
    """
    subsets = {"train": train, "validation": validation, "test": test}
    if asked != GROUPS and not isinstance(asked, int):
        return _as_told(file, truth, asked, group_by, subsets)
    videos, by = group_videos(videos_to_deal(file, truth, **subsets), truth, group_by)
    if isinstance(asked, int):
        if asked < 2:
            raise InputError(f"--folds {asked}: at least two are needed")
        folds = deal_folds(videos, asked, group_by=unit_of(by), seed=seed)
        return Dealt(videos, tuple(map(tuple, folds)), by)
    return _each_group(videos, by, group_by)


def _each_group(videos: Mapping[str, AnnotatedVideo], by: str, asked: str | None) -> Dealt:
    """Return a fold for each group with actions, or for each video where that is asked for."""
    if by == VIDEO and asked is None:
        raise InputError(
            '--folds groups: no video of the annotations has a "group"; name what to group by with '
            "--group-by KEY, or give --group-by video for a fold of each video"
        )
    units = units_of(videos, unit_of(by)).values()
    # What has no group is only held out where single videos are.
    name_of = {v: v if by == VIDEO else video.group for v, video in videos.items()}
    folds = {
        name_of[ids[0]]: tuple(ids) for ids in units if name_of[ids[0]] and _has_action(videos, ids)
    }
    if len(folds) < 2:
        raise InputError(
            f"--folds groups: each fold holds out a {unit_of(by)} with actions, and there "
            f"{'is one' if folds else 'are none'}; two are needed"
        )
    always = _never_held_out(videos, folds.values(), "without a group, or of one without actions")
    return Dealt(videos, tuple(folds.values()), by, tuple(folds), always)


def _as_told(
    file: FeatureFile,
    truth: Annotations,
    asked: Any,
    group_by: str | None,
    subsets: Mapping[str, str],
) -> Dealt:
    """Return folds that somebody has dealt, held to the videos that there are."""
    from_file = isinstance(asked, str | Path)
    source = str(asked) if from_file else "folds"
    ready = read_folds(asked) if from_file else folds_of(asked, source=source)
    named = {v for fold in ready for v in fold.held_out}
    videos = videos_to_deal(file, truth, named=named, **subsets)
    check_ids(ready, videos_with_features(file, truth), videos, source=source)
    for fold in ready:
        if not _has_action(videos, fold.held_out):
            raise InputError(
                f"{source}: fold {shown(fold.name)} holds out "
                f"{quantity(len(fold.held_out), 'video')} without any action, so "
                "nothing can be measured there; put them into another fold"
            )
    folds = tuple(fold.held_out for fold in ready)
    always = _never_held_out(videos, folds, f"in no fold of {source}")
    grouped, _ = group_videos(videos, truth, group_by) if group_by else (videos, "")
    _say_divided(grouped, folds)
    names = tuple(fold.name for fold in ready)
    numbered = names == tuple(map(str, range(len(names))))
    return Dealt(videos, folds, VIDEO, () if numbered else names, always)


def _has_action(videos: Mapping[str, AnnotatedVideo], ids: Iterable[str]) -> bool:
    return any(i.label != AMBIGUOUS for v in ids for i in videos[v].instances)


def _never_held_out(
    videos: Mapping[str, AnnotatedVideo], folds: Iterable[Iterable[str]], why: str
) -> tuple[str, ...]:
    """Return the ids that no fold holds out, and log them."""
    held_out = {v for fold in folds for v in fold}
    always = tuple(v for v in videos if v not in held_out)
    if always:
        logger.warning(
            "%s %s: all folds train there, and none is measured there: %s",
            quantity(len(always), "video"), why, listed(always),
        )  # fmt: skip
    return always


def _say_divided(videos: Mapping[str, AnnotatedVideo], folds: Iterable[Iterable[str]]) -> None:
    """Warn of groups that are on both sides of a fold."""
    of_fold = {v: n for n, fold in enumerate(folds) for v in fold}
    sides: dict[str, set[int]] = {}
    for video_id, video in videos.items():
        if video.group:
            sides.setdefault(video.group, set()).add(of_fold.get(video_id, -1))
    if divided := [group for group, numbers in sides.items() if len(numbers) > 1]:
        logger.warning(
            "%d groups are not held out as one: %s; a head that has learned from a part of a group "
            "knows the rest, which flatters",
            len(divided), listed(divided),
        )  # fmt: skip
