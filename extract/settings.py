"""What can be chosen about an extraction, and what of it makes features comparable."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import torch

from ..errors import InputError
from .backbones.i3d_r50 import REACH_FRAMES, STRIDE_FRAMES
from .flow import check_method
from .stitch import PAPER_SEGMENT

EXTRACTOR = "i3d_r50"  # what a feature file calls us


@dataclass(frozen=True)
class ExtractSettings:
    """How videos become rows; every value has the paper's choice or ours as its default.

    Raises:
        InputError: a value is out of its range; the message names it.
    """

    fps: float = 10.0  # frames per second that are looked at (the paper's)
    resize: int = 128  # shorter side of a frame, pixels
    crop: int = 112  # side of the centred square, pixels (the paper's)
    segment: int | None = None  # frames per pass; None: the paper's 128, or what is fastest
    context: int = REACH_FRAMES  # frames seen on both sides; 18 is exact, 0 is the paper's cut
    weights: str = "kinetics"  # kinetics, random, or the path of a checkpoint
    weights_sha256: str | None = None  # the digest that the checkpoint must have
    projection: str = "orthogonal"  # orthogonal, pca, or a .npy or feature file with a matrix
    flow: bool = False  # whether there is a second stream, of optical flow
    flow_method: str = "dis"  # dis, or tvl1 where opencv-contrib is installed
    flow_weights: str | None = None  # a checkpoint of its own; None adapts the first stream's
    width: int = 512  # values per row (the paper's)
    seed: int = 0  # of random weights and of the orthogonal projection
    device: str = "auto"  # auto, cpu or cuda
    at_once: int | None = None  # videos; None: 1 on a CPU, and on CUDA what the cores can decode
    dtype: str = "auto"  # what the network computes in: auto, float32 or bfloat16
    store: str = "float32"  # what rows are stored in: float32 or float16

    def __post_init__(self) -> None:
        """Check every number that could not work."""
        _require(0 < self.fps <= 1000, "fps", self.fps, "above 0 and at most 1000")
        _require(self.crop >= 32, "crop", self.crop, "at least 32")
        _require(self.resize >= self.crop, "resize", self.resize, f"at least crop ({self.crop})")
        even = f"a multiple of {STRIDE_FRAMES}"
        if self.segment is not None:
            fits = self.segment > 0 and self.segment % STRIDE_FRAMES == 0
            _require(fits, "segment", self.segment, even)
        _require(
            self.context >= 0 and self.context % STRIDE_FRAMES == 0, "context", self.context, even
        )
        at_once = self.at_once is None or self.at_once >= 1
        _require(at_once, "at_once", self.at_once, "at least 1")
        if self.flow:
            check_method(self.flow_method)
        elif self.flow_weights is not None:
            raise InputError(f"flow_weights {self.flow_weights!r} are of no use without flow")
        _require(1 <= self.width <= 2048, "width", self.width, "from 1 to 2048")
        _require(self.store in ("float32", "float16"), "store", self.store, "float32 or float16")

    @property
    def exact(self) -> bool:
        """Return whether the rows are those of the uncut video, whatever the pieces."""
        return self.context >= REACH_FRAMES

    @property
    def streams(self) -> tuple[str, ...]:
        """Return the names of the streams."""
        return ("rgb", "flow") if self.flow else ("rgb",)

    @property
    def start_sec(self) -> float:
        """Return the instant of the first row: between the first two frames, seconds."""
        return (STRIDE_FRAMES - 1) / 2 / self.fps

    @property
    def step_sec(self) -> float:
        """Return the time between rows, seconds."""
        return STRIDE_FRAMES / self.fps


def make_provenance(
    settings: ExtractSettings,
    *,
    weights: Mapping[str, Any],
    projection: Mapping[str, Any],
    flow: Mapping[str, Any] | None,
    dtype: str,
    device: str,
) -> dict[str, Any]:
    """Return what a feature file says about its rows; JSON.

    Args:
        settings: of the extraction.
        weights: identity of the backbone's weights.
        projection: identity of the projection matrix.
        flow: method, weights and projection of the second stream; None without one.
        dtype: what `auto` came to.
        device: likewise.
    """
    chosen = ("fps", "resize", "crop", "context", "width", "store")
    return {
        "extractor": EXTRACTOR,
        **{name: getattr(settings, name) for name in chosen},
        "segment": None if settings.exact else settings.segment or PAPER_SEGMENT,
        "dtype": dtype,
        "weights": dict(weights),
        "projection": dict(projection),
        "flow": dict(flow) if flow else None,
        "made_with": {
            "device": device,
            "python": platform.python_version(),
            "torch": torch.__version__,
            **{p: _version(p) for p in ("tsatal", "pytorchvideo", "av", "opencv-python", "numpy")},
        },
    }


def differing_setting(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """Return the first setting in which two provenances differ, in words, or None.

    How the features were made (`made_with`) may differ: other versions give the same rows.
    """
    for name in ours:
        if name != "made_with" and ours[name] != theirs.get(name):
            return f"{name} is {_plain(ours[name])} here, {_plain(theirs.get(name))} there"
    return None


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{k}={v!s:.16}" for k, v in value.items())
    return "unknown" if value is None else str(value)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def _require(holds: bool, name: str, value: object, rule: str) -> None:
    if not holds:
        raise InputError(f"{name} must be {rule}, is {value}")
