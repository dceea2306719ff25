"""Videos in, a clock out that turns the frame numbers of labels into seconds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from ..formats.labels.record import FrameClock
from .clock import Reading
from .sources import assign_ids


def clock_of(paths: Sequence[Path], reading: Reading, label_fps: float | None = None) -> FrameClock:
    """Return the clock of labels that count frames: the user's rate, or that of the videos.

    A video is decoded when its first frame number is met.

    Args:
        paths: of the videos.
        reading: how these are read.
        label_fps: frames per second, which go before the videos' own clocks.
    """
    ids, _ = assign_ids(paths)

    @lru_cache(maxsize=4)
    def pictures(video_id: str) -> Sequence[float] | None:
        from .video import picture_seconds

        return picture_seconds(ids[video_id], reading) if video_id in ids else None

    return FrameClock(label_fps, pictures)
