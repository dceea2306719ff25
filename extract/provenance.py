"""Settings to what a feature file says of how its rows were made, and back to settings.

Rows are comparable where two provenances do not differ: then a file can be added to, and a new
video is extracted as the features were that a head was trained on.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from .backbones.table import LIBRARIES, MODULES, find_family
from .projection import matrix_sha256, orthogonal_projection
from .settings import ExtractSettings
from .stitch import PAPER_SEGMENT

PICTURE_RULE = "last at or before its tick"  # in files of older versions: the first at or after it
OPENCV = (  # all of them are `cv2`
    "opencv-python", "opencv-python-headless", "opencv-contrib-python",
    "opencv-contrib-python-headless",
)  # fmt: skip
# Settings that are written down; the first backbone has its own, and others have rows that can
# stand at other places and see other frames, in the words of features that are imported.
CHOSEN = ("fps", "resize", "crop", "context", "width", "store")
CHOSEN_OF_OTHERS = ("fps", "resize", "crop", "width", "store")
FIRST = "i3d_r50"
ADDED = ("scores",)  # what stands beside rows; written down only where it is there


def make_provenance(
    settings: ExtractSettings,
    made_by: Mapping[str, Mapping[str, Any]],
    *,
    dtype: str,
    device: str,
) -> dict[str, Any]:
    """The provenance of the rows that an extraction makes; JSON.

    Args:
        made_by: of every stream, the identity of its `weights` and of its `projection` matrix.
        dtype, device: as chosen, never `auto`.
    """
    if settings.backbone == FIRST:
        segment = None if settings.exact else settings.segment or PAPER_SEGMENT
        chosen = {**{name: getattr(settings, name) for name in CHOSEN}, "segment": segment}
    else:
        chosen = {name: getattr(settings, name) for name in CHOSEN_OF_OTHERS}
        chosen |= {"stride_frames": settings.stride, "window_frames": settings.clip_frames}
    return {
        "extractor": settings.backbone,
        "clock": {"picture": PICTURE_RULE, "zero": settings.time_zero},
        **chosen,
        "dtype": dtype,
        **made_by["rgb"],
        "flow": {"method": settings.flow_method, **made_by["flow"]} if settings.flow else None,
        **{name: True for name in ADDED if getattr(settings, name)},
        "made_with": {
            "device": device,
            "python": platform.python_version(),
            "torch": torch.__version__,
            **{p: _version(p) for p in ("tsatal", "pytorchvideo", "av", "numpy")},
            "opencv-python": _version(*OPENCV),
        },
    }


def differing_setting(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """Return the first setting in which two provenances differ, in words, or None.

    How the features were made (`made_with`) may differ: other versions give the same rows.
    """
    same_extractor = ours.get("extractor") == theirs.get("extractor")
    if same_extractor and "clock" in ours and "clock" not in theirs:
        return (
            "there, an older version took the first picture at or after an instant, here it is "
            "the last one at or before it: extract all of it anew"
        )
    for name in (*ours, *ADDED):
        if name != "made_with" and ours.get(name) != theirs.get(name):
            return f"{name} is {_plain(ours.get(name))} here, {_plain(theirs.get(name))} there"
    return None


def settings_of(
    provenance: Mapping[str, Any],
    *,
    streams: Sequence[str],
    features: Path,
    weights: str | None = None,
    flow_weights: str | None = None,
    device: str = "auto",
    track: int | None = None,
    assume_fps: float | None = None,
) -> ExtractSettings:
    """Return the settings that give rows comparable with those of a feature file.

    Args:
        streams: those of the feature file that are needed.
        features: the file with the projection, where that cannot be made anew: the feature file,
            or a run's copy.
        weights, flow_weights: the checkpoints, where the file names others than the published.
        track, assume_fps: of the new videos, see `ExtractSettings`.
    Raises:
        InputError: the rows are of another extractor, or a checkpoint or the feature file is
            needed and not given; the message says which.
    """
    backbone = str(provenance.get("extractor", "an unnamed extractor"))
    if backbone not in MODULES and backbone.partition(":")[0] not in LIBRARIES:
        raise InputError(
            f"the features come from {backbone!r}, not from `tsatal extract`: extract the video in "
            "the same way and give the feature file"
        )
    if "clock" not in provenance:
        raise InputError(
            f"{features}: an older version took the first picture at or after an instant, now it "
            "is the last one at or before it: extract the training videos anew and train on them"
        )
    family = find_family(backbone)
    try:
        rgb, projected = provenance["weights"], provenance["projection"]
        flow: Any = provenance["flow"] if "flow" in streams else None
        own_flow = flow is not None and flow["weights"] != rgb
        settings = ExtractSettings(
            **_chosen(provenance),
            backbone=backbone,
            projection="none" if projected is None else "orthogonal",
            weights=rgb["name"],
            weights_sha256=rgb.get("sha256"),
            seed=int(rgb.get("seed", 0)),
            flow=flow is not None,
            flow_method=flow["method"] if flow else "dis",
            flow_weights=flow["weights"]["name"] if own_flow else None,
            device=device,
            time_zero=provenance["clock"]["zero"],
            track=track,
            assume_fps=assume_fps,
        )
    except (KeyError, TypeError, AttributeError, ValueError) as e:
        raise InputError(f"{features}: its provenance is damaged ({e!r}); train anew") from None
    # Files that only the user has.
    files = {"weights": weights or _published(rgb, family.weights, "--weights")}
    if own_flow:
        files["flow_weights"] = flow_weights or _published(
            flow["weights"], family.weights, "--flow-weights"
        )
    if projected is not None and not can_be_made_anew(settings, projected["sha256"]):
        if not features.is_file():
            raise InputError(
                f"{features}: no such file; the projection of the features is needed, which is in "
                "it: name where it is now with --features"
            )
        files["projection"] = str(features)
    return settings.changed(**files)


def can_be_made_anew(settings: ExtractSettings, sha256: str) -> bool:
    """Whether a projection of that digest is the random one of the settings."""
    made = orthogonal_projection(settings.family.width, settings.width, seed=settings.seed)
    return matrix_sha256(made) == sha256


def _chosen(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a provenance names by themselves."""
    if provenance["extractor"] == FIRST:
        return {name: provenance[name] for name in (*CHOSEN, "segment")}
    chosen = {name: provenance[name] for name in CHOSEN_OF_OTHERS}
    return chosen | {"stride": provenance["stride_frames"], "segment": provenance["window_frames"]}


def _published(identity: Mapping[str, Any], published: str, option: str) -> str:
    """Return the name of weights that need no file of the user's."""
    name = str(identity["name"])
    if name not in ("random", published):
        raise InputError(
            f"the features were made with the weights {name!r} (sha256 {identity.get('sha256')}): "
            f"give that file with {option}"
        )
    return name


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{k}={v!s:.16}" for k, v in value.items())
    return "unknown" if value is None else str(value)


def _version(*packages: str) -> str:
    """The version of the first of these packages that is installed."""
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(package)
    return "unknown"
