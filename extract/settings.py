"""The settings of stage one; the options of `tsatal extract` are made from them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from ..config import Settings, setting
from ..errors import InputError, shown
from ..formats.limits import check_size
from .backbones.family import I3D_R50
from .clock import Reading

BYTES_PER_PIXEL = 12  # three colours in float32
DEFAULT_SEGMENT = 128  # frames, where the device decides


class ExtractSettings(Settings):
    """How videos become rows; the defaults are the paper's where it says."""

    fps: float = setting(I3D_R50.fps, "Frames per second to look at.", ge=0.01, le=1000)
    resize: int = setting(
        128, "Shorter side of a frame after scaling, pixels; at least crop.", ge=32, le=1024
    )
    crop: int = setting(
        112, "Side of the square cut from a frame's centre, pixels.", ge=32, le=1024
    )
    time_zero: Literal["picture", "container"] = setting(
        "picture",
        "Time 0: the first picture, or the file's start, where sound may begin before it.",
    )
    track: int | None = setting(
        None,
        "Picture track to take, from 0.  [default: one flagged as default, then the largest]",
        ge=0,
        le=1000,
    )
    assume_fps: float | None = setting(
        None,
        "Pictures per second of what has no clock: folders of numbered images, and raw streams "
        "that do not state it.",
        ge=0.001,
        le=1000,
    )
    segment: int | None = setting(
        None,
        "Frames in one pass of the network.  [default: 64, on CUDA 256; without context 128]",
        gt=0,
        le=4096,
        multiple_of=I3D_R50.stride_frames,
    )
    context: int = setting(
        I3D_R50.reach_frames,
        "Frames seen around a pass; 18 gives the rows of the uncut video, 0 the paper's cut.",
        ge=0,
        le=4096,
        multiple_of=I3D_R50.stride_frames,
    )
    weights: str = setting(
        "kinetics",
        "Weights of the network; kinetics is downloaded once, random is untrained, for tests.",
        metavar="kinetics|random|PATH",
    )
    weights_sha256: str | None = setting(None, "Refuse weights with another digest.", metavar="HEX")
    projection: str = setting(
        "orthogonal",
        "Matrix from 2048 values to 512: a random orthogonal one, a pca of a sample of VIDEOS, or "
        "that of a FILE, .npy or a feature file.",
        metavar="orthogonal|pca|FILE",
    )
    flow: bool = setting(False, "Extract a second stream, of optical flow.")
    flow_method: Literal["dis", "tvl1"] = setting(
        "dis", "Kind of flow; tvl1 needs opencv-contrib-python, and over 100 times as long."
    )
    flow_weights: str | None = setting(
        None,
        "Weights for optical flow.  [default: those of --weights, averaged over colour]",
        metavar="random|PATH",
    )
    width: int = setting(512, "Values of a row after the projection.", ge=1, le=I3D_R50.width)
    seed: int = setting(0, "Seed of random weights and of the projection.", ge=0, lt=2**32)
    device: str = setting("auto", "Where the network runs; auto takes CUDA where there is one.")
    at_once: int | None = setting(
        None,
        "Videos under way, each decoded by a thread.  [default: 1, on CUDA a core each, up to 16]",
        ge=1,
        le=1024,
    )
    # float16 on a CPU is 30 times slower than float32.
    dtype: Literal["auto", "float32", "bfloat16"] = setting(
        "auto", "Precision of the network; auto is bfloat16 on CUDA, float32 on a CPU."
    )
    store: Literal["float32", "float16"] = setting("float32", "Precision of the rows in the file.")

    @model_validator(mode="after")
    def _fit_together(self) -> ExtractSettings:
        if self.resize < self.crop:
            raise InputError(f"resize must be at least crop ({self.crop}), is {self.resize}")
        if self.flow_weights is not None and not self.flow:
            raise InputError(f"flow_weights {shown(self.flow_weights)} are of no use without flow")
        frames = (self.segment or DEFAULT_SEGMENT) + 2 * self.context
        check_size(
            BYTES_PER_PIXEL * frames * self.crop**2,
            f"segment: a pass of {frames} frames of {self.crop} x {self.crop}",
            instead="a smaller segment or crop",
        )
        return self

    @property
    def exact(self) -> bool:
        """Whether the rows are those of the uncut video, whatever the pieces."""
        return self.context >= I3D_R50.reach_frames

    @property
    def reading(self) -> Reading:
        """How videos are read."""
        return Reading(zero=self.time_zero, track=self.track, assume_fps=self.assume_fps)

    @property
    def streams(self) -> tuple[str, ...]:
        """The names of the streams."""
        return ("rgb", "flow") if self.flow else ("rgb",)

    @property
    def start_sec(self) -> float:
        """The instant of the first row: between the first two frames, seconds."""
        return (I3D_R50.stride_frames - 1) / 2 / self.fps

    @property
    def step_sec(self) -> float:
        """The time between rows, seconds."""
        return I3D_R50.stride_frames / self.fps


def check_files(settings: ExtractSettings) -> None:
    """Tell of a file in the settings that is not there, before anything heavy is loaded.

    Only what looks like a path: words such as `random` are known where they are used.

    Raises:
        InputError: it is not there.
    """
    for option in ("weights", "flow_weights", "projection"):
        path = Path(getattr(settings, option) or "")
        if (path.suffix or len(path.parts) > 1) and not path.exists():
            raise InputError(f"{option.replace('_', '-')} {str(path)!r}: no such file")
