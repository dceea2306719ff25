"""The I3D ResNet-50 of stage one: uint8 frames in, rows of 2048 values out.

Its one temporal pooling makes a row of two frames: row `k` sees frames `2k - 17 ... 2k + 18` and
stands at the instant between frames `2k` and `2k + 1`.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import types
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import one_line
from ..flow import SCALE, STILL
from . import resnet
from .classifier import linear, linear_logits
from .dense import I3D_R50
from .family import Family, Network
from .folded import Carried, FoldedResNet
from .transfer import Transfer
from .weights import BRANCH_SCALE, HEAD, Weights, load_state

log = logging.getLogger(__name__)

FIRST_FRAMES = I3D_R50.reach_frames + I3D_R50.stride_frames  # needed for a long video's first row
MEAN, STD = 0.45, 0.225  # of every channel in the training of the Kinetics checkpoint
# On a CPU, fewer frames were slower with two threads, and more need memory for no gain.
PIECE_FRAMES = {"cpu": 64, "cuda": 256}  # frames that are best computed at a time
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Backbone(Network):
    """The network, ready to run: uint8 frames in, rows of features out.

    It is made of the stock network without its head (`build_i3d`), in eval mode, and computes in
    `dtype`, `float32` or `bfloat16`. `classifier` is the head's, where there is one.
    """

    first_frames = FIRST_FRAMES

    def __init__(
        self,
        net: nn.Module,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        classifier: nn.Linear | None = None,
    ) -> None:
        self.device, self.dtype = torch.device(device), DTYPES[dtype]
        self.net = FoldedResNet(net).to(self.device, self.dtype)
        self.transfer = Transfer(self.device)
        self.piece_frames = PIECE_FRAMES[self.device.type]
        # Pieces worth starting before the rows of the first are taken.
        self.ahead = 0 if self.device.type == "cpu" else 1
        self._classifier = classifier

    def passage(self) -> Passage:
        """The way of a new video through the network."""
        return Passage(self)

    def rows(self, frames: np.ndarray) -> np.ndarray:
        """Return the rows of a whole clip, (max(N // 2, 1), 2048) float32.

        They are the stock network's, whose pooling drops an odd last frame; a single frame counts
        twice, because else there would be no row.

        Args:
            frames: (N, H, W, C) uint8, N at least 1.
        """
        return super().rows(frames)

    def logits(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the logits of rows (t, 2048), (t, 400); None of a network without a classifier."""
        return linear_logits(self._classifier, rows)


class Passage:
    """The way of one video through the network, piece by piece; made by `Backbone.passage`."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone, self._carried, self._begun = backbone, Carried(), False

    @torch.inference_mode()
    def push(self, frames: np.ndarray, *, last: bool) -> Callable[[], np.ndarray]:
        """Compute the next frames; return a function that gives their rows, (t, 2048) float32.

        All rows together are those of the whole video. A row comes with the piece that holds the
        last frame that the row sees, so the first piece gives fewer rows than the others, and the
        last piece more. On CUDA the computation is only begun; the function waits for it.

        Args:
            frames: (n, H, W, C) uint8; n at least FIRST_FRAMES in the first piece, 2 in the
                others, and 1 in the last, be it the first or not.
            last: whether the video ends here.
        """
        if last and not self._begun and len(frames) == 1:
            frames = np.repeat(frames, I3D_R50.stride_frames, axis=0)
        self._begun, self._carried.ends = True, last
        backbone = self._backbone
        clip = normalise(backbone.transfer.to_device(frames)).to(backbone.dtype)
        # Float32 is float32: on CUDA convolutions round to TF32's 10 bits unless told not to.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            rows = backbone.net(clip, self._carried)[0]
        return backbone.transfer.to_host(rows)


def normalise(frames: Tensor) -> Tensor:
    """Return frames (N, H, W, C) uint8 as a clip (1, C, N, H, W) float32 of about unit spread.

    Two channels are flow in the 8 bits of `flow.encode`, three are colours. The clip is channels
    last, as the frames are.
    """
    clip = frames.permute(3, 0, 1, 2)[None].float()
    if frames.shape[3] == I3D_R50.channels["flow"]:
        return clip.sub_(STILL).div_(SCALE)  # [-1, 1], as I3D's flow network is trained
    return clip.div_(255).sub_(MEAN).div_(STD)


def load(
    family: Family,
    stream: str,
    weights: Weights,
    *,
    stride: int,
    clip_frames: int | None,
    device: str,
    dtype: str,
) -> Backbone:
    """Return the network of a stream with its weights; see `table.load_backbones`."""
    channels, classifier = family.channels[stream], None
    if weights.path is None:
        net = random_i3d(weights.seed, channels=channels)
    else:
        net = build_i3d(channels).eval()
        head = load_state(net, weights.path)
        classifier = linear(head.get(f"{HEAD}proj.weight"), head.get(f"{HEAD}proj.bias"))
    return Backbone(net, device=device, dtype=dtype, classifier=classifier)


class WholeClip(nn.Module):
    """The stock network on a whole clip at once, in float32: what can be exported."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        if weights.path is None:
            self.net = random_i3d(weights.seed)
        else:
            self.net = build_i3d().eval()
            load_state(self.net, weights.path)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the rows, (N // 2, 2048) float32, of frames (N, H, W, 3) uint8."""
        maps: Tensor = self.net(normalise(frames))  # (1, D, N // 2, h, w)
        return maps.mean(dim=(3, 4))[0].T


def build_i3d(channels: int = 3, *, width: int = 64) -> nn.Module:
    """Return pytorchvideo's `i3d_r50` as its hub makes it, without the classifier.

    Args:
        channels: 3 for RGB, 2 for optical flow.
        width: channels after the stem; 64 is I3D-R50, less is for tests.
    """
    create_resnet = _stock_create_resnet()
    if create_resnet is None:
        return resnet.build(channels, width=width)
    return create_resnet(
        input_channel=channels,
        stem_dim_out=width,
        stem_conv_kernel_size=(5, 7, 7),
        stage1_pool=nn.MaxPool3d,
        stage_conv_a_kernel_size=(
            (3, 1, 1),
            [(3, 1, 1), (1, 1, 1)],
            [(3, 1, 1), (1, 1, 1)],
            [(1, 1, 1), (3, 1, 1)],
        ),
        head=None,
    )


def _stock_create_resnet() -> Callable[..., nn.Module] | None:
    """pytorchvideo's function, or None where it cannot be imported."""
    try:
        with _without_torchvision():
            from pytorchvideo.models.resnet import create_resnet
    except Exception as e:  # whatever an old package may meet in newer ones
        log.info("pytorchvideo cannot be imported (%s); its network is built here", one_line(e))
        return None
    stock: Callable[..., nn.Module] = create_resnet
    return stock


def random_i3d(seed: int = 0, *, channels: int = 3, width: int = 64) -> nn.Module:
    """Return an untrained network in which every layer is alive, the same for the same seed.

    The stock initialisation sets the last scale of every residual block to 0, which silences all
    branches. Here it is 0.3, every other scale is 1, and the running statistics are those of noise
    clips, so that activations neither die nor explode. With 1 at the ends of the branches too,
    rounding errors grow tenfold: to 3e-5 in float32 and an eighth of the norm in bfloat16, where
    this network stays at 3e-6 and 2 %.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = build_i3d(channels, width=width)
        for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm3d)):
            last = getattr(norm, "block_final_bn", False)  # pytorchvideo's own mark
            nn.init.constant_(norm.weight, BRANCH_SCALE if last else 1.0)
            norm.momentum = None  # a plain average over the clips
        net.train()
        with torch.no_grad():
            for _ in range(2):
                net(_noise_clip(channels))
    return net.eval()


def _noise_clip(channels: int) -> Tensor:
    """Return noise that is mostly coarse, as real frames are, (2, channels, 16, 64, 64), spread 1.

    Fine noise alone averages out in the network: the statistics would be so narrow that they
    magnify every rounding error.
    """
    size = (16, 64, 64)
    clip = torch.zeros(2, channels, *size)
    for grain, weight in ((1, 0.3), (4, 0.5), (16, 1.0)):
        coarse = torch.randn(2, channels, *(n // grain for n in size))
        clip += weight * nn.functional.interpolate(coarse, size, mode="trilinear")
    return clip / clip.std()


@contextlib.contextmanager
def _without_torchvision() -> Iterator[None]:
    """Let pytorchvideo be imported where torchvision is not installed.

    It imports `torchvision.ops.RoIAlign` for detection heads that are not used here; an empty
    stand-in takes the place, during the import, of a torchvision that is missing or does not fit
    the installed torch.
    """
    try:
        import torchvision.ops  # noqa: F401
    except Exception as e:  # RuntimeError and AttributeError among them, by torch's version
        log.debug("torchvision: %s", e)
    else:
        yield
        return
    package, ops = types.ModuleType("torchvision"), types.ModuleType("torchvision.ops")
    ops.RoIAlign = package.ops = None  # type: ignore[attr-defined]
    sys.modules.update({"torchvision": package, "torchvision.ops": ops})
    try:
        yield
    finally:
        for name in ("torchvision", "torchvision.ops"):
            sys.modules.pop(name, None)
