"""From predictions at every step to detections: proposals, merged windows, soft-NMS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..annotations import Detection
from ..features import TimeAxis
from ..segments import steps_to_seconds, tiou
from .dataset import pad_rows
from .model import HeadOutput, action_scores, intervals_at_steps


@dataclass(frozen=True)
class StepScores:
    """What is decoded: scores (T, C) in [0, 1] and intervals (T, 2) in steps, of one sequence."""

    scores: Tensor
    intervals: Tensor


def step_scores(output: HeadOutput, *, softmax: bool) -> StepScores:
    """Return class score times actionness, and intervals, of the final stage; batched (B, T, .)."""
    final = output.final
    scores = action_scores(final.class_logits, softmax=softmax)
    if final.actionness_logits is not None:
        scores = scores * final.actionness_logits.sigmoid()[..., None]
    return StepScores(scores, intervals_at_steps(final.distances))


def window_starts(num_steps: int, *, window_steps: int, overlap: float) -> list[int]:
    """Return where the windows over a long video start; the last one ends with the video."""
    if num_steps <= window_steps:
        return [0]
    stride = max(1, round(window_steps * (1 - overlap)))
    last = num_steps - window_steps
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


@torch.no_grad()
def score_video(
    model: nn.Module,
    rows: np.ndarray,
    *,
    softmax: bool,
    window_steps: int,
    overlap: float,
    batch_size: int,
    device: torch.device,
) -> StepScores:
    """Return the scores and intervals of every step of a video of any length.

    A long video is cut into overlapping windows; every step is read from the window in which it
    lies most centrally, so the windows are merged before any suppression.

    Args:
        rows: (T, D) float32.
        window_steps: what the model was trained on.
        overlap: share of a window that the next one covers again, in [0, 1).
    """
    num_steps = len(rows)
    starts = window_starts(num_steps, window_steps=window_steps, overlap=overlap)
    scores, intervals = [], []
    for first in range(0, len(starts), batch_size):
        chosen = starts[first : first + batch_size]
        features, valid = pad_rows(
            [rows[s : s + window_steps] for s in chosen], min(window_steps, num_steps)
        )
        output = step_scores(model(features.to(device), valid.to(device)), softmax=softmax)
        offset = torch.tensor(chosen, device=device)[:, None, None]
        scores.append(output.scores.cpu())
        intervals.append((output.intervals + offset).cpu())
    window = central_window(num_steps, starts, window_steps)
    step = np.arange(num_steps) - np.array(starts)[window]
    return StepScores(torch.cat(scores)[window, step], torch.cat(intervals)[window, step])


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
    classes, members = _by_class(labels, scores)  # (K,), (K, M) with -1 behind
    real = members >= 0
    live = np.where(real, scores[members], -1.0)
    candidates = intervals[members]
    kept_index, kept_score = [], []
    row = np.arange(len(classes))
    for _ in range(min(members.shape[1], max_count) if len(scores) else 0):
        best = live.argmax(1)
        top = live[row, best]
        alive = top >= max(min_score, 0.0)
        if not alive.any():
            break
        kept_index.append(members[row, best][alive])
        kept_score.append(top[alive])
        row, best, live = row[alive], best[alive], live
        live, members, candidates = live[alive], members[alive], candidates[alive]
        row = np.arange(len(live))
        similarity = tiou(candidates, candidates[row, best][:, None])
        live = np.where(live >= 0, live * np.exp(-(similarity**2) / sigma), -1.0)
        live[row, best] = -1.0
    if not kept_index:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    index, score = np.concatenate(kept_index), np.concatenate(kept_score)
    order = np.argsort(-score, kind="stable")[:max_count]
    return index[order], score[order]


def _by_class(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes, (K,), and the candidates of each by falling score, (K, M), -1 behind."""
    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    members = np.full((len(classes), counts.max(initial=0)), -1)
    order = np.lexsort((-scores, inverse))
    place = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    members[inverse[order], place] = order
    return classes, members


def decode_video(
    steps: StepScores,
    axis: TimeAxis,
    labels: Sequence[str],
    *,
    min_score: float,
    max_candidates: int,
    nms_sigma: float,
    max_detections: int,
) -> list[Detection]:
    """Return the detections of one video by falling score, in seconds within the video.

    Every step proposes its interval for every class; the best `max_candidates` of at least
    `min_score` go through soft-NMS.
    """
    scores = steps.scores.numpy().astype(np.float64)
    flat = scores.ravel()
    count = min(max_candidates, int((flat >= min_score).sum()))
    best = np.argsort(-flat, kind="stable")[:count]
    step, label = np.divmod(best, scores.shape[1])
    seconds = steps_to_seconds(
        steps.intervals.numpy().astype(np.float64)[step],
        start_sec=axis.start_sec,
        step_sec=axis.step_sec,
    ).clip(0, axis.duration_sec)
    kept, decayed = soft_nms(
        seconds,
        flat[best],
        label,
        sigma=nms_sigma,
        min_score=min_score,
        max_count=max_detections,
    )
    return [
        Detection(labels[label[n]], float(seconds[n, 0]), float(seconds[n, 1]), float(s))
        for n, s in zip(kept, decayed, strict=True)
        if seconds[n, 1] > seconds[n, 0]
    ]
