"""Training samples: annotated videos in steps, and batches of windows of their features."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..config import DataConfig
from ..errors import quantity
from ..formats.annotations import AMBIGUOUS, AnnotatedVideo
from ..formats.features import FeatureFile
from ..segments import seconds_to_steps
from .parallel import rank, world_size
from .targets import Truth
from .windows import LabelledVideo, Window

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """features (B, T, D) float, valid (B, T) bool, and the actions in steps of their window.

    `windows` names the rows they came from, for messages.
    """

    features: Tensor
    valid: Tensor
    truth: Truth
    windows: tuple[Window, ...] = ()

    def to(self, device: torch.device) -> Batch:
        """Return the batch on `device`."""
        truth = Truth(*(t.to(device) for t in vars(self.truth).values()))
        return Batch(self.features.to(device), self.valid.to(device), truth, self.windows)


def label_videos(
    file: FeatureFile, videos: Mapping[str, AnnotatedVideo], labels: Sequence[str]
) -> list[LabelledVideo]:
    """Return the annotated videos in steps, without actions of other labels.

    Actions without length or outside the rows are left out too; these, and those of which rows
    cover a part alone, are counted in the log. Stretches that nobody has labelled, `Ambiguous` ones
    among them, count neither way.
    """
    index = {label: n for n, label in enumerate(labels)}
    labelled = []
    left_out = cut = 0
    for video in videos.values():
        axis = file.time_axis(video.video_id)
        kept = [i for i in video.instances if i.label in index]
        seconds = np.array([(i.start_sec, i.end_sec) for i in kept], dtype=float).reshape(-1, 2)
        steps = seconds_to_steps(seconds, start_sec=axis.start_sec, step_sec=axis.step_sec)
        steps = steps.clip(-0.5, axis.num_steps - 0.5)  # each row stands for half a step each side
        has_rows = steps[:, 1] > steps[:, 0]
        left_out += int((~has_rows).sum())
        cut += int(axis.cuts(seconds).sum())
        classes = np.array([index[i.label] for i in kept], dtype=np.int64)
        unclear = [(i.start_sec, i.end_sec) for i in video.instances if i.label == AMBIGUOUS]
        ignored = seconds_to_steps(
            np.array([*unclear, *video.ignored], dtype=float).reshape(-1, 2),
            start_sec=axis.start_sec,
            step_sec=axis.step_sec,
        )
        labelled.append(
            LabelledVideo(video.video_id, axis, steps[has_rows], classes[has_rows], ignored)
        )
    if left_out:
        logger.warning("left out: %s without length or without rows", quantity(left_out, "action"))
    if cut:
        logger.warning(
            "rows cover %s in part alone, and that part is what is learned",
            quantity(cut, "action"),
        )
    return labelled


def batches(
    file: FeatureFile,
    windows: Sequence[Window],
    data: DataConfig,
    *,
    streams: Sequence[str],
    batch_size: int,
) -> Iterator[Batch]:
    """Yield this process's share of the windows as batches, padded at the end to the longest.

    Of N processes, each gets every N-th window of a batch. If no window is left for it, it gets a
    batch without a valid step, so that all processes make as many.

    Args:
        data: `min_visible`, see `window_actions`.
    """
    for first in range(0, len(windows), batch_size):
        whole = windows[first : first + batch_size]
        chosen = whole[rank() :: world_size()]
        if not chosen:
            chosen = [replace(whole[0], steps=0)]
        rows = [file.rows(w.video.video_id, streams, w.start, w.start + w.steps) for w in chosen]
        features, valid = pad_rows(rows, max(1, *(len(r) for r in rows)))
        actions = [window_actions(w, min_visible=data.min_visible) for w in chosen]
        ignored = [w.video.ignored - w.start for w in chosen]
        yield Batch(features, valid, collate_truth(actions, ignored), tuple(chosen))


def window_actions(window: Window, *, min_visible: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the actions in a window: segments (N, 2) in the window's steps, and labels (N,).

    Args:
        min_visible: 0 keeps every action that touches the window, with its true ends outside;
            else an action is clipped to the window, and left out if a smaller share is visible.
    """
    segments = window.video.segments - window.start
    visible = segments.clip(-0.5, window.steps - 0.5)
    share = np.diff(visible, axis=1)[:, 0] / np.diff(segments, axis=1)[:, 0]
    kept = (share > 0) & (share >= min_visible)
    return (visible if min_visible else segments)[kept], window.video.labels[kept]


def collate_truth(
    actions: Sequence[tuple[np.ndarray, np.ndarray]], ignored: Sequence[np.ndarray]
) -> Truth:
    """Return the actions of several windows as one padded batch.

    Args:
        ignored: of each window, (M, 2) in its steps.
    """
    segments, labels = ([torch.from_numpy(a) for a in each] for each in zip(*actions, strict=True))
    return Truth(
        pad_sequence(segments, batch_first=True).float(),
        pad_sequence(labels, batch_first=True, padding_value=-1),
        pad_sequence([torch.from_numpy(i) for i in ignored], True, torch.inf).float(),
    )


def pad_rows(rows: Sequence[np.ndarray], steps: int) -> tuple[Tensor, Tensor]:
    """Return sequences (t, D), t <= steps, as (B, steps, D) zeros at the end, and the mask."""
    features = torch.zeros(len(rows), steps, rows[0].shape[1])
    for n, r in enumerate(rows):
        features[n, : len(r)] = torch.from_numpy(r)
    return features, torch.arange(steps) < torch.tensor([[len(r)] for r in rows])
