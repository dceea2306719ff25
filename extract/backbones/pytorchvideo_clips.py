"""pytorchvideo's networks for clips, trained on Kinetics-400.

Sizes, frames and accuracies are those of its model zoo, for clips of frames taken from 30 per
second; the accuracy is of 30 views of a video.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .family import Family, Network, kinetics_400

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .weights import Weights

ZOO = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics"
MEAN, SPREAD = (0.45,) * 3, (0.225,) * 3  # of every colour
SLOWNESS = 4  # frames of SlowFast's fast path for one of the slow

SLOW_R50 = Family(
    name="slow_r50",
    module="pytorchvideo_clips",
    kind="clips",
    fps=3.75,
    resize=256,
    crop=256,
    least_crop=224,
    clip_frames=8,
    stride_frames=1,
    width=2048,
    labels=kinetics_400(),
    urls={"rgb": f"{ZOO}/SLOW_8x8_R50.pyth"},
    source="pytorchvideo",
    trained_on="Kinetics-400",
    top1=74.58,
    licence="Apache-2.0",
    commercial="yes",
)


def _like(name: str, file: str, top1: float, **changed: Any) -> Family:
    return replace(SLOW_R50, name=name, urls={"rgb": f"{ZOO}/{file}.pyth"}, top1=top1, **changed)


FAMILIES = {
    family.name: family
    for family in (
        SLOW_R50,
        _like("slowfast_r50", "SLOWFAST_8x8_R50", 76.94, fps=15.0, clip_frames=32, stride_frames=4,
              width=2304),
        _like("x3d_s", "X3D_S", 73.33, fps=5.0, clip_frames=13, resize=182, crop=182,
              least_crop=160),
        _like("x3d_m", "X3D_M", 75.94, fps=6.0, clip_frames=16),
        _like("r2plus1d_r50", "R2PLUS1D_16x4_R50", 76.01, fps=7.5, clip_frames=16,
              stride_frames=2),
        # Its three strides along time take the earlier of two frames each.
        _like("csn_r101", "CSN_32x2_R101", 77.0, fps=15.0, clip_frames=32, stride_frames=4,
              early=2.0),
    )
}  # fmt: skip


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
    from .weights import fit_state, random_weights, read_state

    if weights.path is None:
        net = random_weights(lambda: build(family), seed=weights.seed)
    else:
        net = build(family)
        fit_state(net, read_state(weights.path), source=weights.path, what=family.name)
    features, classifier = apart(net, slow_and_fast=family.name == "slowfast_r50")
    return ClipNetwork(
        features, family, stride=stride, clip_frames=clip_frames or family.clip_frames,
        normalise=normaliser(MEAN, SPREAD), classifier=classifier, device=device, dtype=dtype,
    )  # fmt: skip


def build(family: Family, **smaller: Any) -> nn.Module:
    """Return the network as pytorchvideo's hub makes it; `smaller` changes it for tests."""
    from .i3d_r50 import _without_torchvision

    with _without_torchvision():
        from pytorchvideo.models import hub
    net: nn.Module = getattr(hub, family.name)(pretrained=False, **smaller)
    return net.eval()


def apart(net: Any, *, slow_and_fast: bool) -> tuple[nn.Module, nn.Linear]:
    """Return the network up to its features, and the classifier after them.

    Args:
        net: one of pytorchvideo's; what it loses is in the classifier.
        slow_and_fast: whether it takes frames in two rates.
    """
    from torch import nn

    head = net.blocks[-1]
    classifier: nn.Linear = head.proj
    head.proj, head.activation = nn.Identity(), None
    return (_slow_and_fast(net) if slow_and_fast else net), classifier


def _slow_and_fast(net: nn.Module) -> nn.Module:
    import torch
    from torch import nn

    class SlowAndFast(nn.Module):
        """SlowFast on clips at the fast rate."""

        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, clips: Tensor) -> Tensor:
            frames = clips.shape[2]
            # The frames that SlowFast was trained with.
            slow = torch.linspace(0, frames - 1, frames // SLOWNESS, device=clips.device).long()
            features: Tensor = self.net([clips[:, :, slow], clips])
            return features

    return SlowAndFast()
