"""torchvision's networks for clips, trained on Kinetics-400; `pip install tsatal[torchvision]`.

Sizes, frames and accuracies are those that torchvision states beside its weights.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from .family import Family, Network, kinetics_400

if TYPE_CHECKING:
    from torch import nn

    from .weights import Weights

FILES = "https://download.pytorch.org/models"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# Mean and spread of every colour.
COLOURS = {
    "swin3d_t": IMAGENET,
    "swin3d_b": IMAGENET,
    "mvit_v2_s": ((0.45,) * 3, (0.225,) * 3),
    "s3d": ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)),
}

SWIN3D_T = Family(
    name="swin3d_t",
    module="torchvision_clips",
    kind="clips",
    fps=15.0,
    resize=256,
    crop=224,
    clip_frames=32,
    fixed_clip=False,
    clip_multiple=2,
    stride_frames=4,
    width=768,
    labels=kinetics_400(),
    urls={"rgb": f"{FILES}/swin3d_t-7615ae03.pth"},
    source="torchvision",
    extra="torchvision",
    trained_on="Kinetics-400",
    top1=77.72,
    licence="Apache-2.0",
    commercial="yes",
)


def _like(name: str, file: str, top1: float, **changed: Any) -> Family:
    return replace(SWIN3D_T, name=name, urls={"rgb": f"{FILES}/{file}.pth"}, top1=top1, **changed)


FAMILIES = {
    family.name: family
    for family in (
        SWIN3D_T,
        _like("swin3d_b", "swin3d_b_1k-24f7c7c6", 79.43, width=1024),
        _like("mvit_v2_s", "mvit_v2_s-ae3be167", 80.76, fps=7.5, clip_frames=16, stride_frames=2,
              fixed_clip=True, fixed_crop=True),
        # Trained with clips of 128 frames, which are too long to find anything; it takes any.
        _like("s3d", "s3d-d76dad2f", 68.37, width=1024, least_crop=224, licence="BSD-3-Clause",
              clip_multiple=16),
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
    features, classifier = apart(net)
    return ClipNetwork(
        features, family, stride=stride, clip_frames=clip_frames or family.clip_frames,
        normalise=normaliser(*COLOURS[family.name]), classifier=classifier, device=device,
        dtype=dtype,
    )  # fmt: skip


def build(family: Family) -> nn.Module:
    """Return the network as torchvision makes it.

    Raises:
        InputError: torchvision is not installed, or does not fit torch.
    """
    try:
        from torchvision.models import video
    except (ImportError, RuntimeError, AttributeError, OSError) as e:
        raise InputError(
            f"--backbone {family.name} needs a torchvision that fits torch "
            f"({type(e).__name__}: {' '.join(str(e).split()):.100}): pip install "
            "'tsatal[torchvision]'"
        ) from None
    net: nn.Module = getattr(video, family.name)(weights=None)
    return net.eval()


def apart(net: Any) -> tuple[nn.Module, nn.Linear | None]:
    """Return the network up to its features, and the classifier after them.

    Args:
        net: one of torchvision's; what it loses is in the classifier.
    """
    from torch import nn

    from .classifier import linear

    place = "classifier" if hasattr(net, "classifier") else "head"
    last = getattr(net, place)
    if isinstance(last, nn.Sequential):  # dropout and a layer
        last = last[-1]
    setattr(net, place, nn.Identity())
    return net, linear(last.weight, last.bias)
