"""What can be chosen about an extraction; the command's options are made from it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..config import Settings
from ..errors import InputError
from .backbones.family import I3D_R50


class ExtractSettings(Settings):
    """How videos become rows; every default is the paper's choice or ours."""

    fps: float = Field(I3D_R50.fps, gt=0, le=1000, description="Frames per second to look at.")
    resize: int = Field(
        128, description="Pixels that the shorter side of a frame is scaled to, at least crop."
    )
    crop: int = Field(
        112, ge=32, description="Side of the square cut from a frame's centre, pixels."
    )
    segment: int | None = Field(
        None,
        gt=0,
        multiple_of=I3D_R50.stride_frames,
        description="Frames in one pass of the network.  [default: 64, on CUDA 256; without "
        "context 128]",
    )
    context: int = Field(
        I3D_R50.reach_frames,
        ge=0,
        multiple_of=I3D_R50.stride_frames,
        description="Frames seen on either side of a pass; 18 gives the rows of the uncut video, "
        "0 those of the paper's cut.",
    )
    weights: str = Field(
        "kinetics",
        description="Weights of the network; kinetics is downloaded once, random is for tests: "
        "its features are untrained.",
        json_schema_extra={"metavar": "kinetics|random|PATH"},
    )
    weights_sha256: str | None = Field(
        None,
        description="Refuse weights with another digest.",
        json_schema_extra={"metavar": "HEX"},
    )
    projection: str = Field(
        "orthogonal",
        description="Matrix from 2048 values to 512; orthogonal is random and needs no data, pca "
        "is fitted on a sample of VIDEOS, FILE is a .npy, or a feature file to share the matrix "
        "of.",
        json_schema_extra={"metavar": "orthogonal|pca|FILE"},
    )
    flow: bool = Field(False, description="Extract a second stream, of optical flow.")
    flow_method: Literal["dis", "tvl1"] = Field(
        "dis",
        description="How optical flow is computed; tvl1 needs opencv-contrib-python, and over a "
        "hundred times as long.",
    )
    flow_weights: str | None = Field(
        None,
        description="Weights for optical flow.  [default: those of --weights, averaged over "
        "colour]",
        json_schema_extra={"metavar": "random|PATH"},
    )
    width: int = Field(
        512, ge=1, le=I3D_R50.width, description="Values of a row after the projection."
    )
    seed: int = Field(
        0, ge=0, lt=2**32, description="Seed of random weights and of the orthogonal projection."
    )
    device: str = Field(
        "auto", description="Where the network runs; auto takes CUDA where there is one."
    )
    at_once: int | None = Field(
        None,
        ge=1,
        description="Videos under way at once, each decoded by a thread of its own.  [default: 1, "
        "on CUDA one per core, at most 16]",
    )
    # float16 on a CPU is 30 times slower than float32.
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Precision of the network; auto is bfloat16 on CUDA, float32 on a CPU.",
    )
    store: Literal["float32", "float16"] = Field(
        "float32", description="Precision of the rows in the file."
    )

    @model_validator(mode="after")
    def _fit_together(self) -> ExtractSettings:
        if self.resize < self.crop:
            raise InputError(f"resize must be at least crop ({self.crop}), is {self.resize}")
        if self.flow_weights is not None and not self.flow:
            raise InputError(f"flow_weights {self.flow_weights!r} are of no use without flow")
        return self

    @property
    def exact(self) -> bool:
        """Return whether the rows are those of the uncut video, whatever the pieces."""
        return self.context >= I3D_R50.reach_frames

    @property
    def streams(self) -> tuple[str, ...]:
        """Return the names of the streams."""
        return ("rgb", "flow") if self.flow else ("rgb",)

    @property
    def start_sec(self) -> float:
        """Return the instant of the first row: between the first two frames, seconds."""
        return (I3D_R50.stride_frames - 1) / 2 / self.fps

    @property
    def step_sec(self) -> float:
        """Return the time between rows, seconds."""
        return I3D_R50.stride_frames / self.fps
