"""The backbones by name. A new one is a file with its description and `load`, and a line here.

Free of torch; what a name stands for is imported when it is asked for.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ...errors import InputError
from .family import Family, Network

if TYPE_CHECKING:
    from torch import nn

    from .weights import Weights

log = logging.getLogger(__name__)

DEFAULT = "i3d_r50"
# The module that describes each, in FAMILIES by name; `Family.module` has `load`.
MODULES = {
    "i3d_r50": "dense",
    "i3d": "dense",
    "i3d_windows": "dense",
    "slow_r50": "pytorchvideo_clips",
    "slowfast_r50": "pytorchvideo_clips",
    "x3d_s": "pytorchvideo_clips",
    "x3d_m": "pytorchvideo_clips",
    "r2plus1d_r50": "pytorchvideo_clips",
    "csn_r101": "pytorchvideo_clips",
    "swin3d_t": "torchvision_clips",
    "swin3d_b": "torchvision_clips",
    "mvit_v2_s": "torchvision_clips",
    "s3d": "torchvision_clips",
}
# Whole libraries of networks, `LIBRARY:NAME`: the module, which has `describe`; and in words, what
# the name is, and what it stands for.
LIBRARIES = {
    "timm": ("timm_frames", "NAME", "any image network of timm, a row of every frame"),
    "hf": ("videomae_clips", "ID", "VideoMAE of Hugging Face: a repository OWNER/NAME or a folder"),
}


@cache
def find_family(name: str) -> Family:
    """The description of a backbone.

    Raises:
        InputError: no such backbone, or its library is not installed or does not know it.
    """
    if name in MODULES:
        family: Family = _module(MODULES[name]).FAMILIES[name]
        return family
    library, colon, known_as = name.partition(":")
    if colon and library in LIBRARIES and known_as:
        described: Family = _module(LIBRARIES[library][0]).describe(name)
        return described
    near = difflib.get_close_matches(name, MODULES, n=1)
    meant = f"; did you mean {near[0]}?" if near else "; `tsatal backbones` lists them"
    raise InputError(f"backbone {name!r}: there is none of that name{meant}")


def is_dense(name: str) -> bool:
    """Whether this is one of our networks that carry over from piece to piece."""
    return name in MODULES and find_family(name).kind == "dense"


def all_families() -> Iterator[Family]:
    """Yield the description of every backbone that has a name of its own."""
    yield from map(find_family, MODULES)


def find_published(family: Family, stream: str, sha256: str | None = None) -> tuple[Path, str]:
    """Find the published weights of a stream, and their digest; downloaded where need be.

    Raises:
        InputError: they are not here and cannot be downloaded; the message says where to put them.
    """
    module = _module(family.module)
    if hasattr(module, "published"):
        path, digest = module.published(family, stream, sha256)
        return path, digest
    from .weights import fetch_checkpoint

    return fetch_checkpoint(family.urls[stream])


def is_here(family: Family) -> bool:
    """Whether the published weights of a backbone of `all_families` are on this machine."""
    module = _module(family.module)
    if hasattr(module, "here"):
        return bool(module.here(family))
    from .weights import cached_checkpoint

    return cached_checkpoint(family.urls["rgb"]).exists()


def load_backbones(
    family: Family,
    weights: Mapping[str, Weights],
    *,
    stride: int,
    clip_frames: int | None = None,
    device: str = "cpu",
    dtype: str = "float32",
) -> dict[str, Network]:
    """Return the network of every stream with its weights, ready to run.

    Args:
        stride: frames from row to row.
        clip_frames: the length of a clip; None of a dense backbone.
    Raises:
        InputError: a library is not installed, or a checkpoint cannot be read or does not fit.
    """
    if any(w.path is None for w in weights.values()):
        log.warning("RANDOM WEIGHTS: the features will be those of an untrained network")
    load = _module(family.module).load
    more = {"stride": stride, "clip_frames": clip_frames, "device": device, "dtype": dtype}
    return {stream: load(family, stream, given, **more) for stream, given in weights.items()}


def whole_clip(family: Family, weights: Weights) -> nn.Module | None:
    """Return a network that turns frames (N, H, W, 3) uint8 into rows (t, D) in one plain pass.

    It can be exported; its rows are those of a video of N frames. None of a backbone without one.
    """
    module = _module(family.module)
    found: nn.Module | None = None
    if family.kind == "dense" and hasattr(module, "WholeClip"):
        found = module.WholeClip(weights)
    return found


def _module(name: str) -> ModuleType:
    return import_module(f".{name}", __package__)
