"""What a backbone family fixes about its rows; free of torch, so that `--help` is quick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """A backbone family: `name` stands in feature files as the extractor."""

    name: str
    channels: Mapping[str, int]  # of the input, by stream
    fps: float  # frames per second that it is shown
    stride_frames: int  # from one row to the next
    reach_frames: int  # that a row sees on either side of its own, in whole rows
    width: int  # values of a row, before the projection


I3D_R50 = Family(
    name="i3d_r50",
    channels={"rgb": 3, "flow": 2},
    fps=10.0,
    stride_frames=2,
    reach_frames=18,
    width=2048,
)
