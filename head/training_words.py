"""What a training says before it begins: what was found in the data, and what that means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ..config import OptimConfig
from ..errors import listed, quantity
from ..evaluation.events import Events
from ..evaluation.operating_point import OperatingPoint
from ..formats.annotations import AMBIGUOUS, AnnotatedVideo
from ..progress import duration
from .run import RunData
from .windows import LabelledVideo, WindowPlan

FEW_ACTIONS = 10  # of a class; with fewer, its figures hang on single ones
FEW_STEPS = 200  # of a training; 100 gave 51 % mAP on a recording where 1,600 gave 89 %
FEW_TO_CHOOSE_ON = 50  # actions; of 9 to 42, thresholds lost 1 to 9 points of F1 (docs/results.md)
MOST_NAMED = 8  # classes in a line


def what_was_found(
    labelled: Sequence[LabelledVideo],
    validation: Mapping[str, AnnotatedVideo],
    data: RunData,
) -> Iterator[str]:
    """Yield lines on the videos to learn from, their actions and classes, and on validation."""
    hours = sum(v.axis.duration_sec for v in labelled)
    empty = sum(not v.labels.size for v in labelled)
    without = f", {empty} of them without actions" if empty else ""
    yield (
        f"training on {quantity(len(labelled), 'video')} of subset {data.subsets.train!r} "
        f"({duration(hours)}{without}): {quantity(sum(len(v.labels) for v in labelled), 'action')} "
        f"of {quantity(len(data.labels), 'class', 'classes')}"
    )
    yield f"actions: {_by_class(labelled, data.labels)}"
    seconds = np.concatenate([np.diff(v.segments).ravel() * v.axis.step_sec for v in labelled])
    low, median, high = np.quantile(seconds, [0, 0.5, 1])
    yield (
        f"an action lasts {median:.3g} s in the median, {low:.3g} to {high:.3g}; in "
        f"{background_share(labelled):.0%} of the time nothing goes on: background, where "
        "whatever is found is a false alarm"
    )
    if not validation:
        yield (
            "no validation: all that is here is learned from, so no mAP shows how the training "
            "goes, and nothing is chosen on these videos"
        )
        return
    number = sum(i.label != AMBIGUOUS for v in validation.values() for i in v.instances)
    same = data.subsets.validation == data.subsets.test
    yield (
        f"validation on {quantity(len(validation), 'video')} of subset "
        f"{data.subsets.validation!r} ({quantity(number, 'action')}), not learned from: they show "
        "how the training goes, and choose from which score on detections count"
        + ("; they are the test videos too, so what counts there looks too good" if same else "")
    )


def how_long(plan: WindowPlan, optim: OptimConfig, *, steps_per_epoch: int) -> str:
    """Return in words how many steps a training has, and what an epoch shows."""
    return (
        f"{quantity(steps_per_epoch * optim.epochs, 'step')} in all: "
        f"{quantity(optim.epochs, 'epoch')} of {quantity(steps_per_epoch, 'step')}, each epoch "
        f"with {quantity(sum(plan.around), 'window')} around actions and {plan.background} of "
        "background"
    )


def too_short(steps: int) -> str:
    """Return a warning of a training that is too short to learn much; empty for others."""
    if steps >= FEW_STEPS:
        return ""
    return (
        f"{quantity(steps, 'step')}: few to learn from, whatever mAP comes out; more of "
        "data.windows_per_video or optim.epochs give more"
    )


def chosen_on_few(actions: int) -> str:
    """Return a line on thresholds that were chosen on few actions; empty for none or enough."""
    if not 0 < actions < FEW_TO_CHOOSE_ON:
        return ""
    return (
        f"from which score on detections count was chosen on {quantity(actions, 'action')}, which "
        "is rough; to choose on all, and learn from all: the same command with --folds 5 --final"
    )


def what_counts(point: OperatingPoint, seen: Events) -> str:
    """Return in words what detections above the thresholds are worth on the validation videos."""
    words = f"from now on, what scores enough counts ({point.in_words}): "
    if not seen.detections:
        return f"{words}nothing does there, so none of the actions are found"
    return (
        f"{words}there {100 * seen.precision:.3g} % of it is right, and "
        f"{100 * seen.recall:.3g} % of the actions are found"
    )


def background_share(labelled: Sequence[LabelledVideo]) -> float:
    """Return the share of the rows that count in which no action goes on, in [0, 1]."""
    background = counted = 0
    for video in labelled:
        busy, ignored = _inside(video.segments, video), _inside(video.ignored, video)
        background += int(np.count_nonzero(~busy & ~ignored))
        counted += int(np.count_nonzero(busy | ~ignored))
    return background / max(counted, 1)


def _inside(stretches: np.ndarray, video: LabelledVideo) -> np.ndarray:
    """Return which rows of a video lie in one of the stretches, (T,) bool."""
    changes = np.zeros(video.axis.num_steps + 1, dtype=int)
    ends = np.ceil(np.clip(stretches, 0, video.axis.num_steps)).astype(int)
    np.add.at(changes, ends[:, 0], 1)
    np.add.at(changes, ends[:, 1], -1)
    inside: np.ndarray = np.cumsum(changes)[:-1] > 0
    return inside


def _by_class(labelled: Sequence[LabelledVideo], labels: Sequence[str]) -> str:
    """Return how many actions each class has, the rarest named where they are few."""
    numbers = np.bincount(
        np.concatenate([v.labels for v in labelled]).astype(int), minlength=len(labels)
    )
    often = [f"{labels[n] or repr('')} {numbers[n]}" for n in np.argsort(-numbers, kind="stable")]
    few = int(np.count_nonzero(numbers < FEW_ACTIONS))
    words = listed(often, most=MOST_NAMED)
    if few:
        which = "all classes have" if few == len(labels) else f"{few} of {len(labels)} classes have"
        words += f"; {which} fewer than {FEW_ACTIONS}: rough figures, and little to learn from"
    return words
