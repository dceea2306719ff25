"""Training samples (paper 3.2): random windows of the cached features, around one action each."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..config import DataConfig
from ..formats.annotations import AnnotatedVideo
from ..formats.features import FeatureFile, TimeAxis
from ..segments import seconds_to_steps
from .parallel import rank, world_size
from .targets import Truth

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledVideo:
    """One video's actions on the axis of its feature rows.

    segments: (N, 2) float64, steps, clipped to where there are rows; labels: (N,) int64.
    """

    video_id: str
    axis: TimeAxis
    segments: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Window:
    """Rows `start : start + steps` of one video."""

    video: LabelledVideo
    start: int
    steps: int


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
        truth = Truth(self.truth.segments.to(device), self.truth.labels.to(device))
        return Batch(self.features.to(device), self.valid.to(device), truth, self.windows)


def label_videos(
    file: FeatureFile, videos: Mapping[str, AnnotatedVideo], labels: Sequence[str]
) -> list[LabelledVideo]:
    """Return the annotated videos in steps, without actions of other labels.

    Actions without length or outside the rows are left out too, and counted in the log.
    """
    index = {label: n for n, label in enumerate(labels)}
    labelled = []
    left_out = 0
    for video in videos.values():
        axis = file.time_axis(video.video_id)
        kept = [i for i in video.instances if i.label in index]
        seconds = np.array([(i.start_sec, i.end_sec) for i in kept], dtype=float).reshape(-1, 2)
        steps = seconds_to_steps(seconds, start_sec=axis.start_sec, step_sec=axis.step_sec)
        steps = steps.clip(-0.5, axis.num_steps - 0.5)  # each row stands for half a step each side
        has_rows = steps[:, 1] > steps[:, 0]
        left_out += int((~has_rows).sum())
        classes = np.array([index[i.label] for i in kept], dtype=np.int64)
        labelled.append(LabelledVideo(video.video_id, axis, steps[has_rows], classes[has_rows]))
    if left_out:
        logger.warning("%d actions without length or without rows are left out", left_out)
    return labelled


def window_start(
    segment: np.ndarray,
    *,
    window_steps: int,
    num_steps: int,
    min_share: float,
    rng: np.random.Generator,
) -> int:
    """Return the start of a random window that holds at least `min_share` of `segment` (paper 3.2).

    Drawn uniformly from the starts that qualify, in closed form. The paper calls the share a tIoU,
    but a real tIoU of 0.75 cannot be had for actions shorter than the window. If the action is too
    long for that, the window lies inside it. In a video shorter than the window it starts at 0.

    Args:
        segment: (start, end) in steps, within the video.
        num_steps: of the video.
    """
    start, end = segment
    need = min(min_share * (end - start), window_steps)
    low = max(math.ceil(start + need - window_steps), 0)
    high = min(math.floor(end - need), num_steps - window_steps)
    if high <= low:  # the action fills the window, or the window the video: no choice left
        return max(min(low, num_steps - window_steps), 0)
    return int(rng.integers(low, high + 1))


def draw_windows(
    videos: Iterable[LabelledVideo], data: DataConfig, *, rng: np.random.Generator
) -> list[Window]:
    """Return one pass over the data: `windows_per_video` windows of every video, in random order.

    Each window is drawn around one action, all actions of a video equally often. Videos without
    actions give no windows, since every sample must hold one.

    Args:
        data: a window has `window_steps` rows (all of a shorter video), or with `min_crop` below
            1 (not in the paper), drawn anew each time, that share of them at least.
    """
    windows = []
    for video in videos:
        count = len(video.segments)
        if count == 0:
            continue
        rounds = math.ceil(data.windows_per_video / count)
        order = np.concatenate([rng.permutation(count) for _ in range(rounds)])
        for n in order[: data.windows_per_video]:
            steps = min(data.window_steps, video.axis.num_steps)
            if data.min_crop < 1:
                steps = max(1, round(steps * rng.uniform(data.min_crop, 1)))
            start = window_start(
                video.segments[n],
                window_steps=steps,
                num_steps=video.axis.num_steps,
                min_share=data.min_instance_share,
                rng=rng,
            )
            windows.append(Window(video, start, steps))
    return [windows[n] for n in rng.permutation(len(windows))]


def alike_together(
    windows: Sequence[Window], batch_size: int, *, rng: np.random.Generator
) -> list[Window]:
    """Return the windows in an order in which those of like length share a batch.

    That saves padding (not in the paper). Windows are sorted within a few batches at a time, which
    are then shuffled: what meets in a batch, and when, still differs from epoch to epoch.
    """
    stretch = 8 * batch_size
    groups = []
    for first in range(0, len(windows), stretch):
        ordered = sorted(windows[first : first + stretch], key=lambda w: w.steps)
        groups += [ordered[n : n + batch_size] for n in range(0, len(ordered), batch_size)]
    full = [g for g in groups if len(g) == batch_size]
    rest = [w for g in groups if len(g) < batch_size for w in g]  # the last batch may be smaller
    return [w for n in rng.permutation(len(full)) for w in full[n]] + rest


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
        yield Batch(features, valid, collate_truth(actions), tuple(chosen))


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


def collate_truth(actions: Sequence[tuple[np.ndarray, np.ndarray]]) -> Truth:
    """Return the actions of several windows as one padded batch."""
    segments, labels = ([torch.from_numpy(a) for a in each] for each in zip(*actions, strict=True))
    return Truth(
        pad_sequence(segments, batch_first=True).float(),
        pad_sequence(labels, batch_first=True, padding_value=-1),
    )


def pad_rows(rows: Sequence[np.ndarray], steps: int) -> tuple[Tensor, Tensor]:
    """Return sequences (t, D), t <= steps, as (B, steps, D) zeros at the end, and the mask."""
    features = torch.zeros(len(rows), steps, rows[0].shape[1])
    for n, r in enumerate(rows):
        features[n, : len(r)] = torch.from_numpy(r)
    return features, torch.arange(steps) < torch.tensor([[len(r)] for r in rows])
