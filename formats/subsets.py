"""Annotations and a feature file in; out come the videos to train on, to watch, and to test on."""

from __future__ import annotations

import logging
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError, listed, quantity, shown
from .annotations import AnnotatedVideo, Annotations
from .features import FeatureFile
from .labels.find import AS_IT_IS, HowToRead, load_annotations
from .names import as_spelled, nfc
from .split import split

logger = logging.getLogger(__name__)

MAX_NAMED = 5  # names in a message; the rest are counted
ALL = "all videos"  # the name of the subset where annotations have none
NO_VALIDATION = "none"  # in place of a subset's name: nothing is validated on


@dataclass(frozen=True)
class Subsets:
    """The names of the subsets to train on, to watch during training (or empty), and to test on."""

    train: str
    validation: str
    test: str


def choose_subsets(
    annotated: Mapping[str, int], *, train: str = "", validation: str = "", test: str = ""
) -> Subsets:
    """Return the roles of the subsets: as the user names them, else by their usual names.

    ActivityNet and most others train on `training` and have `validation`, and perhaps `testing`
    with annotations; THUMOS14 trains on `validation` and has `test`. A single held-out subset is
    both watched and tested on.

    Args:
        annotated: the number of videos with actions and features, by subset.
        train, validation, test: names given by the user, in any capitals; empty to find them.
            A validation of `NO_VALIDATION`, where no subset has that name, is none; where that
            leaves nothing to test on, it is what is trained on.
    Raises:
        InputError: a named subset has no such video, or a role cannot be told by name; the
            message lists what there is.
    """
    train, validation, test = (as_spelled(nfc(n), annotated) for n in (train, validation, test))
    unwatched = validation == NO_VALIDATION and not annotated.get(validation)
    validation = "" if unwatched else validation
    if set(annotated) == {""} and not (train or validation or test):
        raise InputError(
            "the annotations name no subsets; divide the videos into those to train on and those "
            "to keep apart with --split 0.7"
        )
    if not annotated:
        raise InputError(
            "no video with features has an action in the annotations; put some in, or look for "
            "what is wrong with `tsatal check`"
        )
    there = listed(f"{name!r} ({quantity(n, 'video')})" for name, n in annotated.items())
    for name in filter(None, (train, validation, test)):
        if not annotated.get(name):
            raise InputError(
                f"no video with actions and features is in subset {shown(name)}; there are: {there}"
                "; name one with --set data.train_subset=NAME (or test_subset)"
            )

    def first(*names: str) -> str:
        spelled = (as_spelled(n, annotated) for n in names)
        return next((n for n in spelled if annotated.get(n)), "")

    held_out = first("testing", "test")
    train = train or first("training", "train") or (first("validation", "val") if held_out else "")
    watched = first("validation", "val")
    watched = "" if watched == train else watched
    test = test or held_out or watched or validation or (train if unwatched else "")
    validation = "" if unwatched else validation or watched or test
    if len(annotated) == 1 and not (train and test):
        (only,) = annotated
        other = "training" if only in ("validation", "val", "testing", "test") else "validation"
        named = f"--set {shlex.quote(f'data.test_subset={only}')}"
        named = named if train else f"--set {shlex.quote(f'data.train_subset={only}')} {named}"
        raise InputError(
            f"all videos with actions and features are in subset {only!r}; put some into {other!r} "
            "to measure on what was not trained on; or measure on what was trained on, which "
            f"flatters: {named}"
        )
    if not train or not test:
        role, missing = ("training", "train") if not train else ("test", "test")
        raise InputError(
            f"cannot tell the {role} subset by name; there are: {there}; "
            f"name it with --set data.{missing}_subset=NAME"
        )
    return Subsets(train, validation, test)


def find_annotations(
    file: FeatureFile, path: str | Path | None, how: HowToRead = AS_IT_IS
) -> Annotations:
    """Return the annotations in `path`, or else those inside the feature file.

    Args:
        how: a split divides the videos that have features.
    Raises:
        InputError: there are none.
    """
    truth = load_annotations(path, replace(how, split=None)) if path else file.annotations()
    if truth is None:
        raise InputError(
            f"{file.path}: has no annotations inside; give --annotations FILE.json, or put them "
            f"in with `tsatal extract VIDEOS {file.path} --annotations FILE.json`"
        )
    if how.split is None:
        return truth
    return split(truth, how.split, seed=how.seed, among=set(file.video_ids))


def subset_to_measure(truth: Annotations, asked: str | None, usual: str) -> str:
    """Return the subset to measure on; empty, for all videos, where no video is in one.

    Args:
        asked: by the user, or by an earlier evaluation.
        usual: taken where nothing was asked.
    """
    if truth.without_subsets and asked in (None, "", ALL):
        logger.warning(
            "%s names no subsets: all of its videos are measured on, those of the training too",
            truth.source,
        )
        return ""
    return asked or usual


def videos_with_features(file: FeatureFile, truth: Annotations) -> dict[str, AnnotatedVideo]:
    """Return the annotated videos that have features, in the annotations' order."""
    ids = set(file.video_ids)
    return {name: video for name, video in truth.videos.items() if name in ids}


def videos_in_subset(
    file: FeatureFile, truth: Annotations, subset: str
) -> dict[str, AnnotatedVideo]:
    """Return the videos of a subset that have features; log the others."""
    wanted = truth.subset(subset)
    there = {k: v for k, v in videos_with_features(file, truth).items() if k in wanted}
    there = with_durations(file, there)
    missing = [name for name in wanted if name not in there]
    if not there:
        raise InputError(
            f"{file.path}: has features of none of the {len(wanted)} {subset} videos"
            "; `tsatal check` compares the ids"
        )
    if missing:
        logger.warning(
            "%d of %d %s videos have no features and are left out: %s",
            len(missing), len(wanted), subset, some_names(missing),
        )  # fmt: skip
    return there


def with_durations(
    file: FeatureFile, videos: Mapping[str, AnnotatedVideo]
) -> dict[str, AnnotatedVideo]:
    """Return the videos with the features' duration where the annotations give none above 0."""
    ids = set(file.video_ids)
    filled = dict(videos)
    for video_id, video in videos.items():
        if video_id in ids and not (video.duration_sec or 0) > 0:
            with suppress(InputError):  # it cannot be read, which is said where it is used
                duration = file.time_axis(video_id).duration_sec
                filled[video_id] = replace(video, duration_sec=duration)
    return filled


def some_names(names: Sequence[str]) -> str:
    """Return the first few names, for a message."""
    return ", ".join(names[:MAX_NAMED]) + (", ..." if len(names) > MAX_NAMED else "")


def subset_to_test(truth: Annotations) -> str:
    """Return the subset to test on, by name; the only one that has actions, if there is but one.

    Raises:
        InputError: it cannot be told by name; the message lists what there is.
    """
    annotated = Counter(v.subset for v in truth.videos.values() if v.instances)
    if len(annotated) == 1:
        return next(iter(annotated))
    try:
        return choose_subsets(annotated).test
    except InputError:
        raise InputError(
            f"{truth.source}: cannot tell the test subset by name; name it with --subset; "
            f"with actions there are: {listed(annotated)}"
        ) from None


def report_unmatched(video_ids: set[str], truth: Annotations) -> None:
    """Log the numbers of videos without annotations, and of annotations without a video."""
    unknown = sorted(video_ids - set(truth.videos))
    absent = len(set(truth.videos) - video_ids)
    logger.info(
        "annotations of %d videos from %s, %d of them without a video here",
        len(truth.videos), truth.source, absent,
    )  # fmt: skip
    if unknown:
        logger.warning("%d videos have no annotations: %s", len(unknown), some_names(unknown))
