"""Which rows a training looks at: windows around actions, and windows of background.

How many follows from how much there is to learn from (`plan_windows`), where they begin is drawn
anew in every epoch (`draw_windows`, paper 3.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..config import DataConfig
from ..formats.features import TimeAxis

AUTO = "auto"
WINDOWS_PER_ACTION = 2  # in an epoch at most, drawn around the same action


@dataclass(frozen=True)
class LabelledVideo:
    """One video's actions on the axis of its feature rows.

    segments: (N, 2) float64, steps, clipped to where there are rows; labels: (N,) int64.
    ignored: stretches that count neither as action nor as background, (M, 2) float64, steps.
    """

    video_id: str
    axis: TimeAxis
    segments: np.ndarray
    labels: np.ndarray
    ignored: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))


@dataclass(frozen=True)
class Window:
    """Rows `start : start + steps` of one video."""

    video: LabelledVideo
    start: int
    steps: int


@dataclass(frozen=True)
class WindowPlan:
    """How many windows an epoch has.

    around: windows around actions of each video, V numbers; 0 for a video without actions.
    background: windows without actions, of all videos together.
    stretches: where these lie: number of the video, first row, rows, (S, 3) int.
    """

    around: tuple[int, ...]
    background: int
    stretches: np.ndarray

    def __len__(self) -> int:
        """Return the number of windows."""
        return sum(self.around) + self.background


def plan_windows(
    videos: Sequence[LabelledVideo], data: DataConfig, *, epochs: int, batch_size: int
) -> WindowPlan:
    """Return how many windows each video gives in an epoch.

    With `data.windows_per_video: auto`, a video gives as many as cover it once, at most two per
    action; and all videos as many times more as the training needs to have `data.least_steps`.
    """
    rows = np.array([v.axis.num_steps for v in videos])
    actions = np.array([len(v.labels) for v in videos])
    stretches = background_stretches(videos, data.window_steps)
    if data.windows_per_video == AUTO:
        covering = -(-rows // data.window_steps)
        around = np.minimum(covering, np.maximum(WINDOWS_PER_ACTION * actions, 1))
        around = np.where(actions > 0, around, 0)
    else:
        around = np.where(actions > 0, data.windows_per_video, 0)
    # No more than see every stretch of background once.
    share = data.background_share / (1 - data.background_share)
    most = int((-(-stretches[:, 2] // data.window_steps)).sum())
    background = min(round(share * around.sum()), most)
    if data.windows_per_video == AUTO:
        # Steps are whole batches, so the last window of an epoch may be one too many, never few.
        needed = math.ceil(data.least_steps / epochs) * batch_size
        times = math.ceil(max(needed - batch_size + 1, 1) / (around.sum() + background))
        around, background = around * times, background * times
    return WindowPlan(tuple(int(n) for n in around), background, stretches)


def background_stretches(videos: Sequence[LabelledVideo], window_steps: int) -> np.ndarray:
    """Return the stretches without an action that fill a window or a whole video, (S, 3) int.

    Shorter ones are seen in windows around actions. What is ignored is not among them. Each is the
    number of its video, its first row, and its rows.
    """
    found = []
    for number, video in enumerate(videos):
        free = np.ones(video.axis.num_steps, dtype=bool)
        for start, end in np.concatenate([video.segments, video.ignored]):
            # From the first row that it touches to the last, as far as there are rows.
            first, last = (
                np.clip(t, 0, len(free)) for t in (math.floor(start), math.ceil(end) + 1)
            )
            free[first:last] = False
        edges = np.flatnonzero(np.diff(np.concatenate([[False], free, [False]]).astype(int)))
        least = window_steps if len(video.labels) else 1
        for first, end in edges.reshape(-1, 2).tolist():
            if end - first >= least:
                found.append((number, first, end - first))
    return np.array(found, dtype=np.int64).reshape(-1, 3)


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
    videos: Sequence[LabelledVideo], plan: WindowPlan, data: DataConfig, *, rng: np.random.Generator
) -> list[Window]:
    """Return the windows of one epoch, in random order.

    Each window around an action is drawn around one, all actions of a video equally often; each
    window of background inside a stretch, the long ones more often.

    Args:
        data: a window has `window_steps` rows (all of a shorter video or stretch), or with
            `min_crop` below 1 (not in the paper), drawn anew each time, that share at least.
    """

    def length(most: int) -> int:
        steps = min(data.window_steps, most)
        return max(1, round(steps * rng.uniform(data.min_crop, 1))) if data.min_crop < 1 else steps

    windows = []
    for video, number in zip(videos, plan.around, strict=True):
        count = len(video.segments)
        if not number:
            continue
        order = np.concatenate([rng.permutation(count) for _ in range(math.ceil(number / count))])
        for n in order[:number]:
            steps = length(video.axis.num_steps)
            start = window_start(
                video.segments[n],
                window_steps=steps,
                num_steps=video.axis.num_steps,
                min_share=data.min_instance_share,
                rng=rng,
            )
            windows.append(Window(video, start, steps))
    if plan.background:
        sizes = plan.stretches[:, 2]
        for n in rng.choice(len(sizes), plan.background, p=sizes / sizes.sum()):
            of_video, first, rows = plan.stretches[n].tolist()
            steps = length(rows)
            start = first + int(rng.integers(0, rows - steps + 1))
            windows.append(Window(videos[of_video], start, steps))
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
