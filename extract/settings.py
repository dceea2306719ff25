"""The settings of stage one; the options of `tsatal extract` are made from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from ..config import Settings, setting
from ..errors import InputError, shown
from ..formats.limits import check_size
from .backbones.family import Family
from .backbones.table import DEFAULT, find_family
from .clock import Reading

BYTES_PER_PIXEL = 12  # three colours in float32
DEFAULT_SEGMENT = 128  # frames, where the device decides
PROJECTED = 512  # values of a row after a projection, as in the paper
OF_BACKBONE = "  [default: the backbone's]"
# Settings by name, for `tsatal extract --config`.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": {  # the reading nearest to the text; docs/method.md has the sentences
        "backbone": "i3d_r50",  # 2.1: "ResNet I3D", the average pool at its end removed
        "fps": 10.0,  # 3.2: "RGB and optical streams at 10 frames per second"
        "resize": 112,  # 3.2: "frame space size was limited to 112x112"
        "crop": 112,
        "segment": 128,  # 3.2: "each segment limited to 128 frames [...] not having overlapping"
        "context": 0,  # so no row sees into the next segment
        "flow": True,  # 2: "the mixed mode of optical flow and RGB"
        "projection": "none",  # 2: the fully connected layer is learned, so it is the head's
    }
}


class ExtractSettings(Settings):
    """How videos become rows; the defaults are those of the backbone, and the paper's of the first.

    What is left open (None) takes the backbone's value at once, so that every field has one.
    """

    backbone: str = setting(
        DEFAULT, "Network that looks at the frames; `tsatal backbones` lists them.", metavar="NAME"
    )
    fps: float = setting(None, f"Frames per second to look at.{OF_BACKBONE}", ge=0.01, le=1000)
    resize: int = setting(
        None,
        f"Shorter side of a frame after scaling, pixels; at least crop.{OF_BACKBONE}",
        ge=32,
        le=1024,
    )
    crop: int = setting(
        None, f"Side of the square cut from a frame's centre, pixels.{OF_BACKBONE}", ge=32, le=1024
    )
    stride: int = setting(None, f"Frames from one row to the next.{OF_BACKBONE}", gt=0, le=4096)
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
        "Frames in one pass of the network, or in a clip.  [default: what is fastest; a clip's are "
        "the backbone's; without context 128]",
        gt=0,
        le=4096,
    )
    context: int = setting(
        None,
        "Frames seen around a pass of i3d_r50; 18 gives the rows of the uncut video, 0 the "
        "paper's cut.  [default: 18]",
        ge=0,
        le=4096,
    )
    weights: str = setting(
        None,
        "Weights of the network; the published ones are fetched once, random is untrained, for "
        "tests.  [default: the published ones]",
        metavar="kinetics|random|PATH",
    )
    weights_sha256: str | None = setting(None, "Refuse weights with another digest.", metavar="HEX")
    projection: str = setting(
        None,
        "Matrix from the network's values to --width: a random orthogonal one, a pca of a sample "
        "of VIDEOS, or that of a FILE, .npy or a feature file.  [default: orthogonal; none without "
        "--width but for i3d_r50]",
        metavar="orthogonal|pca|none|FILE",
    )
    flow: bool = setting(False, "Extract a second stream, of optical flow.")
    flow_method: Literal["dis", "tvl1"] = setting(
        "dis", "Kind of flow; tvl1 needs opencv-contrib-python, and over 100 times as long."
    )
    flow_weights: str | None = setting(
        None,
        "Weights for optical flow.  [default: the published ones; of i3d_r50 those of --weights, "
        "averaged over colour]",
        metavar="random|PATH",
    )
    width: int = setting(
        None,
        "Values of a row after the projection.  [default: 512 of i3d_r50; else the backbone's]",
        ge=1,
        le=65536,
    )
    scores: bool = setting(False, "Store the scores of the classes that the backbone knows, too.")
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

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Give what is left open the backbone's value."""
        chosen = {name: value for name, value in given.items() if value is not None}
        family = find_family(str(chosen.get("backbone", DEFAULT)))
        projected = family.projected
        if projected is None and chosen.get("projection", "none") != "none":
            projected = min(PROJECTED, family.width)
        if chosen.get("projection") == "none":
            projected = None
        of_backbone = {
            "fps": family.fps,
            "resize": max(family.resize, _whole(chosen.get("crop", 0))),
            "crop": family.crop,
            "stride": family.stride_frames,
            "segment": None if family.kind == "dense" else family.clip_frames,
            "context": family.reach_frames,
            "weights": family.weights,
            "width": projected or family.width,
        }
        chosen = {**of_backbone, **chosen}
        projects = projected is not None or chosen["width"] != family.width
        return {"projection": "orthogonal" if projects else "none", **chosen}

    @model_validator(mode="after")
    def _fit_together(self) -> ExtractSettings:
        if self.resize < self.crop:
            raise InputError(f"resize must be at least crop ({self.crop}), is {self.resize}")
        if self.flow_weights is not None and not self.flow:
            raise InputError(f"flow_weights {shown(self.flow_weights)} are of no use without flow")
        if problem := _misfit(self, self.family):
            raise InputError(f"{problem} for the backbone {self.backbone}")
        frames = (self.segment or DEFAULT_SEGMENT) + 2 * self.context
        check_size(
            BYTES_PER_PIXEL * frames * self.crop**2,
            f"segment: a pass of {frames} frames of {self.crop} x {self.crop}",
            instead="a smaller segment or crop",
        )
        return self

    def changed(self, **values: Any) -> ExtractSettings:
        """The same settings with other values; another backbone brings its own for those left open.

        Raises:
            InputError: as when they are made.
        """
        if values.get("backbone", self.backbone) == self.backbone:
            return super().changed(**values)
        theirs = dict(ExtractSettings(backbone=self.backbone))
        return type(self)(**{**{k: v for k, v in self if v != theirs[k]}, **values})

    @property
    def family(self) -> Family:
        """The description of the backbone."""
        return find_family(self.backbone)

    @property
    def exact(self) -> bool:
        """Whether the rows do not depend on the length of a pass."""
        return self.context >= self.family.reach_frames

    @property
    def clip_frames(self) -> int | None:
        """The length of a clip; None of a dense backbone."""
        return None if self.family.kind == "dense" else self.segment

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
        """The instant of the first row, seconds after the first frame."""
        return self.family.first_frame(self.clip_frames) / self.fps

    @property
    def step_sec(self) -> float:
        """The time between rows, seconds."""
        return self.stride / self.fps


def with_preset(name: str | None, given: Mapping[str, Any]) -> ExtractSettings:
    """The settings of that name, with what is given besides; without a name, what is given.

    Raises:
        InputError: there is none of this name, or they cannot work together.
    """
    if name is not None and name not in PRESETS:
        raise InputError(f"config {shown(name)}: extraction has the settings {', '.join(PRESETS)}")
    preset = PRESETS[name] if name else {}
    return ExtractSettings(**{**preset, **{k: v for k, v in given.items() if v is not None}})


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


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _misfit(chosen: ExtractSettings, family: Family) -> str | None:
    """Return what does not suit the backbone, in words, or None."""
    clip, pieces = family.clip_frames, family.strides[0] if family.strides else 1
    if chosen.crop < family.least_crop or (family.fixed_crop and chosen.crop != family.crop):
        size = str(family.crop) if family.fixed_crop else f"at least {family.least_crop}"
        return f"crop must be {size}, is {chosen.crop}"
    if family.strides and chosen.stride not in family.strides:
        return f"stride must be {' or '.join(map(str, family.strides))}, is {chosen.stride}"
    if chosen.segment and family.kind == "dense" and chosen.segment % pieces:
        return f"segment must be a multiple of {pieces}, is {chosen.segment}"
    if family.kind != "dense" and chosen.segment != clip and family.fixed_clip:
        return f"segment must be {clip}, is {chosen.segment}"
    if chosen.segment and chosen.segment % family.clip_multiple:
        return f"segment must be a multiple of {family.clip_multiple}, is {chosen.segment}"
    if chosen.context % 2 or (chosen.context and not family.reach_frames):
        even = "even" if family.reach_frames else "0"
        return f"context must be {even}, is {chosen.context}"
    if chosen.flow and "flow" not in family.streams:
        return "flow must be off: there is no network for it"
    if chosen.width > family.width:
        return f"width must be at most {family.width}, is {chosen.width}"
    if chosen.projection == "none" and chosen.width != family.width:
        return f"width must be {family.width} without a projection, is {chosen.width}"
    if chosen.scores and family.labels is None:
        return "scores must be off: it tells no classes"
    return None
