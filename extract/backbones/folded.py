"""The I3D-R50 as it runs: batch norm folded into the convolutions, activations fused to them.

At inference a batch norm is a scale and a shift per channel, so it can live in the weights of the
convolution before it. On a CPU, oneDNN then adds the shortcut and applies the ReLU while a result
is still in cache; with channels-last memory this takes 0.4 of the stock network's time.
"""

from __future__ import annotations

import functools
import logging
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

log = logging.getLogger(__name__)

ROOM = 4  # frames; enough for what the layers of a stage put before theirs, one after another


class Strip(NamedTuple):
    """Frames of one layer, and room before them, in one piece of memory.

    Kept frames of the piece before go into the room, so that new frames need no copy. Until then
    the room holds no meaningful values: layers may compute with them, and nobody reads the result.
    Only videos that pass in pieces, one at a time, have room; so the frames of a strip are always
    a dense stretch of its memory.

    `memory` is (B, C, room + T, H, W), channels last.
    """

    memory: Tensor
    room: int = 0

    @property
    def frames(self) -> Tensor:
        """The frames, (B, C, T, H, W)."""
        return self.memory[:, :, self.room :]


class Carried:
    """What the layers of a network keep of one video that passes through in pieces.

    A layer that looks `reach` frames to either side keeps the last `2 * reach` frames of its input,
    and sees zeros beyond the ends of the video, as its padding would give. So every number is
    computed once, from the same numbers as in a pass over the whole video.

    `ends` is True while the last piece passes.
    """

    def __init__(self) -> None:
        self.ends = False
        self._kept: dict[nn.Module, Tensor] = {}

    def widen(self, layer: nn.Module, x: Strip, reach: int) -> Strip:
        """Return `x` after the layer's kept frames and, where the video ends, before zeros.

        It is in the memory of `x` if there is room for the kept frames.
        """
        B, C, _, H, W = x.memory.shape
        zeros = x.memory.new_zeros(B, C, reach, H, W)
        wide = _after(self._kept.get(layer, zeros), x, zeros_after=reach if self.ends else 0)
        self._kept[layer] = wide.frames[:, :, -2 * reach :].clone()  # `wide` may be overwritten
        return wide

    def pair_up(self, layer: nn.Module, x: Strip) -> Strip:
        """Return `x` after the odd frame that was kept, without an odd last frame of its own."""
        if layer in self._kept:
            x = _after(self._kept.pop(layer), x)
        if x.frames.shape[2] % 2:
            self._kept[layer] = x.frames[:, :, -1:].clone()
            x = Strip(x.memory[:, :, :-1], x.room)
        return x


def _after(before: Tensor, x: Strip, *, zeros_after: int = 0) -> Strip:
    """Return `x` after other frames and before zeros, in its own memory where that has room."""
    own, more = x.frames, before.shape[2]
    if x.room < more or zeros_after:
        B, C, T, H, W = own.shape
        x = _strip(own, (B, C, more + T + zeros_after, H, W))
        x.frames[:, :, more : more + T] = own
        x.frames[:, :, more + T :] = 0
    else:
        x = Strip(x.memory, x.room - more)
    x.frames[:, :, :more] = before
    return x


def _strip(like: Tensor, shape: tuple[int, ...]) -> Strip:
    """Return memory, like that of `like`, for frames of this shape, with room before them."""
    B, C, T, H, W = shape
    memory = torch.empty(
        (B, C, ROOM + T, H, W),
        dtype=like.dtype,
        device=like.device,
        memory_format=torch.channels_last_3d,
    )
    memory[:, :, :ROOM] = 0
    return Strip(memory, ROOM)


class FoldedConv(nn.Module):
    """A convolution with its batch norm inside; an addition and a ReLU may follow."""

    weight: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv3d, norm: nn.BatchNorm3d) -> None:
        super().__init__()
        weight, bias = fold(conv, norm)
        self.register_buffer("weight", weight.to(memory_format=torch.channels_last_3d))
        self.register_buffer("bias", bias)
        self.stride = [int(s) for s in conv.stride]
        self.padding = [int(p) for p in conv.padding]
        self.reach = self.padding[0]  # frames that a result sees on either side of its own

    def forward(
        self, x: Tensor, *, relu: bool = True, add: Tensor | None = None, wide: bool = False
    ) -> Tensor:
        """Return the convolved `x`, plus `add`, rectified; with `add`, in the memory of `add`.

        Args:
            x: (B, C_in, T, H, W) float, channels last.
            relu: whether to end with a ReLU; an addition always does.
            add: added before the ReLU, of the result's shape and dtype.
            wide: whether `x` has `reach` more frames on either side than the result is to have.
        """
        padding = [0, *self.padding[1:]] if wide else self.padding
        if x.device.type == "cpu" and fused_convolution_works(x.dtype):
            return self._fused(x, padding, relu, add)
        y = F.conv3d(x, self.weight, self.bias, self.stride, padding)
        if add is not None:
            return add.add_(y).relu_()
        return y.relu_() if relu else y

    def _fused(self, x: Tensor, padding: list[int], relu: bool, add: Tensor | None) -> Tensor:
        layer = (x, self.weight, self.bias, padding, self.stride, [1, 1, 1], 1)
        ops = torch.ops.mkldnn
        if add is None:
            return ops._convolution_pointwise(*layer, "relu" if relu else "none", [], "")
        return ops._convolution_pointwise_.binary(add, *layer, "add", 1.0, "relu", [], "")


class FoldedBlock(nn.Module):
    """A residual bottleneck block made of folded convolutions."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        branch = block.branch2
        self.a = FoldedConv(branch.conv_a, branch.norm_a)
        self.b = FoldedConv(branch.conv_b, branch.norm_b)
        self.c = FoldedConv(branch.conv_c, branch.norm_c)
        has_shortcut = block.branch1_conv is not None
        self.shortcut = FoldedConv(block.branch1_conv, block.branch1_norm) if has_shortcut else None

    def forward(self, x: Strip, carried: Carried | None = None) -> Strip:
        """Return the block's output; `x` may be overwritten."""
        reach = self.a.reach
        if carried is not None and reach:
            wide = carried.widen(self.a, x, reach)
            y = self.a(wide.frames, wide=True)
            x = Strip(wide.memory[:, :, :-reach], wide.room + reach)
        else:
            y = self.a(x.frames)
        if self.shortcut is not None:
            x = Strip(self.shortcut(x.memory, relu=False), x.room)
        self.c(self.b(y), add=x.frames)
        return x


class PairMaximum(nn.Module):
    """The network's one temporal pooling: the larger of every two frames, an odd one dropped.

    It is `MaxPool3d((2, 1, 1))`, which took a twentieth of the whole forward on a CPU.
    """

    def forward(self, x: Strip, carried: Carried | None = None) -> Strip:
        """Return T // 2 frames of T."""
        if carried is not None:
            x = carried.pair_up(self, x)
        B, C, T, H, W = x.frames.shape
        pairs = x.frames[:, :, 0 : T // 2 * 2 : 2], x.frames[:, :, 1::2]
        if carried is None:
            return Strip(torch.maximum(*pairs))
        out = _strip(x.memory, (B, C, T // 2, H, W))
        torch.maximum(*pairs, out=out.frames)
        return out


class FoldedResNet(nn.Module):
    """pytorchvideo's ResNet without its head, for inference; see `i3d_r50.build_i3d`."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        stem, *stages = net.blocks
        self.stem = FoldedConv(stem.conv, stem.norm)
        self.pool = stem.pool
        self.layers = nn.ModuleList()
        for stage in stages:
            if hasattr(stage, "res_blocks"):
                self.layers.extend(FoldedBlock(block) for block in stage.res_blocks)
            elif stage.kernel_size == stage.stride == (2, 1, 1):
                self.layers.append(PairMaximum())
            else:
                raise ValueError("only a pooling of every two frames is folded")
        self.eval()

    def forward(self, x: Tensor, carried: Carried | None = None) -> Tensor:
        """Return spatially averaged rows, (B, T // 2, D), of clips (B, C, T, H, W).

        They are float32 also where the network computes in bfloat16. With `carried`, a clip is the
        next piece of a video, and the rows are the next ones that depend on no later frame; the
        first piece must be long enough to give one.
        """
        if carried is not None:
            x = carried.widen(self.stem, Strip(x), self.stem.reach).frames
        strip = Strip(self.pool(self.stem(x, wide=carried is not None)))
        for layer in self.layers:
            strip = layer(strip, carried)
        y = strip.frames
        features = y.mean(dim=(3, 4), dtype=torch.promote_types(y.dtype, torch.float32))
        return features.transpose(1, 2)  # (B, D, T') -> (B, T', D)


def fold(conv: nn.Conv3d, norm: Any) -> tuple[Tensor, Tensor]:
    """Return the weight and bias of the convolution that does `norm(conv(x))` in one step."""
    if conv.groups != 1 or conv.bias is not None or set(conv.dilation) != {1}:
        raise ValueError("only plain convolutions without bias are folded")
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)  # (C_out,)
    weight = conv.weight * scale.view(-1, 1, 1, 1, 1)
    return weight.detach(), (norm.bias - norm.running_mean * scale).detach()


@functools.cache
def fused_convolution_works(dtype: torch.dtype) -> bool:
    """Try whether oneDNN's fused 3-D convolution works on this CPU.

    Torch's own compiler emits these operators; they are not public, so plain ones are used where
    the two differ. A processor may have them in float32 and not in bfloat16.
    """
    near = 1e-5 if dtype == torch.float32 else 0.05
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 8, 4, 6, 6, generator=generator)
    layer = FoldedConv(nn.Conv3d(8, 8, 1, bias=False), nn.BatchNorm3d(8).eval()).to(dtype)
    x = x.to(dtype, memory_format=torch.channels_last_3d)
    expected = F.conv3d(x, layer.weight, layer.bias)
    try:
        with torch.inference_mode():
            plain = layer._fused(x, layer.padding, False, None)
            added = layer._fused(x, layer.padding, True, x.clone())
        # Not `torch.testing`, whose import takes longer than extracting a short clip.
        works = torch.allclose(plain, expected, atol=near)
        works = works and torch.allclose(added, (expected + x).relu(), atol=near)
    except (RuntimeError, AttributeError, TypeError) as e:
        log.debug("fused convolution: %s", e)
        works = False
    if not works:
        log.info("no fused 3-D convolution in %s here; plain ones are used", dtype)
    return works
