"""A wrong scale of detections' times: milliseconds or frames for seconds, or another frame rate.

Detections and ground truth come in; the factor by which all times should be multiplied comes out,
where one fits plainly better than the times as they are. Half of the instances propose the factor,
the other half judge it, so that chance proposes but does not judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from itertools import product
from operator import attrgetter

import numpy as np

from ..formats.annotations import AMBIGUOUS, AnnotatedVideo, Detection
from ..segments import tiou
from .matching import Predictions, Videos

MOST_VIDEOS, MOST_DETECTIONS, MOST_INSTANCES = 100, 40, 60  # looked at; evenly spread, or the best
LEAST_INSTANCES = 8  # with detections of their label; of fewer, chance says anything
PLAINLY, MORE_THAN_CHANCE = 1.5, 1.3  # times as good as without a factor, and as one a little off
FAR_OFF = 5.0  # times as good as without a factor: then one a little off may be good too
OFF = (0.7, 0.85, 1.18, 1.4)  # a little off: by that much, a right factor is no longer right
LEAST_DEVIATIONS = 4.0  # standard errors by which instances must overlap more
NO_SCALE = 0.02  # factors so near to 1 are no other unit, and may be a habit of a head
BIN = 0.01  # of the logarithm of a factor
FRAME_RATES = (24, 25, 30, 10, 15, 50, 60)  # 23.976 and 29.97 are too near to be told apart
NEAR, AS_GOOD = 0.03, 0.97  # how far a factor that has a name may be, and how much worse


@dataclass(frozen=True)
class TimeScale:
    """The factor by which times should be multiplied, and how well both fit.

    factor: None where times are shares of each video's length.
    fit: mean best tIoU of instances with detections of their label, times multiplied; `fit_now`
        the same with times as they are.
    past_end: the share of detections that end after the end of their video, as they are.
    """

    factor: float | None
    fit: float
    fit_now: float
    past_end: float

    def __str__(self) -> str:
        """Return the hint in words."""
        if self.factor is None:
            what, unit = "multiplied by the length of the video", "shares of the video"
        else:
            what, unit = f"multiplied by {self.factor:.4g}", _unit(self.factor)
        ends = f"; {self.past_end:.0%} of them end after the video" if self.past_end > 0.1 else ""
        return (
            f"the times of the detections do not seem to be the annotations' seconds: {what}, they "
            f"overlap the instances by {self.fit:.2f} in place of {self.fit_now:.2f} (mean best "
            f"tIoU){ends}{unit and f'; are they {unit}?'}"
        )


@np.errstate(all="ignore")  # times may be anything finite; what overflows fits nothing
def likely_scale(videos: Videos, predictions: Predictions) -> TimeScale | None:
    """Return the scale by which detections fit plainly better than as they are, or None.

    Args:
        videos: the ground truth.
        predictions: detections per video, in any order.
    """
    groups = list(_groups(videos, predictions))
    if sum(len(g.truth) for g in groups) < LEAST_INSTANCES:
        return None
    proposed, judged = [g.half(0) for g in groups], [g.half(1) for g in groups]
    now = _fit(judged, 1.0)
    candidates: list[float | None] = list(_proposals(proposed))
    if all(g.duration_sec for g in groups) and _within_one(groups):
        candidates.append(None)
    if not candidates:
        return None
    factor = max(candidates, key=lambda f: _fit(proposed, f).mean())
    if factor is not None:
        factor = _named(factor, proposed)
    if factor is not None and abs(factor - 1) < NO_SCALE:
        return None
    fit = _fit(judged, factor)
    chance = max((_fit(judged, factor, off) for off in OFF), key=np.mean)
    fits = _plainly(fit, chance, MORE_THAN_CHANCE) or _plainly(fit, now, FAR_OFF)
    if not (_plainly(fit, now, PLAINLY) and fits):
        return None
    ends = np.concatenate([g.found[:, 1] / (g.duration_sec or np.inf) for g in groups])
    return TimeScale(factor, float(fit.mean()), float(now.mean()), float((ends > 1).mean()))


@dataclass(frozen=True)
class _Group:
    """The instances (M, 2) and best detections (N, 2) of one label in one video, in seconds."""

    truth: np.ndarray
    found: np.ndarray
    duration_sec: float | None
    first: int  # the half that the first instance is in

    def half(self, which: int) -> _Group:
        return replace(self, truth=self.truth[(which + self.first) % 2 :: 2])


def _groups(videos: Videos, predictions: Predictions) -> Iterator[_Group]:
    """Yield the groups of evenly spread videos; every other instance is in the same half."""
    there = [v for k, v in videos.items() if predictions.get(k) and v.instances]
    number = 0
    for video in there[:: max(1, -(-len(there) // MOST_VIDEOS))]:
        for truth, found in _by_label(video, predictions[video.video_id]):
            duration = video.duration_sec if (video.duration_sec or 0) > 0 else None
            yield _Group(truth, found, duration, number % 2)
            number += len(truth)


def _by_label(
    video: AnnotatedVideo, detections: Sequence[Detection]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    best = nlargest(MOST_DETECTIONS, detections, key=attrgetter("score"))
    for label in dict.fromkeys(i.label for i in video.instances if i.label != AMBIGUOUS):
        found = [(d.start_sec, d.end_sec) for d in best if d.label == label]
        truth = [(i.start_sec, i.end_sec) for i in video.instances if i.label == label]
        if found:
            truth = truth[:: max(1, -(-len(truth) // MOST_INSTANCES))]
            yield np.array(truth, float), np.array(found, float)


def _proposals(groups: Sequence[_Group]) -> list[float]:
    """Return the factors by which most pairs of an instance and a detection would coincide.

    A pair's factor is the ratio of its middles; it counts for as much as its lengths then agree.
    """
    factors, weights = [np.empty(0)], [np.empty(0)]
    for group in groups:
        truth, found = group.truth[:, None], group.found[None]  # (M, 1, 2), (1, N, 2)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            factor = truth.mean(2) / found.mean(2)
            lengths = np.ptp(truth, axis=2), factor * np.ptp(found, axis=2)
            agree = np.minimum(*lengths) / np.maximum(*lengths)
        usable = np.isfinite(factor) & (factor > 0) & (agree > 0.5)
        factors.append(factor[usable])
        weights.append(agree[usable])
    logs, weight = np.log(np.concatenate(factors)), np.concatenate(weights)
    if not len(logs):
        return []
    bins = np.round(logs / BIN).astype(int)
    places, where = np.unique(bins, return_inverse=True)
    votes = np.bincount(where, weights=weight)
    chosen = places[np.argsort(-votes, kind="stable")[:20]]
    return [float(np.exp(np.median(logs[np.abs(bins - place) <= 1]))) for place in chosen]


def _plainly(fit: np.ndarray, other: np.ndarray, times: float) -> bool:
    """Whether instances overlap so many times as much, and not by chance; both are (M,)."""
    more = fit - other
    error = more.std() / np.sqrt(len(more))
    return bool(fit.mean() >= times * other.mean() and more.mean() > LEAST_DEVIATIONS * error)


def _fit(groups: Sequence[_Group], factor: float | None, off: float = 1.0) -> np.ndarray:
    """Return every instance's best tIoU with a detection of the same label, (M,).

    Args:
        factor: of all times; None for the length of each video.
        off: another factor.
    """
    best = []
    for group in groups:
        scale = group.duration_sec or 1.0 if factor is None else factor
        truth, found = group.truth[:, None], off * scale * group.found[None]
        best += np.max(tiou(*np.broadcast_arrays(truth, found)), axis=1, initial=0).tolist()
    return np.array(best)


def _within_one(groups: Sequence[_Group]) -> bool:
    return max(float(g.found[:, 1].max()) for g in groups) <= 1.01


def _known() -> Iterator[tuple[float, str]]:
    """Yield factors that have a name, the likelier first."""
    yield 1 / 1000, "milliseconds"
    for rate in FRAME_RATES:
        yield 1 / rate, f"frames, at about {rate} per second"
    yield 60.0, "minutes"
    for ours, theirs in product(FRAME_RATES, FRAME_RATES):
        if abs(ours / theirs - 1) >= NO_SCALE:
            said = f"frames at about {theirs} per second, divided by {ours}"
            yield ours / theirs, said
    for rate in FRAME_RATES:
        yield rate, f"divided by a frame rate of about {rate} once too often"


def _named(factor: float, groups: Sequence[_Group]) -> float:
    """Return the factor with a name that fits as well as the factor, or the factor itself."""
    near = [f for f, _ in _known() if abs(f / factor - 1) <= NEAR]
    best = max(near, key=lambda f: _fit(groups, f).mean(), default=factor)
    as_good = _fit(groups, best).mean() >= AS_GOOD * _fit(groups, factor).mean()
    return best if as_good else factor


def _unit(factor: float) -> str:
    return next((words for f, words in _known() if f == factor), "")
