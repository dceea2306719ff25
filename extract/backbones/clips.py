"""Networks that see a clip at a time: a video in, a row for every clip out.

A clip has N frames, and the next begins S frames later. Its row stands at the middle of the clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from .classifier import linear_logits
from .family import Family, Network, Rows
from .i3d_r50 import DTYPES, PIECE_FRAMES
from .transfer import Transfer

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and spread of its colours


class ClipNetwork(Network):
    """A network that makes one row of a clip, ready to run on videos.

    Args:
        net: in eval mode; makes features (B, width) of clips (B, C, T, H, W).
        family: says whether the first clip begins with the video, or stands on its first frame.
        stride, clip_frames: frames from clip to clip, and in each.
        normalise: makes clips of frames (B, T, H, W, C) uint8.
        classifier: of the features, if the network was trained to tell classes.
        width: of the features; the family's where not given.
        dtype: `float32` or `bfloat16`.
    """

    def __init__(
        self,
        net: nn.Module,
        family: Family,
        *,
        stride: int,
        clip_frames: int,
        normalise: Callable[[Tensor], Tensor],
        classifier: nn.Linear | None = None,
        width: int | None = None,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> None:
        self.device, self.dtype = torch.device(device), DTYPES[dtype]
        self.net = net.to(self.device, self.dtype).eval()
        self.family, self.stride, self.clip_frames = family, stride, clip_frames
        self.normalise, self.transfer = normalise, Transfer(self.device)
        self.batch = max(PIECE_FRAMES[self.device.type] // clip_frames, 1)  # clips at a time
        self.piece_frames = max(self.batch * stride, 1)
        self.ahead = 0 if self.device.type == "cpu" else 1
        self.width = width or family.width
        self._classifier = classifier

    def passage(self) -> ClipPassage:
        """The way of a new video through the network."""
        return ClipPassage(self)

    @torch.inference_mode()
    def features(self, clips: np.ndarray) -> Tensor:
        """Return the rows, (B, width) float32, of clips (B, T, H, W, C) uint8."""
        x = self.normalise(self.transfer.to_device(clips)).to(self.dtype)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return self.net(x).float()

    def logits(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the classifier's logits of rows; see `Network`."""
        return linear_logits(self._classifier, rows)


class ClipPassage:
    """The way of one video through the network; made by `ClipNetwork.passage`."""

    def __init__(self, network: ClipNetwork) -> None:
        self._network = network
        self._held: np.ndarray | None = None  # frames of clips that are not complete
        self._skip = 0  # frames to come before the next clip, where clips have gaps between them
        self._frames = self._rows = 0  # so far

    def push(self, frames: np.ndarray, *, last: bool) -> Rows:
        """Compute the next frames; see `family.Passage`.

        Centred clips stand on frames 0, S, 2S, ... of the video: its ends are held. Other clips
        begin there, as long as a whole one is left; a shorter video is one clip, its end held.
        """
        network, N, S = self._network, self._network.clip_frames, self._network.stride
        if self._held is None:
            before = network.family.before(N)
            frames = np.concatenate([np.repeat(frames[:1], before, axis=0), frames])
            self._held, self._frames = frames[:0], -before
        self._frames += len(frames)
        held = np.concatenate([self._held, frames[self._skip :]])
        self._skip = max(self._skip - len(frames), 0)
        if last:
            if network.family.centred:
                count = -(-self._frames // S) - self._rows
            else:
                count = max((self._frames - N) // S + 1, 1) - self._rows
            missing = max((count - 1) * S + N - len(held), 0) if count else 0
            held = np.concatenate([held, np.repeat(frames[-1:], missing, axis=0)])
        else:
            count = max((len(held) - N) // S + 1, 0)
        rows = [
            network.features(np.stack([held[n * S : n * S + N] for n in batch]))
            for batch in batches(range(count), network.batch)
        ]
        self._rows += count
        self._skip += max(count * S - len(held), 0)
        self._held = held[count * S :].copy()  # so that the piece's memory is free
        if not rows:
            empty = np.zeros((0, network.width), np.float32)
            return lambda: empty
        return network.transfer.to_host(torch.cat(rows))


def batches(numbers: Sequence[int], size: int) -> list[Sequence[int]]:
    """Return the numbers in their order, `size` at a time."""
    return [numbers[n : n + size] for n in range(0, len(numbers), size)]


def normaliser(mean: Sequence[float], spread: Sequence[float]) -> Callable[[Tensor], Tensor]:
    """Return a function from frames (B, T, H, W, 3) uint8 to clips (B, 3, T, H, W) float32.

    Args:
        mean, spread: of every colour, in [0, 1].
    """

    def normalise(frames: Tensor) -> Tensor:
        of, by = (torch.tensor(v, device=frames.device) for v in (mean, spread))
        clips = frames.float().div_(255).sub_(of).div_(by)
        return clips.permute(0, 4, 1, 2, 3)

    return normalise
