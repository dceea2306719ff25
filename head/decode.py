"""From predictions at every step to detections: proposals, merged windows, soft-NMS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..formats.annotations import Detection
from ..formats.features import TimeAxis
from ..segments import steps_to_seconds, tiou
from .dataset import pad_rows
from .prediction import HeadOutput, Prediction, action_scores

PRUNE_EVERY = 4  # turns of soft-NMS between two looks at what can be dropped


@dataclass(frozen=True)
class PointScores:
    """What is decoded of one sequence of T rows.

    scores: (P, C) in [0, 1]; intervals: (P, 2) in steps; actionness: of every row, (T,) in [0, 1].
    """

    scores: Tensor
    intervals: Tensor
    actionness: Tensor


def point_scores(prediction: Prediction, *, softmax: bool) -> Tensor:
    """Return class score times actionness where there is an actionness, (B, P, C)."""
    scores = action_scores(prediction.class_logits, softmax=softmax)
    if prediction.actionness_logits is not None:
        scores = scores * prediction.actionness_logits.sigmoid()[..., None]
    return scores


def class_shares(rows: Tensor, intervals: Tensor) -> Tensor:
    """Return which part each class has of all that the rows along a segment show of actions.

    Args:
        rows: score of every class at every row, zero at padding, (B, T, C).
        intervals: (B, P, 2) in steps; at least the row nearest to the start counts.
    Returns:
        (B, P, C) in [0, 1]; each sums to 1, or to 0 where the rows show nothing.
    """
    steps = rows.shape[1]
    up_to = nn.functional.pad(rows.double().cumsum(1), (0, 0, 1, 0))  # of the rows before, (B, T+1)
    first = intervals[..., 0].round().clamp(0, steps - 1).long()
    behind = torch.maximum(intervals[..., 1].round().clamp(0, steps - 1).long(), first) + 1
    there, here = (n[..., None].expand(-1, -1, rows.shape[2]) for n in (behind, first))
    along = (up_to.gather(1, there) - up_to.gather(1, here)).clamp(min=0)
    return (along / along.sum(-1, keepdim=True).clamp(min=1e-12)).to(rows.dtype)


def segment_scores(output: HeadOutput, *, softmax: bool, class_agreement: float) -> Tensor:
    """Return the score of every class for the segment of every point of the last stage, (B, P, C).

    Args:
        class_agreement: the power of a class's share along the segment, by the heads behind TSA,
            that `point_scores` are times: one point may err, its neighbours seldom all do. 0: not.
    """
    scores = point_scores(output.final, softmax=softmax)
    if class_agreement == 0 or output.refined is None:
        return scores
    rows = action_scores(output.refined.class_logits, softmax=softmax)
    rows = rows * output.refined.valid[..., None]
    return scores * class_shares(rows, output.final.intervals) ** class_agreement


def window_starts(
    num_steps: int, *, window_steps: int, overlap: float, align: int = 1
) -> list[int]:
    """Return where the windows over a long video start; the last one ends with the video.

    Args:
        align: starts are multiples of it, so that the points of coarse levels coincide.
    Raises:
        ValueError: a window is shorter than `align`, so that windows could leave gaps.
    """
    if num_steps <= window_steps:
        return [0]
    if window_steps < align:
        raise ValueError(
            f"windows of {window_steps} steps are shorter than a coarsest step, {align}"
        )
    stride = max(1, int(window_steps * (1 - overlap) / align + 1e-6)) * align
    last = -(-(num_steps - window_steps) // align) * align
    return [*range(0, last, stride), last]


def central_window(num_steps: int, starts: Sequence[int], window_steps: int) -> np.ndarray:
    """Return for every step the window in which it lies farthest from the ends, (T,) integer.

    The ends of the video are no cut: a step near them is not pushed to another window.
    """
    t = np.arange(num_steps)[:, None]
    first = np.array(starts)[None]
    before = np.where(first == 0, np.inf, t - first)
    last = first + window_steps
    after = np.where(last >= num_steps, np.inf, last - 1 - t)
    margin = np.minimum(before, after)  # negative: outside the window
    return np.asarray(margin.argmax(1))


@torch.inference_mode()
def score_video(
    model: nn.Module,
    rows: np.ndarray,
    *,
    softmax: bool,
    class_agreement: float,
    window_steps: int,
    overlap: float,
    align: int,
    batch_size: int,
    device: torch.device,
) -> PointScores:
    """Return the scores and intervals of every point of a video of any length.

    A video longer than the window is cut into overlapping windows; every point is read from the
    window in which it lies most centrally, so the windows are merged before any suppression.

    Args:
        rows: (T, D) float32.
        class_agreement: see `segment_scores`.
        overlap: share of a window that the next one covers again, in [0, 1).
        align: see `window_starts`; the stride of the model's coarsest level.
    """
    num_steps = len(rows)
    starts = window_starts(num_steps, window_steps=window_steps, overlap=overlap, align=align)
    owner = torch.from_numpy(central_window(num_steps, starts, window_steps)).to(device)
    scores, intervals, actionness = [], [], []
    for first in range(0, len(starts), batch_size):
        chosen = starts[first : first + batch_size]
        features, valid = pad_rows(
            [rows[s : s + window_steps] for s in chosen], min(window_steps, num_steps)
        )
        valid = valid.to(device)
        output: HeadOutput = model(features.to(device), valid)
        final, every_row = output.final, output.refined or output.final
        assert every_row.actionness_logits is not None
        row_actionness = every_row.actionness_logits.sigmoid()
        batch_scores = segment_scores(output, softmax=softmax, class_agreement=class_agreement)
        for n, start in enumerate(chosen):
            step = (final.points.position.long() + start).clamp(max=num_steps - 1)
            mine = final.valid[n] & (owner[step] == first + n)
            scores.append(batch_scores[n, mine].cpu())
            intervals.append((final.intervals[n, mine] + start).cpu())
            own = owner[start : start + valid.shape[1]] == first + n
            actionness.append(row_actionness[n, : len(own)][own].cpu())
    return PointScores(torch.cat(scores), torch.cat(intervals), torch.cat(actionness))


def soft_nms(
    intervals: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    *,
    sigma: float,
    min_score: float,
    max_count: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return which candidates survive Gaussian soft-NMS within their class, and their new scores.

    The best candidate is kept and the others of its class are multiplied by
    exp(-tIoU^2 / sigma), again and again (Bodla et al., "Soft-NMS", 2017). Since classes do not
    meet, all of them take a step at once.

    Args:
        intervals: (N, 2); scores: (N,) >= 0; labels: (N,) integer.
        sigma: width of the Gaussian; small suppresses more.
        min_score: what falls below is dropped.
        max_count: at most so many come back, the best of all classes.
    Returns:
        Indices into the candidates and their decayed scores, by falling score.
    """
    members = _by_class(labels, scores)
    live = np.where(members >= 0, scores[members], -1.0)
    candidates = intervals[members]
    kept_index: list[np.ndarray] = []
    kept_score: list[np.ndarray] = []
    floor = max(min_score, 0.0)
    for turn in range(min(members.shape[1], max_count) if len(scores) else 0):
        row = np.arange(len(live))
        best = live.argmax(1)
        top = live[row, best]
        alive = top >= floor
        if not alive.any():
            break
        kept_index.append(members[row, best][alive])
        kept_score.append(top[alive])
        live[row, best] = -1.0
        similarity = tiou(candidates, candidates[row, best][:, None])
        live = np.where(live >= 0, live * np.exp(-(similarity**2) / sigma), -1.0)
        if turn % PRUNE_EVERY == 0:
            # Scores only fall: what is below the last that could come back never will.
            floor = max(floor, _nth_best(kept_score, max_count))
            columns = (live >= floor).any(0)
            alive &= (live >= floor).any(1)
            live, members = live[alive][:, columns], members[alive][:, columns]
            candidates = candidates[alive][:, columns]
            if not live.size:
                break
    if not kept_index:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    index, score = np.concatenate(kept_index), np.concatenate(kept_score)
    order = np.argsort(-score, kind="stable")[:max_count]
    return index[order], score[order]


def _nth_best(scores: Sequence[np.ndarray], n: int) -> float:
    """Return the n-th highest of all scores; minus infinity where there are fewer."""
    together = np.concatenate(scores)
    if len(together) < n:
        return -math.inf
    return float(np.partition(together, len(together) - n)[len(together) - n])


def _by_class(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the candidates of each class by falling score, (K, M), -1 behind."""
    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    members = np.full((len(classes), counts.max(initial=0)), -1)
    order = np.lexsort((-scores, inverse))
    place = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    members[inverse[order], place] = order
    return members


def decode_video(
    points: PointScores,
    axis: TimeAxis,
    labels: Sequence[str],
    *,
    min_score: float,
    max_candidates: int,
    nms_sigma: float,
    voting_tiou: float | None,
    max_detections: int,
) -> list[Detection]:
    """Return the detections of one video by falling score, in seconds within the video.

    Every point proposes its interval for every class; the best `max_candidates` of at least
    `min_score` go through soft-NMS.

    Args:
        voting_tiou: see `vote`; None leaves the intervals as they are.
    """
    flat = points.scores.numpy().ravel()
    best = _best(flat, min_score=min_score, max_count=max_candidates)
    point, label = np.divmod(best, points.scores.shape[1])
    score = flat[best].astype(np.float64)
    seconds = steps_to_seconds(
        points.intervals.numpy().astype(np.float64)[point],
        start_sec=axis.start_sec,
        step_sec=axis.step_sec,
    ).clip(0, axis.duration_sec)
    kept, decayed = soft_nms(
        seconds,
        score,
        label,
        sigma=nms_sigma,
        min_score=min_score,
        max_count=max_detections,
    )
    found = seconds[kept]
    if voting_tiou is not None:
        found = vote(kept, seconds, score, label, tiou_at_least=voting_tiou)
    return [
        Detection(labels[label[n]], float(start), float(end), float(left))
        for n, (start, end), left in zip(kept, found, decayed, strict=True)
        if end > start
    ]


def _best(scores: np.ndarray, *, min_score: float, max_count: int) -> np.ndarray:
    """Return the places of the best scores, best first, the earlier of equal ones first."""
    place = np.flatnonzero(scores >= min_score)
    if len(place) > max_count:
        least = np.partition(scores[place], len(place) - max_count)[len(place) - max_count]
        place = place[scores[place] >= least]
    order = np.argsort(-scores[place], kind="stable")
    return np.asarray(place[order][:max_count])


def vote(
    kept: np.ndarray,
    intervals: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    *,
    tiou_at_least: float,
) -> np.ndarray:
    """Return the kept intervals averaged with the candidates of their class that are very alike.

    Weighted by score and tIoU (Gidaris and Komodakis, "box voting", 2015).

    Args:
        kept: indices into the candidates, (K,).
        intervals: (N, 2); scores: (N,) as before suppression; labels: (N,).
        tiou_at_least: how much candidates must overlap a kept one to have a vote.
    Returns:
        (K, 2).
    """
    averaged = intervals[kept].copy()
    for label in np.unique(labels[kept]):
        mine, of_class = labels[kept] == label, labels == label
        weight = tiou(intervals[kept][mine][:, None], intervals[of_class][None])
        weight = np.where(weight >= tiou_at_least, weight * scores[of_class], 0.0)
        total = weight.sum(1, keepdims=True)
        voted = weight @ intervals[of_class] / np.where(total > 0, total, 1.0)
        averaged[mine] = np.where(total > 0, voted, averaged[mine])
    return averaged
