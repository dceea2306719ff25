"""Image networks of timm, `timm:NAME`: a row of every frame; `pip install tsatal[timm]`.

A network and its weights are what timm says of that name: the size of its input, colours, licence.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from .family import Family, Network
from .hub import hub_file, licence_of, needing

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .weights import Weights

FPS = 5.0


def describe(name: str) -> Family:
    """The description of `timm:NAME`.

    Raises:
        InputError: timm is not installed, or knows no such network.
    """
    timm = _timm()
    known = name.partition(":")[2]
    if not timm.is_model(known):
        raise InputError(f"backbone {name!r}: timm has no such network; see timm.list_models()")
    net, stated = _shape(known), timm.get_pretrained_cfg(known)
    crop = int(stated.input_size[1])
    licence, commercial = licence_of(stated.license)
    return Family(
        name=name,
        module="timm_frames",
        kind="frames",
        fps=FPS,
        resize=round(crop / stated.crop_pct),
        crop=crop,
        fixed_crop=bool(stated.fixed_input_size),
        stride_frames=1,
        width=int(net.head_hidden_size),
        labels=_labels(net),
        weights="pretrained",
        urls={"rgb": str(stated.hf_hub_id or "")},
        source=str(stated.hf_hub_id or "nobody"),
        extra="timm",
        trained_on=known.partition(".")[2] or "as timm says",
        top1=None,
        licence=licence,
        commercial=commercial,
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

    timm, known = _timm(), family.name.partition(":")[2]
    net: Any
    if weights.path is None:
        net = random_weights(lambda: timm.create_model(known), seed=weights.seed)
    else:
        # The library's own loader, which knows older names of layers, on a file that is here.
        try:
            net = timm.create_model(
                known, pretrained=True, pretrained_cfg_overlay={"file": str(weights.path)}
            )
        except Exception as e:  # timm and safetensors raise many kinds
            raise InputError(
                f"{weights.path}: does not fit {family.name} ({' '.join(str(e).split()):.200})"
            ) from None
    stated = timm.get_pretrained_cfg(known)
    classifier = net.get_classifier()
    return ClipNetwork(
        on_frames(net), family, stride=stride, clip_frames=1,
        normalise=normaliser(stated.mean, stated.std),
        classifier=classifier if hasattr(classifier, "in_features") else None,
        device=device, dtype=dtype,
    )  # fmt: skip


def published(family: Family, stream: str, sha256: str | None) -> tuple[Path, str]:
    """Find the weights on the Hugging Face hub; see `table.find_published`."""
    repository = family.urls["rgb"]
    if not repository:
        raise InputError(f"{family.name}: no weights are published; give some with --weights")
    return hub_file(repository, "model.safetensors", "timm")


def on_frames(net: Any) -> nn.Module:
    """Return a module that makes features (B, width) of clips of one frame (B, C, 1, H, W)."""
    from torch import nn

    class OnFrames(nn.Module):
        """An image network on clips of one frame, up to what its classifier takes."""

        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, clips: Tensor) -> Tensor:
            maps = self.net.forward_features(clips[:, :, 0])
            features: Tensor = self.net.forward_head(maps, pre_logits=True)
            return features

    return OnFrames()


def _timm() -> Any:
    with needing("timm"):
        import timm
    return timm


def _shape(known: str) -> Any:
    """The network without any numbers."""
    import torch

    with torch.device("meta"):
        return _timm().create_model(known)


def _labels(net: Any) -> tuple[str, ...] | None:
    with needing("timm"):
        from timm.data import ImageNetInfo, infer_imagenet_subset
    if not net.num_classes or (subset := infer_imagenet_subset(net)) is None:
        return None
    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(n) for n in range(info.num_classes()))
