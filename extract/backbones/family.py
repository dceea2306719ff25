"""What a backbone family fixes about its rows; known without torch, so that `--help` is quick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """A backbone family.

    name: the extractor's name in a feature file.
    fps: frames per second that it is meant to see.
    channels: input channels of each stream that the family takes.
    stride_frames: frames from one row to the next.
    reach_frames: frames that a row sees on either side of its own, in whole rows.
    width: values of a row before the projection.
    """

    name: str
    fps: float
    channels: Mapping[str, int]
    stride_frames: int
    reach_frames: int
    width: int


I3D_R50 = Family(
    name="i3d_r50",
    fps=10.0,
    channels={"rgb": 3, "flow": 2},
    stride_frames=2,
    reach_frames=18,
    width=2048,
)
