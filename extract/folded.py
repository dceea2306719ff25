"""The backbone as it runs: batch norm folded into the convolutions, activations fused to them.

At inference a batch norm is a scale and a shift per channel, so it can live in the weights of the
convolution before it. On CPU, oneDNN then adds the shortcut and applies the ReLU while a result
is still in cache; with channels-last memory this takes 0.4 of the stock network's time.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

log = logging.getLogger(__name__)


class Carried:
    """What the layers of a network keep of one video that passes through in pieces.

    A layer that looks `reach` frames to either side keeps the last `2 * reach` that it was given,
    and has zeros beyond the ends of the video, as its padding would. So every number is computed
    once, from the same numbers as in a pass over the whole video.

    `ends` says that the piece under way is the last one.
    """

    def __init__(self) -> None:
        self.ends = False
        self._kept: dict[nn.Module, Tensor] = {}

    def widen(self, layer: nn.Module, x: Tensor, reach: int) -> Tensor:
        """Return `x`, (B, C, T, H, W), with what the layer needs to see around it.

        That is the kept frames before and, where the video ends, `reach` frames of zeros.
        """
        B, C, _, H, W = x.shape
        zeros = x.new_zeros(B, C, reach, H, W).to(memory_format=torch.channels_last_3d)
        pieces = [self._kept.get(layer, zeros), x, *([zeros] if self.ends else [])]
        wide = torch.cat(pieces, dim=2)
        self._kept[layer] = wide[:, :, -2 * reach :].clone()  # `wide` may be overwritten
        return wide

    def pair_up(self, layer: nn.Module, x: Tensor) -> Tensor:
        """Return `x` behind the odd frame that was kept, without its own odd last frame."""
        if layer in self._kept:
            x = torch.cat([self._kept.pop(layer), x], dim=2)
        if x.shape[2] % 2:
            self._kept[layer] = x[:, :, -1:].clone()
        return x[:, :, : x.shape[2] // 2 * 2]


class FoldedConv(nn.Module):
    """A convolution with its batch norm inside, then optionally an addition and a ReLU."""

    weight: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv3d, norm: nn.BatchNorm3d) -> None:
        super().__init__()
        weight, bias = fold(conv, norm)
        self.register_buffer("weight", weight.to(memory_format=torch.channels_last_3d))
        self.register_buffer("bias", bias)
        self.stride = [int(s) for s in conv.stride]
        self.padding = [int(p) for p in conv.padding]

    @property
    def reach(self) -> int:
        """Return how many frames a result sees on either side of its own."""
        return self.padding[0]

    def forward(
        self, x: Tensor, *, relu: bool = True, add: Tensor | None = None, wide: bool = False
    ) -> Tensor:
        """Return the convolved `x`, plus `add`, rectified; `add` is overwritten.

        Args:
            x: (B, C_in, T, H, W) float, channels last.
            relu: whether to end with a ReLU; an addition always does.
            add: what to add before the ReLU, of the result's shape and dtype.
            wide: whether `x` has `reach` more frames on either side than the result is to have.
        """
        padding = [0, *self.padding[1:]] if wide else self.padding
        if x.device.type == "cpu" and fused_convolution_works(x.dtype):
            return self._fused(x, padding, relu, add)
        y = F.conv3d(x, self.weight, self.bias, self.stride, padding)
        if add is not None:
            y += add
        return y.relu_() if relu or add is not None else y

    def _fused(self, x: Tensor, padding: list[int], relu: bool, add: Tensor | None) -> Tensor:
        layer = (x, self.weight, self.bias, padding, self.stride, [1, 1, 1], 1)
        ops = torch.ops.mkldnn
        y: Tensor
        if add is None:
            y = ops._convolution_pointwise(*layer, "relu" if relu else "none", [], "")
        else:
            y = ops._convolution_pointwise_.binary(add, *layer, "add", 1.0, "relu", [], "")
        return y


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

    def forward(self, x: Tensor, carried: Carried | None = None) -> Tensor:
        """Return the block's output, (B, C, T, H, W); `x` may be overwritten."""
        reach, wide = self.a.reach, carried is not None and self.a.reach > 0
        if carried is not None and wide:
            x = carried.widen(self.a, x, reach)
        y = self.b(self.a(x, wide=wide))
        own = x[:, :, reach:-reach] if wide else x
        shortcut = own if self.shortcut is None else self.shortcut(own, relu=False)
        out: Tensor = self.c(y, add=shortcut)
        return out


class PairMaximum(nn.Module):
    """The network's one temporal pooling: the larger of every two frames, an odd one dropped.

    What `MaxPool3d((2, 1, 1))` computes; that took a twentieth of the whole forward on CPU.
    """

    def forward(self, x: Tensor, carried: Carried | None = None) -> Tensor:
        """Return (B, C, T // 2, H, W) of `x` (B, C, T, H, W)."""
        if carried is not None:
            x = carried.pair_up(self, x)
        even = x.shape[2] // 2 * 2
        return torch.maximum(x[:, :, 0:even:2], x[:, :, 1:even:2])


class FoldedResNet(nn.Module):
    """pytorchvideo's ResNet without its head, for inference; see `backbone.build_i3d`."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        stem, *stages = net.blocks
        self.stem = FoldedConv(stem.conv, stem.norm)
        self.pool = stem.pool
        self.layers = nn.ModuleList(layer for stage in stages for layer in _fold_stage(stage))
        self.eval()

    def forward(self, x: Tensor, carried: Carried | None = None) -> Tensor:
        """Return spatially averaged features, (B, T // 2, D), of clips (B, C, T, H, W).

        They are float32 also where the network computes in bfloat16.
        With `carried`, a clip is the next piece of a video, and the features are the next ones
        that can be had without what follows it. The first piece must be long enough to give one.
        """
        if carried is not None:
            x = carried.widen(self.stem, x, self.stem.reach)
        y = self.pool(self.stem(x, wide=carried is not None))
        for layer in self.layers:
            y = layer(y, carried)
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
    """Return whether oneDNN's fused 3-D convolution works here on the CPU, by trying it.

    The operators are those that torch's own compiler emits; they are not public, so any
    difference from the plain operations means that the plain ones are used. A processor may have
    them in float32 and not in bfloat16.
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
        works = torch.allclose(plain, expected, atol=near) and torch.allclose(
            added, (expected + x).relu(), atol=near
        )
    except (RuntimeError, AttributeError, TypeError) as e:
        log.debug("fused convolution: %s", e)
        works = False
    if not works:
        log.info("no fused 3-D convolution in %s here; plain ones are used", dtype)
    return works


def _fold_stage(stage: Any) -> list[nn.Module]:
    blocks = getattr(stage, "res_blocks", None)
    if blocks is not None:
        return [FoldedBlock(b) for b in blocks]
    if _triple(stage.kernel_size) == _triple(stage.stride) == (2, 1, 1):
        return [PairMaximum()]
    raise ValueError("only a pooling of every two frames is folded")


def _triple(size: int | tuple[int, ...]) -> tuple[int, ...]:
    return (size,) * 3 if isinstance(size, int) else tuple(size)
