"""Decoding: from the head's predictions at every point of a video to its detections.

Windows of a long video are merged, points become candidates, and `nms` keeps a few of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..config import DecodeConfig
from ..formats.annotations import Detection
from ..formats.features import TimeAxis
from ..segments import steps_to_seconds
from .aggregation import sums_along
from .dataset import pad_rows
from .nms import nth_best, soft_nms, vote
from .prediction import HeadOutput

AGREEMENT = 0.8  # power of a class's share along a segment, where nothing says otherwise


@dataclass(frozen=True)
class PointScores:
    """The predictions for one video of T rows, at P points.

    scores: (P, C) in [0, 1]; intervals: (P, 2) in steps; actionness: of every row, (T,) in [0, 1].
    """

    scores: Tensor
    intervals: Tensor
    actionness: Tensor


def class_shares(rows: Tensor, intervals: Tensor) -> Tensor:
    """Return each class's share of the action scores along a segment. (Not in the paper.)

    Args:
        rows: score of every class at every row, zero at padding, (B, T, C).
        intervals: (B, P, 2) in steps; at least the row nearest to the start counts.
    Returns:
        (B, P, C) in [0, 1]; the classes sum to 1, or to 0 where all scores are 0.
    """
    along = sums_along(rows, intervals).clamp(min=0)
    return (along / along.sum(-1, keepdim=True).clamp(min=1e-12)).to(rows.dtype)


def agreement(decode: DecodeConfig) -> float:
    """Return the power of a class's share along a segment; `AGREEMENT` until it is checked."""
    return AGREEMENT if decode.class_agreement == "auto" else decode.class_agreement


def segment_scores(output: HeadOutput, *, class_agreement: float) -> Tensor:
    """Return the score of every class for the segment of every point of the last stage, (B, P, C).

    It is the class score times the actionness, where there is one. (Open in the paper.)

    Args:
        class_agreement: scores are also times the class's share along the segment, by the heads
            after TSA, to this power: one point may err, its neighbours seldom all do. 0: not.
    """
    final, refined = output.final, output.refined
    scores = final.action_scores
    if final.actionness_logits is not None:
        scores = scores * final.actionness_logits.sigmoid()[..., None]
    if class_agreement != 0 and refined is not None:
        rows = refined.action_scores * refined.valid[..., None]
        scores = scores * class_shares(rows, final.intervals) ** class_agreement
    return scores


def window_starts(
    num_steps: int, *, window_steps: int, overlap: float, align: int = 1
) -> list[int]:
    """Return the starts of the windows over a long video; the last window ends with the video.

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
    """Return the window whose centre is nearest to each step, the earlier of two, (T,) integer."""
    first = np.array(starts)
    last_steps = (first[:-1] + first[1:] + window_steps - 1) // 2  # of every window but the last
    return np.searchsorted(last_steps, np.arange(num_steps))


@torch.inference_mode()
def score_video(
    head: nn.Module,
    rows: np.ndarray,
    decode: DecodeConfig,
    *,
    window_steps: int,
    align: int,
    batch_size: int,
    device: torch.device,
) -> PointScores:
    """Return the scores and intervals of every point of a video of any length.

    A video longer than the window is cut into overlapping windows; every point is read from the
    window in which it lies most centrally, so the windows are merged before any suppression.

    Args:
        rows: (T, D) float32.
        decode: `window_overlap`; `class_agreement`, see `segment_scores`.
        window_steps: the most rows that the head sees at once.
        align: see `window_starts`; the stride of the head's coarsest level.
    """
    num_steps = len(rows)
    starts = window_starts(
        num_steps, window_steps=window_steps, overlap=decode.window_overlap, align=align
    )
    owner = torch.from_numpy(central_window(num_steps, starts, window_steps)).to(device)
    scores, intervals, actionness = [], [], []
    for first in range(0, len(starts), batch_size):
        chosen = starts[first : first + batch_size]
        features, valid = pad_rows(
            [rows[s : s + window_steps] for s in chosen], min(window_steps, num_steps)
        )
        output: HeadOutput = head(features.to(device), valid.to(device))
        final, row_actionness = output.final, output.actionness
        batch_scores = segment_scores(output, class_agreement=agreement(decode))
        for n, start in enumerate(chosen):
            # A window may end after the video, but no point there is valid.
            step = (final.points.position.long() + start).clamp(max=num_steps - 1)
            mine = final.valid[n] & (owner[step] == first + n)
            scores.append(batch_scores[n, mine].cpu())
            intervals.append((final.intervals[n, mine] + start).cpu())
            own = owner[start : start + valid.shape[1]] == first + n
            actionness.append(row_actionness[n, : len(own)][own].cpu())
    return PointScores(torch.cat(scores), torch.cat(intervals), torch.cat(actionness))


def decode_video(
    points: PointScores, axis: TimeAxis, labels: Sequence[str], decode: DecodeConfig
) -> list[Detection]:
    """Return the detections of one video by falling score, in seconds within the video.

    Every point proposes its interval for every class; the best `max_candidates` of at least
    `min_score` go through soft-NMS, and those it keeps through `vote` if there is a `voting_tiou`.
    """
    flat = points.scores.numpy().ravel()
    best = np.flatnonzero(flat >= decode.min_score)
    best = best[flat[best] >= nth_best(flat[best], decode.max_candidates)]  # far fewer to sort
    best = best[np.argsort(-flat[best], kind="stable")][: decode.max_candidates]
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
        sigma=decode.nms_sigma,
        min_score=decode.min_score,
        max_count=decode.max_detections,
    )
    segments = seconds[kept]
    if decode.voting_tiou is not None:
        segments = vote(kept, seconds, score, label, tiou_at_least=decode.voting_tiou)
    return [
        Detection(labels[label[n]], float(start), float(end), float(new_score))
        for n, (start, end), new_score in zip(kept, segments, decayed, strict=True)
        if end > start
    ]
