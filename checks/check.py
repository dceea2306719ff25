"""Annotations, detections or a feature file in, findings out: what would ruin a result silently.

`check_file` is the command's; `warnings_for_training` finds what can be found at the start of a
training without reading rows. All kinds of findings stand in `findings.KINDS`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..errors import InputError, quantity
from ..formats.annotations import Annotations, class_labels
from ..formats.features import FeatureFile, TimeAxis, embedded_in, looks_like_features
from ..formats.labels.detections import Detections, detections_in, hold_detections
from ..formats.labels.find import (
    AS_IT_IS,
    DETECTIONS,
    HowToRead,
    keys_that_repeat,
    load_annotations,
    read_labels,
)
from ..formats.names import nfc
from ..formats.split import split
from ..formats.subsets import Subsets, subset_to_test, videos_with_features
from .findings import NO_ANNOTATIONS, NOTE, Case, Finding, Report, collect
from .predictions import check_predictions
from .rows import check_ids, check_rows, check_times, usable_axes
from .truth import (
    actions,
    check_instances,
    check_labels,
    check_subsets,
    read_leniently,
    truth_of,
)

# What a training says by itself: see `subsets.videos_in_subset` and `head.dataset.label_videos`.
SAID_BY_TRAINING = ("missing-features", "no-length", "no-rows")


def check_file(
    path: Path,
    *,
    annotations: Path | None = None,
    named: Subsets | None = None,
    exclude: Collection[str] = (),
    how: HowToRead = AS_IT_IS,
) -> Report:
    """Return the faults of a feature file and its annotations, of annotations, or of detections.

    Args:
        annotations: of a feature file, those inside it where not given; or to compare detections
            with.
        named: the roles of subsets; an empty name is found by itself.
        exclude: ids of videos not to look at.
        how: what the user says of how annotations are to be read.
    Raises:
        InputError: the file is none of these, or cannot be opened.
    """
    named, exclude = named or Subsets("", "", ""), set(map(nfc, exclude))
    if looks_like_features(path):
        with FeatureFile(path) as file:
            streams = ", ".join(file.streams()) or "no stream"
            checked = f"{quantity(len(file.video_ids), 'video')} with rows of {streams}"
            truth, cases, form = None, [Case("not-annotated", "neither inside nor given")], ""
            if annotations:
                truth, cases, form = truth_of(read_labels(annotations, how), annotations)
            elif (text := file.annotations_text()) is not None:
                try:
                    truth, cases = read_leniently(text, source=embedded_in(path))
                except InputError as e:  # the rows can be checked all the same
                    cases = [Case("refused", str(e))]
            if truth:
                truth = _prepared(truth, exclude, how, among=set(file.video_ids))
                checked += f"; {form + ': ' if form else ''}annotations of {_summary(truth)}"
            cases += _feature_cases(file, truth, named=named)
    elif hold_detections(labels := read_labels(path, how)):
        return _check_detections(
            detections_in(labels, path), path, annotations, named.test, exclude
        )
    elif annotations:
        raise InputError(
            f"{path}: neither a feature file nor detections, which have scores; --annotations goes "
            "with one of these"
        )
    else:
        truth, cases, form = truth_of(labels, path)
        truth = _prepared(truth, exclude, how)
        checked, videos = _summary(truth), truth.videos.values()
        checked = f"{form}: {checked}" if form else checked
        cases += [*check_subsets(videos, named), *check_labels(videos, named)]
        cases += check_instances(videos, durations={})
    return Report(str(path), f"checked {checked}", tuple(collect(cases, exclude=exclude)))


def without_annotations(
    file: FeatureFile, truth: Annotations, *, exclude: Collection[str] = ()
) -> list[Finding]:
    """Return what there is to say of videos that have features and no annotations.

    Args:
        exclude: ids of videos that are left out of the evaluation.
    """
    cases = [c for c in check_ids(file.video_ids, truth.videos) if c.kind == NO_ANNOTATIONS]
    return collect(cases, exclude=set(map(nfc, exclude)))


def warnings_for_training(
    file: FeatureFile,
    truth: Annotations,
    subsets: Subsets,
    *,
    exclude: Collection[str] = (),
    of_several: bool = False,
) -> list[Finding]:
    """Return the errors and warnings that a training should start with, worst first.

    Rows are not read, so what is wrong with them is not found here. What training itself says
    (videos without features, actions without length or rows) is left out.

    Args:
        subsets: the roles that the training gives to subsets.
        exclude: ids of videos that are left out of the evaluation.
        of_several: it is one training of several, and the annotations are those of its own videos.
    """
    exclude = set(map(nfc, exclude))
    said = {*SAID_BY_TRAINING, *([NO_ANNOTATIONS] if of_several else [])}
    axes, cases = usable_axes(file)
    cases += _cases_of_both(file, axes, _without(truth, exclude), named=subsets)
    return [
        finding
        for finding in collect(cases, exclude=exclude)
        if finding.level != NOTE and finding.kind.name not in said
    ]


def _check_detections(
    read: Detections,
    path: Path,
    annotations: Path | None,
    subset: str,
    exclude: Collection[str],
) -> Report:
    found = read.videos
    cases = [Case("repeated-key", repr(key)) for key in keys_that_repeat(path)]
    truth = _without(load_annotations(annotations), exclude) if annotations else None
    videos = {}
    if truth:
        with suppress(InputError):  # then nobody says which videos should have detections
            videos = truth.subset(subset or subset_to_test(truth))
    cases += check_predictions(found, read.problems, truth, videos)
    total = sum(map(len, found.values()))
    classes = len({d.label for detections in found.values() for d in detections})
    form = "" if read.labels.form == DETECTIONS else f"{read.labels.words}: "
    checked = (
        f"checked {form}{quantity(total, 'detection')} of {quantity(classes, 'label')} in "
        f"{quantity(len(found), 'video')}"
    )
    if truth:
        checked += f"; annotations of {_summary(truth)}"
    return Report(str(path), checked, tuple(collect(cases, exclude=exclude)))


def _prepared(
    truth: Annotations,
    exclude: Collection[str],
    how: HowToRead,
    among: Collection[str] | None = None,
) -> Annotations:
    """Return the annotations to look at, divided as the user asks."""
    truth = _without(truth, exclude)
    return truth if how.split is None else split(truth, how.split, seed=how.seed, among=among)


def _without(truth: Annotations, exclude: Collection[str]) -> Annotations:
    return replace(truth, videos={k: v for k, v in truth.videos.items() if k not in exclude})


def _feature_cases(
    file: FeatureFile, truth: Annotations | None, *, named: Subsets
) -> Iterator[Case]:
    axes, unreadable = usable_axes(file)
    yield from unreadable
    if not file.video_ids:
        yield Case("empty", "no video at all")
    if truth is None:
        yield from check_times(axes, {})
    else:
        yield from _cases_of_both(file, axes, truth, named=named)
    yield from check_rows(file, axes)


def _cases_of_both(
    file: FeatureFile, axes: Mapping[str, TimeAxis], truth: Annotations, *, named: Subsets
) -> Iterator[Case]:
    """Yield the faults that annotations and time axes have beside each other."""
    there = dict.fromkeys(file.video_ids)
    yield from check_ids(there, truth.videos)
    usable = videos_with_features(file, truth).values() or truth.videos.values()
    yield from check_subsets(usable, named)
    yield from check_labels(usable, named)
    durations = {video_id: axis.duration_sec for video_id, axis in axes.items()}
    yield from check_instances(truth.videos.values(), durations=durations)
    yield from check_times(axes, truth.videos)


def _summary(truth: Annotations) -> str:
    videos = truth.videos.values()
    instances = sum(len(actions(v)) for v in videos)
    subsets = ", ".join(f"{name or 'none'} ({n})" for name, n in truth.subset_counts().items())
    labels = len(class_labels(videos))
    return (
        f"{quantity(len(videos), 'video')}, {quantity(instances, 'instance')}, "
        f"{quantity(labels, 'class', 'classes')}; subsets {subsets}"
    )
