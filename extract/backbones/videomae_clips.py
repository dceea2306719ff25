"""VideoMAE of Hugging Face's transformers, `hf:ID`; `pip install tsatal[transformers]`.

ID names a repository of the hub, or a folder with `config.json` and `model.safetensors`. What the
network is shown stands in its files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from .family import Family, Network
from .hub import hub_file, hub_path, needing

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .weights import Weights

EXTRA = "transformers"
FPS = 7.5  # every fourth of 30 per second, as it was trained
COLOURS = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}


def describe(name: str) -> Family:
    """The description of `hf:ID`.

    Raises:
        InputError: its files cannot be had, or it is another kind of network.
    """
    repository = name.partition(":")[2]
    config = _json(hub_path(repository, "config.json", EXTRA))
    if config.get("model_type") != "videomae":
        raise InputError(
            f"backbone {name!r}: its config.json says {config.get('model_type')!r}; "
            "only videomae is known"
        )
    names = config.get("id2label") or {}
    size = int(config.get("image_size", 224))
    classifies = any("Classification" in kind for kind in config.get("architectures") or [])
    return Family(
        name=name,
        module="videomae_clips",
        kind="clips",
        fps=FPS,
        resize=size,
        crop=size,
        fixed_crop=True,
        clip_frames=int(config.get("num_frames", 16)),
        stride_frames=2,
        width=int(config.get("hidden_size", 768)),
        labels=tuple(map(str, names.values())) if classifies and names else None,
        weights="pretrained",
        urls={"rgb": repository},
        source=repository,
        extra=EXTRA,
        trained_on="as its page says",
        top1=None,
        licence="as its page says",
        commercial="ask",
    )


def load(
    family: Family,
    stream: str,
    weights: Weights,
    *,
    stride: int,
    clip_frames: int | None,
    device: str,
    dtype: str,
) -> Network:
    """Return the network with its weights; see `table.load_backbones`."""
    from .clips import ClipNetwork, normaliser
    from .weights import random_weights

    repository = family.urls["rgb"]
    config = hub_path(repository, "config.json", EXTRA)
    net: Any
    if weights.path is None:
        net = random_weights(lambda: build(config), seed=weights.seed)
    else:
        net = build(config, weights.path)
    classifier = net.classifier if family.labels else None
    return ClipNetwork(
        up_to_features(net), family, stride=stride, clip_frames=clip_frames or family.clip_frames,
        normalise=normaliser(*_colours(repository)), classifier=classifier, device=device,
        dtype=dtype,
    )  # fmt: skip


def published(family: Family, stream: str, sha256: str | None) -> tuple[Path, str]:
    """Find the weights in the repository or folder; see `table.find_published`."""
    return hub_file(family.urls["rgb"], "model.safetensors", EXTRA)


def build(config: Path, weights: Path | None = None) -> Any:
    """Return the network of a `config.json`, with weights or without, in eval mode.

    Raises:
        InputError: transformers is not installed, or the weights are not of this network.
    """
    with needing(EXTRA):
        from safetensors.torch import load_file
        from transformers import VideoMAEConfig, VideoMAEForVideoClassification
    stated = VideoMAEConfig.from_json_file(str(config))
    if weights is None:
        return VideoMAEForVideoClassification(stated).eval()
    try:
        net, report = VideoMAEForVideoClassification.from_pretrained(
            None, config=stated, state_dict=load_file(weights), output_loading_info=True
        )
    except Exception as e:  # safetensors and transformers raise many kinds
        said = " ".join(str(e).split())
        raise InputError(f"{weights}: not the weights of {config.parent} ({said:.200})") from None
    # A network that was only pretrained has no classifier, and nothing else may be missing.
    missing = [k for k in report["missing_keys"] if not k.startswith(("classifier.", "fc_norm."))]
    if missing:
        raise InputError(f"{weights}: not the weights of {config.parent}: {missing[0]} is missing")
    return net.eval()


def up_to_features(net: Any) -> nn.Module:
    """Return a module that makes features (B, width) of clips (B, C, T, H, W)."""
    from torch import nn

    class UpToFeatures(nn.Module):
        """VideoMAE up to what its classifier takes."""

        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, clips: Tensor) -> Tensor:
            tokens: Tensor = self.net.videomae(clips.transpose(1, 2))[0]  # (B, T, C, H, W) in
            if self.net.fc_norm is None:
                return tokens[:, 0]
            features: Tensor = self.net.fc_norm(tokens.mean(1))
            return features

    return UpToFeatures()


def _colours(repository: str) -> tuple[Any, Any]:
    """Mean and spread of the colours, by the preprocessor's file where there is one."""
    try:
        stated = _json(hub_path(repository, "preprocessor_config.json", EXTRA))
    except InputError:
        stated = {}
    mean, spread = ({**COLOURS, **stated}[key] for key in COLOURS)
    return mean, spread


def _json(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as e:
        raise InputError(f"{path}: not JSON ({e}); fetch it again") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: holds no settings of a network; fetch it again")
    return found
