"""Settings of an import and facts of a video in; out come the places of its rows in time.

Frame `n` of a video at `fps` frames per second is the instant `n / fps`, in this whole program. A
row that sees the frames `k .. k + window - 1` describes the middle of them, and rows are `stride`
frames apart:

    step_sec  = stride / fps
    start_sec = (window - 1) / 2 / fps

ActionFormer (libs/datasets/thumos14.py: `feat_offset = 0.5 * num_frames / feat_stride`) and OpenTAD
(`offset_frames = 8` for 16 frames) count `window / 2`, half a frame later: they take a frame for
the stretch of time until the next one. The half frame is 17 ms at 30 fps. `offset_frames` takes
such a number literally.

BSN and BMN resize a video's rows to 100 that each stand for a hundredth of it (BSN's
data_process.py, `poolData`): `step_sec = span / rows`, `start_sec = step_sec / 2`. The span is the
part of the video that the network saw, `duration * feature_frame / duration_frame`, where these
are known, and else the duration. C3D rows of unknown frame rate can be spread in the same way:
each then stands for two steps of it, as windows overlap by half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, model_validator

from ..config import Settings
from ..errors import InputError
from .facts import VideoFacts

FIRST_AXIS_IS_TIME = ("bmn", "activitynet-h5")  # by the format's definition
# ActivityNet's challenge: C3D sees 16 frames, one row every 8 frames (16, 24, 32, ... the last).
C3D_STRIDE_FRAMES, C3D_WINDOW_FRAMES, C3D_KEY = 8.0, 16.0, "c3d_features"
FEW_STEPS = 3  # what rows and duration may differ by before it is reported


class UnknownTimes(InputError):
    """A video whose rows cannot be placed in time: nobody says its frame rate or the like."""


class ImportSettings(Settings):
    """How the rows of a published set were made, and what their arrays are called.

    A number that is None is looked up for each video (see `facts`).

    Raises:
        InputError: a number is out of its range, or frames are counted of rows that are spread
            over the video.
    """

    format: Literal["actionformer", "opentad", "bmn", "activitynet-h5", "npy"] = Field(
        description="Whose layout SOURCE has; see docs/published_features.md."
    )
    fps: float | None = Field(
        None,
        ge=1e-6,
        le=1e6,
        description="Frames per second that the features were computed at.  [default: each "
        "video's in the JSON: 'fps', or 'frame' by 'duration']",
    )
    stride_frames: float | None = Field(
        None, ge=1e-6, le=1e9, description="Frames from one row to the next."
    )
    window_frames: float | None = Field(
        None, ge=1e-6, le=1e9, description="Frames that one row sees, first to last."
    )
    offset_frames: float | None = Field(
        None,
        ge=0,
        le=1e9,
        description="The frame that row 0 stands for.  [default: the middle of its window]",
    )
    resized: bool = Field(
        False, description="Rows are spread evenly over each video, as bmn's always are."
    )
    prefix: str | None = Field(
        None,
        description="What stands before the id in a name.  [default: v_ is found by itself]",
    )
    suffix: str = Field("", description="What stands after it, before the file's ending.")
    rgb_suffix: str | None = Field(
        None,
        description="The same for the first stream.  [default: --suffix, or found out by names]",
    )
    flow_suffix: str | None = Field(
        None,
        description="The same for the second stream, which may lie in SOURCE too.  [default: "
        "--suffix, or found out by names]",
    )
    key: str | None = Field(
        None, description="The array's name, where .npz, .pt or HDF5 hold several."
    )
    flow_key: str | None = Field(
        None, description="The name of the second stream's array, in the same files or in --flow."
    )
    crops: Literal["mean", "apart"] | None = Field(
        None,
        description="Average the crops of five- or ten-crop features, or take the files of crops "
        "for videos.  [default: arrays have no crops]",
    )
    crop_axis: int | None = Field(
        None,
        ge=0,
        le=2,
        description="The axis of arrays that counts the crops, from 0.  [default: found out by "
        "sizes]",
    )
    transpose: bool | None = Field(
        None,
        description="Arrays are (D, T), or (T, D).  [default: found out by sizes and durations]",
    )
    split_at: int | None = Field(
        None, ge=1, le=1_000_000, description="So many values of a row are rgb, the rest flow."
    )
    dtype: Literal["float32", "float16"] = Field("float32", description="What rows are stored in.")

    @model_validator(mode="after")
    def _fit_together(self) -> ImportSettings:
        if self.spread and self.counts_frames:
            raise InputError(
                "rows resized over the video have no fps, stride, window or offset in frames: "
                "leave these out, or the format (bmn) or --resized is wrong"
            )
        if self.crop_axis is not None and self.crops != "mean":
            raise InputError("--crop-axis goes with --crops mean")
        return self

    def suffix_of(self, stream: str) -> str:
        """What stands after the id in the names of a stream's arrays."""
        own = self.flow_suffix if stream == "flow" else self.rgb_suffix
        return self.suffix if own is None else own

    @property
    def spread(self) -> bool:
        """Whether rows are spread evenly over each video, whatever its frame rate."""
        return self.resized or self.format == "bmn"

    @property
    def names_one_stream(self) -> bool:
        """Whether nothing is said of how the names of a second stream differ."""
        return self.rgb_suffix is None and self.flow_suffix is None and self.flow_key is None

    @property
    def counts_frames(self) -> bool:
        """Whether a number is given that is counted in frames."""
        counted = (self.fps, self.stride_frames, self.window_frames, self.offset_frames)
        return any(value is not None for value in counted)

    def provenance(self) -> dict[str, Any]:
        """The feature file's description of how its rows were placed in time; JSON."""
        return {
            "extractor": "imported",
            "format": self.format,
            "fps": None if self.spread else self.fps or "per video",
            "stride_frames": self.stride_frames,
            "window_frames": self.window_frames,
            "offset_frames": self.offset_frames,
            "resized": self.spread,
            **({"crops": self.crops} if self.crops == "mean" else {}),
        }


@dataclass(frozen=True)
class Clock:
    """The places of one video's rows in time, in seconds; `fps` is None where rows are spread."""

    start_sec: float
    step_sec: float
    window_sec: float
    fps: float | None

    def covered_sec(self, rows: int) -> float:
        """Return the time from the first to the last frame that `rows` describe."""
        return (rows - 1) * self.step_sec + self.window_sec

    def rows_in(self, duration_sec: float) -> float:
        """Return the number of rows that a video of that length should have; not a whole one."""
        return max((duration_sec - self.window_sec) / self.step_sec + 1, 1.0)

    def misfit(self, rows: int, duration_sec: float) -> float | None:
        """Return the share of the duration that rows cover, or None where it is nearly all of it.

        Windows may reach over the ends of the video or not, so both are tried.
        """
        covered = self.covered_sec(rows)
        off = min(abs(span - duration_sec) for span in (rows * self.step_sec, covered))
        return covered / duration_sec if off > FEW_STEPS * self.step_sec else None


def clock(settings: ImportSettings, facts: VideoFacts, rows: int = 1) -> Clock:
    """Return the clock of one video's rows.

    Args:
        settings: of all videos; they go before `facts`.
        facts: of this video.
        rows: how many it has; matters for rows that are spread over the video.
    Raises:
        UnknownTimes: a number is missing; the message says which and how to give it.
    """
    c3d = settings.format == "activitynet-h5"
    if settings.spread:
        overlap = C3D_WINDOW_FRAMES / C3D_STRIDE_FRAMES if c3d else 1.0  # steps that a row covers
        span = _known(facts.duration_sec, NO_DURATION)
        if facts.feature_frames and facts.frames:
            span *= facts.feature_frames / facts.frames
        step = span / (rows - 1 + overlap)
        return Clock(overlap * step / 2, step, overlap * step, None)
    # `tsatal export` writes exact times
    if facts.step_sec is not None and facts.start_sec is not None and not settings.counts_frames:
        return Clock(facts.start_sec, facts.step_sec, facts.step_sec, facts.fps)
    fps = _known(settings.fps or facts.frame_rate, NO_FPS)
    stride = settings.stride_frames or facts.stride_frames or (C3D_STRIDE_FRAMES if c3d else None)
    stride = _known(stride, NO_STRIDE)
    window = settings.window_frames or facts.window_frames or (C3D_WINDOW_FRAMES if c3d else None)
    offset = settings.offset_frames
    if offset is None:
        offset = (_known(window, NO_WINDOW) - 1) / 2
    return Clock(offset / fps, stride / fps, (window or stride) / fps, fps)


NO_FPS = (
    "no frame rate: give --fps (of the frames that the features were computed on), annotations "
    "with 'fps' or 'frame' for each video, or --video-info; or --resized where rows are spread "
    "evenly over each video"
)
NO_STRIDE = "no stride: give --stride-frames (frames from one row to the next)"
NO_WINDOW = (
    "no window: give --window-frames (frames that one row sees; 1 for single frames) or "
    "--offset-frames (the frame that row 0 stands for)"
)
NO_DURATION = "no duration, over which its rows would be spread: give annotations with 'duration'"


def _known(value: float | None, otherwise: str) -> float:
    if value is None:
        raise UnknownTimes(otherwise)
    return value
