"""Extracting again as before: the settings, from what a feature file says of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from .extractor import BACKBONE_WIDTH
from .projection import matrix_sha256, orthogonal_projection
from .settings import EXTRACTOR, ExtractSettings


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
    if provenance.get("extractor") != EXTRACTOR:
        raise InputError(
            f"the features come from {provenance.get('extractor', 'an unnamed extractor')!r}, not "
            "from `tsatal extract`: extract the video in the same way and give the feature file"
        )
    try:
        flow = provenance["flow"] if "flow" in streams else None
        rgb = provenance["weights"]
        chosen = {name: provenance[name] for name in ("fps", "resize", "crop", "context", "width")}
        seed = int(rgb.get("seed", 0))
        more: dict[str, Any] = {}
        if flow is not None:
            more = {"flow": True, "flow_method": flow["method"]}
            if flow["weights"] != rgb:
                more["flow_weights"] = _weights(flow["weights"], flow_weights, "--flow-weights")
        return ExtractSettings(
            **chosen,
            segment=provenance["segment"],
            store=provenance["store"],
            weights=_weights(rgb, weights, "--weights"),
            weights_sha256=rgb.get("sha256"),
            projection=_projection(provenance, chosen["width"], seed=seed, features=features),
            seed=seed,
            device=device,
            **more,
        )
    except InputError:  # a file is needed that only the user has
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as e:
        raise InputError(f"{features}: its provenance is damaged ({e!r})") from None


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
    made = orthogonal_projection(BACKBONE_WIDTH, width, seed=seed)
    if provenance["projection"]["sha256"] == matrix_sha256(made):
        return "orthogonal"
    if not features.is_file():
        raise InputError(
            f"{features}: no such file; the projection of the features is needed, which is in it: "
            "name where it is now with --features"
        )
    return str(features)
