"""The I3D ResNet-50 of stage one: pytorchvideo's network, its weights, frames in, rows out.

An output row is made of two frames by the stride of its one temporal pooling: row `k` sees frames
`2k - 17 ... 2k + 18` and stands at the instant between frames `2k` and `2k + 1`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import InputError
from ..flow import SCALE, STILL
from .folded import Carried, FoldedResNet
from .transfer import Transfer
from .weights import Weights, load_state

log = logging.getLogger(__name__)

STRIDE_FRAMES = 2  # frames per row
REACH_FRAMES = 18  # whole rows of context that one row can see, on either side, in frames
FIRST_FRAMES = REACH_FRAMES + STRIDE_FRAMES  # the least that a long video's first row needs
MEAN, STD = 0.45, 0.225  # what the Kinetics checkpoint was trained with, on every channel
BRANCH_SCALE = 0.3  # of residual branches with random weights, see `random_i3d`
STREAM_CHANNELS = {"rgb": 3, "flow": 2}
# On a CPU, two threads were slower with fewer frames, and more need more memory for no gain.
PIECE_FRAMES = {"cpu": 64, "cuda": 256}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Backbone:
    """The network, ready to run: uint8 frames in, rows of features out.

    Args:
        net: the stock network, without its head (`build_i3d`), in eval mode.
        device: `cpu` or `cuda`, with or without an index.
        dtype: `float32` or `bfloat16`, what the network computes in.
    """

    def __init__(self, net: nn.Module, *, device: str = "cpu", dtype: str = "float32") -> None:
        self.device, self.dtype = torch.device(device), DTYPES[dtype]
        self.net = FoldedResNet(net).to(self.device, self.dtype)
        self.transfer = Transfer(self.device)

    @property
    def piece_frames(self) -> int:
        """Return how many frames are best computed at a time."""
        return PIECE_FRAMES[self.device.type]

    @property
    def ahead(self) -> int:
        """Return how many pieces are worth starting before the rows of the first are taken."""
        return 0 if self.device.type == "cpu" else 1

    def passage(self) -> Passage:
        """Return a new video's way through the network."""
        return Passage(self)

    def rows(self, frames: np.ndarray) -> np.ndarray:
        """Return the features of a stretch of frames, (max(N // 2, 1), 2048) float32.

        Exactly the stock network's rows, whose pooling drops an odd last frame; only where that
        would leave nothing, for a single frame, the frame is taken twice.

        Args:
            frames: (N, H, W, C) uint8, N at least 1.
        """
        passage, size = self.passage(), self.piece_frames
        starts = range(0, len(frames), size)
        pieces = [passage.push(frames[n : n + size], last=n == starts[-1]) for n in starts]
        return np.concatenate([rows() for rows in pieces])


class Passage:
    """One video's way through the network, piece by piece; made by `Backbone.passage`.

    Args:
        backbone: the network.
    """

    def __init__(self, backbone: Backbone) -> None:
        self._backbone, self._carried, self._begun = backbone, Carried(), False

    @torch.inference_mode()
    def push(self, frames: np.ndarray, *, last: bool) -> Callable[[], np.ndarray]:
        """Compute the next frames; return what gives the rows they complete, (t, 2048) float32.

        All rows together are those of the whole video. A row comes with the piece that holds the
        last frame that it sees, so the first piece gives fewer rows than the others, and the
        last one more. On CUDA the computation is only begun, and the rows are waited for when
        they are asked for.

        Args:
            frames: (n, H, W, C) uint8; n at least FIRST_FRAMES in the first piece, 2 in the
                others, and 1 in the last, be it the first or not.
            last: whether the video ends here.
        """
        if last and not self._begun and len(frames) == 1:
            frames = np.repeat(frames, STRIDE_FRAMES, axis=0)
        self._begun, self._carried.ends = True, last
        backbone = self._backbone
        clip = normalise(backbone.transfer.to_device(frames)).to(backbone.dtype)
        # Float32 is float32: on CUDA convolutions round to TF32's 10 bits unless told not to.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            rows = backbone.net(clip, self._carried)[0]
        return backbone.transfer.to_host(rows)


def normalise(frames: Tensor) -> Tensor:
    """Return frames (N, H, W, C) uint8 as a clip (1, C, N, H, W) float32 of about unit spread.

    Two channels are flow in the 8 bits of `flow.encode`, three are colours.

    The permuted view is channels-last memory already; nothing is copied but the conversion.
    """
    clip = frames.permute(3, 0, 1, 2)[None].float()
    if frames.shape[3] == STREAM_CHANNELS["flow"]:
        return clip.sub_(STILL).div_(SCALE)  # [-1, 1], as I3D's flow network is trained
    return clip.div_(255).sub_(MEAN).div_(STD)


def load_backbones(
    weights: Mapping[str, Weights], *, device: str = "cpu", dtype: str = "float32"
) -> dict[str, Backbone]:
    """Return the network of every stream (`rgb`, `flow`) with its weights, ready to run.

    Raises:
        InputError: a checkpoint cannot be read or does not fit.
    """
    if any(w.path is None for w in weights.values()):
        log.warning("RANDOM WEIGHTS: the features will be those of an untrained network")
    return {
        stream: Backbone(_load(w, STREAM_CHANNELS[stream]), device=device, dtype=dtype)
        for stream, w in weights.items()
    }


def _load(weights: Weights, channels: int) -> nn.Module:
    if weights.path is None:
        return random_i3d(weights.seed, channels=channels)
    net = build_i3d(channels)
    load_state(net, weights.path)
    return net.eval()


def choose_device(device: str) -> str:
    """Return `cpu` or `cuda` for `auto`, `cpu` or `cuda[:index]`.

    Raises:
        InputError: an unknown name, or CUDA where there is none.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise InputError(f"device must be auto, cpu or cuda, is {device!r}")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {device!r}: this torch finds no CUDA device; use --device cpu")
    return device


def choose_dtype(dtype: str, device: str) -> str:
    """The precision to compute in: as it is given, but for `auto`.

    That is bfloat16 on CUDA, if the device can compute in it (Ampere and later), and float32 on
    a CPU.
    """
    if dtype != "auto":
        return dtype
    return "bfloat16" if device.startswith("cuda") and _has_bfloat16(device) else "float32"


def _has_bfloat16(device: str) -> bool:
    """Return whether a GPU computes in bfloat16; True of one that only another machine has."""
    return not torch.cuda.is_available() or torch.cuda.get_device_capability(device)[0] >= 8


def build_i3d(channels: int = 3, *, width: int = 64) -> nn.Module:
    """Return the stock network as the hub's `i3d_r50` makes it, without its classifier.

    Args:
        channels: 3 for RGB, 2 for optical flow.
        width: channels behind the stem; 64 is I3D-R50, less is for tests.
    """
    with _without_torchvision():
        from pytorchvideo.models.resnet import create_resnet
    net: nn.Module = create_resnet(
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
    return net


def random_i3d(seed: int = 0, *, channels: int = 3, width: int = 64) -> nn.Module:
    """Return an untrained network in which every layer is alive, the same for the same seed.

    The stock initialisation sets the last scale of every residual block to 0, for training: all
    branches are then silent. Here it is 0.3 and every other scale 1, and the running statistics are
    those of noise clips, so that activations neither die nor explode. With 1 at the ends of the
    branches too, an untrained network is chaotic: it blows rounding up tenfold, to 3e-5 in float32
    and an eighth of the norm in bfloat16, where this one stays at 3e-6 and 2 %.
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
    """Return noise that, like real frames, is mostly coarse, (2, channels, 16, 64, 64), spread 1.

    Fine noise alone averages out on its way through the network; the statistics would be so
    narrow that every rounding error is blown up by them.
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

    Its models import `torchvision.ops.RoIAlign` for detection heads that are not used here; while
    they are imported, and only if there is no torchvision, an empty stand-in takes its place.
    """
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision"):
        yield
        return
    package, ops = types.ModuleType("torchvision"), types.ModuleType("torchvision.ops")
    ops.RoIAlign = package.ops = None  # type: ignore[attr-defined]
    sys.modules.update({"torchvision": package, "torchvision.ops": ops})
    try:
        yield
    finally:
        del sys.modules["torchvision"], sys.modules["torchvision.ops"]
