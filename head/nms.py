"""Suppression: from a video's candidates to the few segments that are kept. (Not in the paper.)"""

from __future__ import annotations

import math

import numpy as np

from ..formats.limits import check_size
from ..segments import tiou

CELL_BYTES = 64  # of memory for each pair, or each candidate of a class

PRUNE_EVERY = 4  # turns of soft-NMS between two looks at what can be dropped


def soft_nms(
    intervals: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    *,
    sigma: float,
    min_score: float,
    max_count: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the candidates that survive Gaussian soft-NMS within their class, and new scores.

    The best candidate is kept and the others of its class are multiplied by
    exp(-tIoU^2 / sigma), again and again (Bodla et al., "Soft-NMS", 2017), all classes at once.

    Args:
        intervals: (N, 2); scores: (N,) >= 0; labels: (N,) integer.
        sigma: width of the Gaussian; small suppresses more.
        min_score: candidates that fall below are dropped.
        max_count: the most that come back, the best of all classes.
    Returns:
        Indices into the candidates and their decayed scores, by falling score.
    """
    members = _by_class(labels, scores)
    live = np.where(members >= 0, scores[members], -1.0)
    candidates = intervals[members]
    kept_index = [np.zeros(0, dtype=np.int64)]
    kept_score = [np.zeros(0)]
    floor = max(min_score, 0.0)
    for turn in range(min(members.shape[1], max_count)):
        row = np.arange(len(live))
        best = live.argmax(1)
        top = live[row, best]
        alive = top >= floor
        if not alive.any():
            break
        kept_index.append(members[row, best][alive])
        kept_score.append(top[alive])
        # The best of a class is kept, and all others of the class fall by their overlap with it.
        live[row, best] = -1.0
        similarity = tiou(candidates, candidates[row, best][:, None])
        live = np.where(live >= 0, live * np.exp(-(similarity**2) / sigma), -1.0)
        if turn % PRUNE_EVERY == 0:
            # Scores only fall: a candidate below the last that would be returned now never will be.
            floor = max(floor, nth_best(np.concatenate(kept_score), max_count))
            columns = (live >= floor).any(0)
            alive &= (live >= floor).any(1)
            live, members = live[alive][:, columns], members[alive][:, columns]
            candidates = candidates[alive][:, columns]
            if not live.size:
                break
    index, score = np.concatenate(kept_index), np.concatenate(kept_score)
    order = np.argsort(-score, kind="stable")[:max_count]
    return index[order], score[order]


def nth_best(scores: np.ndarray, n: int) -> float:
    """Return the n-th highest score; minus infinity where there are fewer."""
    if len(scores) < n:
        return -math.inf
    return float(np.partition(scores, len(scores) - n)[len(scores) - n])


def _by_class(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the candidates of each class by falling score, (K, M), -1 where a class has fewer."""
    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    cells = len(classes) * int(counts.max(initial=0))
    check_size(
        CELL_BYTES * cells,
        f"soft-NMS of {len(labels):,} candidates of {len(classes):,} classes",
        instead="a smaller decode.max_candidates",
    )
    members = np.full((len(classes), counts.max(initial=0)), -1)
    order = np.lexsort((-scores, inverse))
    place = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    members[inverse[order], place] = order
    return members


def vote(
    kept: np.ndarray,
    intervals: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    *,
    tiou_at_least: float,
) -> np.ndarray:
    """Return the kept intervals, each averaged with the candidates of its class much like it.

    Weighted by score and tIoU (Gidaris and Komodakis, "box voting", 2015).

    Args:
        kept: indices into the candidates, (K,).
        intervals: (N, 2); scores: (N,) as before suppression; labels: (N,).
        tiou_at_least: the least tIoU with a kept one for a candidate to have a vote.
    Returns:
        (K, 2).
    """
    averaged = intervals[kept].copy()
    for label in np.unique(labels[kept]):
        mine, of_class = labels[kept] == label, labels == label
        check_size(
            CELL_BYTES * float(np.count_nonzero(mine) * np.count_nonzero(of_class)),
            f"voting of {np.count_nonzero(of_class):,} candidates",
            instead="a smaller decode.max_candidates",
        )
        weight = tiou(intervals[kept][mine][:, None], intervals[of_class][None])
        weight = np.where(weight >= tiou_at_least, weight * scores[of_class], 0.0)
        total = weight.sum(1, keepdims=True)
        voted = weight @ intervals[of_class] / np.where(total > 0, total, 1.0)
        averaged[mine] = np.where(total > 0, voted, averaged[mine])
    return averaged
