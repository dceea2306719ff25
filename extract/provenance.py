"""What a feature file says of how its rows were made: from settings, and back to settings.

Rows are comparable where two provenances do not differ; so a file is added to, and a new video is
extracted as the features were that a head was trained on.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from .backbones.family import I3D_R50
from .projection import matrix_sha256, orthogonal_projection
from .settings import ExtractSettings
from .stitch import PAPER_SEGMENT

CHOSEN = ("fps", "resize", "crop", "context", "width", "store")  # settings that are written down


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
    return {
        "extractor": I3D_R50.name,
        **{name: getattr(settings, name) for name in CHOSEN},
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


def settings_of(
    provenance: Mapping[str, Any],
    *,
    streams: Sequence[str],
    features: Path,
    weights: str | None = None,
    flow_weights: str | None = None,
    device: str = "auto",
) -> ExtractSettings:
    """Return the settings that give rows comparable with those of a feature file.

    Args:
        provenance: of the feature file.
        streams: those of its streams that are needed.
        features: the feature file, for the projection where that cannot be made anew.
        weights, flow_weights: the checkpoints, where the file names others than the published.
    Raises:
        InputError: the rows are of another extractor, or a checkpoint or the feature file is
            needed and not given; the message says which.
    """
    if provenance.get("extractor") != I3D_R50.name:
        raise InputError(
            f"the features come from {provenance.get('extractor', 'an unnamed extractor')!r}, not "
            "from `tsatal extract`: extract the video in the same way and give the feature file"
        )
    try:
        flow = provenance["flow"] if "flow" in streams else None
        rgb = provenance["weights"]
        chosen = {name: provenance[name] for name in (*CHOSEN, "segment")}
        seed = int(rgb.get("seed", 0))
        more: dict[str, Any] = {}
        if flow is not None:
            more = {"flow": True, "flow_method": flow["method"]}
            if flow["weights"] != rgb:
                more["flow_weights"] = _weights(flow["weights"], flow_weights, "--flow-weights")
        more["weights"] = _weights(rgb, weights, "--weights")
        more["projection"] = _projection(provenance, chosen["width"], seed=seed, features=features)
    except InputError:  # a file is needed that only the user has
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as e:
        raise InputError(f"{features}: its provenance is damaged ({e!r})") from None
    try:
        return ExtractSettings(
            **chosen, weights_sha256=rgb.get("sha256"), seed=seed, device=device, **more
        )
    except InputError as e:
        raise InputError(f"{features}: its provenance is damaged ({e})") from None


def _weights(identity: Mapping[str, Any], given: str | None, option: str) -> str:
    """Return what `resolve_weights` finds them by."""
    if given is not None:
        return given
    if identity["name"] in ("random", "kinetics"):
        return str(identity["name"])
    raise InputError(
        f"the features were made with the weights {identity['name']!r} (sha256 "
        f"{identity['sha256']}): give that file with {option}"
    )


def _projection(provenance: Mapping[str, Any], width: int, *, seed: int, features: Path) -> str:
    made = orthogonal_projection(I3D_R50.width, width, seed=seed)
    if provenance["projection"]["sha256"] == matrix_sha256(made):
        return "orthogonal"
    if not features.is_file():
        raise InputError(
            f"{features}: no such file; the projection of the features is needed, which is in it: "
            "name where it is now with --features"
        )
    return str(features)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{k}={v!s:.16}" for k, v in value.items())
    return "unknown" if value is None else str(value)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
