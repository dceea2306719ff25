"""From scores to probabilities: how often detections of a score are right.

A head's score ranks; it says little about how often a detection like it is right. A calibration,
learned on one set of videos, maps the scores of a class onto those shares by a strictly rising
curve: no ranking within a class changes, and no average precision. The curve is that of beta
calibration (Kull, Silva Filho and Flach, AISTATS 2017; with equal slopes, Platt's):

    logit(p) = a ln(s) - b ln(1 - s) + c

It has three numbers. Few detections are enough for all classes together; a class's own curve starts
from that one and leaves it as far as its own detections say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..formats.annotations import Detection
from .matching import Matches, Predictions

# Least slopes: `a` is above 0, so the curve rises strictly.
LEAST_SLOPES = (0.05, 0.0)
# How firmly curves are held, as the inverse variance of each number: all classes' curve to the
# scores as they are, a class's to that of all classes.
HELD_TO_SCORES = (3.0, 3.0, 0.3)
HELD_TO_ALL = (32.0, 32.0, 8.0)
STEPS, ENOUGH = 100, 1e-9  # of Newton's method
TINY, ALMOST_ONE = 1e-300, 1 - 2.0**-53  # logarithms stay finite


@dataclass(frozen=True)
class Curve:
    """One strictly rising map of scores onto probabilities; see the module's formula.

    The default leaves scores as they are.

    Raises:
        ValueError: numbers by which it would not rise.
    """

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no fit can give."""
        if not (0 < self.a < np.inf and 0 <= self.b < np.inf and np.isfinite(self.c)):
            raise ValueError(f"a calibration curve must rise, not a={self.a}, b={self.b}")

    def numbers(self) -> np.ndarray:
        """Return a, b, c, (3,)."""
        return np.array([self.a, self.b, self.c])

    def __call__(self, score: np.ndarray) -> np.ndarray:
        """Return the probabilities that detections are right, in (0, 1), of scores in [0, 1]."""
        return _logistic(_terms(score) @ self.numbers())


@dataclass(frozen=True)
class Calibration:
    """A curve for each class; `other` is for a class that was not among those it was learned on."""

    classes: Mapping[str, Curve]
    other: Curve

    def of(self, label: str) -> Curve:
        """Return the curve of a class."""
        return self.classes.get(label, self.other)

    def apply(self, detections: Sequence[Detection]) -> list[Detection]:
        """Return the detections with their probabilities as scores, best first."""
        scores = np.array([d.score for d in detections])
        for label in {d.label for d in detections}:
            own = [n for n, d in enumerate(detections) if d.label == label]
            scores[own] = self.of(label)(scores[own])
        order = np.argsort(-scores, kind="stable")
        return [replace(detections[n], score=float(scores[n])) for n in order]

    def apply_to_all(self, predictions: Predictions) -> dict[str, list[Detection]]:
        """Return `apply` of every video's detections."""
        return {video_id: self.apply(found) for video_id, found in predictions.items()}


def learn_calibration(matches: Matches, k: int = 0, *, copies: int = 1) -> Calibration:
    """Return how sure a head is to be believed, class by class.

    A detection is right if it hits an instance at threshold number `k`; a second one of the same
    action is wrong. What counts neither way is left out.

    Args:
        matches: of videos that the head did not learn from, made by the `anet` protocol.
        copies: see `operating_point.choose_operating_point`.
    """
    to_scores, to_all = (tuple(copies * w for w in held) for held in (HELD_TO_SCORES, HELD_TO_ALL))
    counted = ~matches.neutral[k]
    terms, right = _terms(matches.score), matches.hit[k].astype(float)
    all_classes = _fit(terms[counted], right[counted], Curve(), to_scores)
    classes = {}
    for label, ranked in zip(matches.labels, matches.rankings, strict=True):
        own = ranked[counted[ranked]]
        classes[label] = _fit(terms[own], right[own], all_classes, to_all)
    return Calibration(classes, all_classes)


def calibration_error(probability: np.ndarray, right: np.ndarray, *, bins: int = 10) -> float:
    """Return the expected calibration error, in [0, 1] (Guo et al., ICML 2017).

    That is how far the mean probability of a bin's detections is from the share of them that is
    right, weighted by their number.

    Args:
        probability: in [0, 1], (N,).
        right: (N,) bool.
        bins: of equal width.
    """
    place = np.minimum((probability * bins).astype(int), bins - 1)
    sums = np.bincount(place, weights=probability - right, minlength=bins)
    return float(np.abs(sums).sum() / max(len(right), 1))


def _fit(terms: np.ndarray, right: np.ndarray, held_to: Curve, firmly: tuple[float, ...]) -> Curve:
    """Return the likeliest curve for detections, under a normal prior around another one.

    Newton's method on the logistic likelihood, which is convex; a slope that would fall below its
    least value stays there.
    """
    start, weight = held_to.numbers(), np.array(firmly)
    free = np.ones(3, dtype=bool)
    while True:
        found = _minimum(terms, right, start, weight, free)
        low = free & np.append(found[:2] < LEAST_SLOPES, False)
        if not low.any():
            return Curve(*map(float, found))
        start = np.where(low, [*LEAST_SLOPES, 0.0], start)
        free &= ~low


def _minimum(
    terms: np.ndarray, right: np.ndarray, prior: np.ndarray, weight: np.ndarray, free: np.ndarray
) -> np.ndarray:
    """Return the parameters of least loss, those that are not free as they are in the prior."""

    def loss(values: np.ndarray) -> float:
        logits = terms @ values
        fit = (np.logaddexp(0, logits) - right * logits).sum()
        return float(fit + 0.5 * (weight * (values - prior) ** 2).sum())

    values = prior.copy()
    for _ in range(STEPS):
        share = _logistic(terms @ values)
        slope = terms.T @ (share - right) + weight * (values - prior)
        bend = terms.T @ (terms * (share * (1 - share))[:, None]) + np.diag(weight)
        step = np.zeros(3)
        step[free] = np.linalg.solve(bend[np.ix_(free, free)], slope[free])
        # Far from the minimum Newton's step may lead too far.
        while np.abs(step).max() > ENOUGH and loss(values - step) > loss(values):
            step /= 2
        values = values - step
        if np.abs(step).max() <= ENOUGH:
            break
    return values


def _terms(score: np.ndarray) -> np.ndarray:
    """Return what the numbers of a curve are multiplied by, (N, 3)."""
    within = np.clip(score, TINY, ALMOST_ONE)
    return np.stack([np.log(within), -np.log1p(-within), np.ones_like(within)], axis=-1)


def _logistic(logit: np.ndarray) -> np.ndarray:
    half = np.exp(-np.abs(logit))  # never overflows
    value: np.ndarray = np.where(logit >= 0, 1.0, half) / (1 + half)
    return value
