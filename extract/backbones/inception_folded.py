"""The Inception I3D as it runs: batch norm folded, carried over from piece to piece, or at once.

Along time every layer keeps the frames that its next results need, so that nothing is computed
twice and the rows are those of the uncut video. Poolings go along one side after the other, and
two convolutions that read the same input are one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .folded import FoldedConv
from .inception import LOW, MIDDLE, TOP, InceptionI3d, Mixed, Pool, Unit

STRIDE = 8  # frames from row to row
PHASES = {8: (1, 1), 4: (1, 2), 2: (2, 2)}  # of the last two poolings, by frames from row to row
MEMORY = torch.channels_last_3d


class Carried:
    """What the layers keep of one video that passes through in pieces.

    `ends` is True while the last piece passes. `way` are the phases of the poolings before: later
    layers keep something of their own on every way.
    """

    def __init__(self, *, ends: bool = False) -> None:
        self.ends = ends
        self.way: tuple[int, ...] = ()
        self._kept: dict[tuple[nn.Module, tuple[int, ...]], Tensor] = {}

    def widen(
        self, layer: nn.Module, x: Tensor | None, *, kernel: int, stride: int = 1, left: int = 0
    ) -> Tensor | None:
        """Return the frames that the layer's next results need, or None if there are no results.

        Beyond the ends of the video are zeros, which is SAME padding where the layer's input has
        an even number of frames: `left` before it, the rest of `kernel - stride` after it. After a
        ReLU zeros are no maximum of a pooling either. A negative `left` drops frames.

        Args:
            x: the next frames of the layer's input, (B, C, t, H, W); None where there are none yet.
        """
        key, parts = (layer, self.way), list[Tensor]()
        if key in self._kept:
            parts.append(self._kept.pop(key))
        elif x is not None and left > 0:
            parts.append(_zeros(x, left))
        elif x is not None:
            x = x[:, :, -left:]
        if x is not None:
            parts.append(x)
        if not parts:
            return None
        if self.ends:
            parts.append(_zeros(parts[-1], kernel - stride - left))
        wide = torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]
        count = max((wide.shape[2] - kernel) // stride + 1, 0)  # of results
        if not self.ends:
            # A copy, so that the piece's memory is free.
            self._kept[key] = wide[:, :, count * stride :].clone(memory_format=MEMORY)
        return wide[:, :, : (count - 1) * stride + kernel] if count else None


def _zeros(like: Tensor, frames: int) -> Tensor:
    B, C, _, H, W = like.shape
    zeros = like.new_zeros(B, frames, H, W, C)
    return zeros.permute(0, 4, 1, 2, 3)


class FoldedMixed(nn.Module):
    """An Inception block of folded convolutions."""

    def __init__(self, block: Mixed) -> None:
        super().__init__()
        self.b0, self.b3b = folded_unit(block.b0), folded_unit(block.b3b)
        self.ba = folded_unit(block.b1a, block.b2a)
        self.b1b, self.b2b = folded_unit(block.b1b), folded_unit(block.b2b)
        self.widths = [int(unit.conv3d.out_channels) for unit in (block.b1a, block.b2a)]
        self.outputs = block.outputs

    def forward(self, x: Tensor | None, carried: Carried) -> Tensor | None:
        """Return the next results, (B, outputs, t, H, W), or None if there are none yet."""
        b1 = b2 = None
        if x is not None:
            b1, b2 = self.ba(x).split(self.widths, dim=1)
        b1 = carried.widen(self.b1b, b1, kernel=3, left=1)
        b2 = carried.widen(self.b2b, b2, kernel=3, left=1)
        wide = carried.widen(self, x, kernel=3, left=1)
        if wide is None or b1 is None or b2 is None:
            return None
        b0 = self.b0(wide[:, :, 1:-1])
        pooled = maxima(wide, 2, kernel=3, stride=1, left=0, count=wide.shape[2] - 2)
        for side in (3, 4):
            pooled = maxima(pooled, side, kernel=3, stride=1, left=1, count=wide.shape[side])
        b1, b2 = self.b1b(b1, wide=True), self.b2b(b2, wide=True)
        return torch.cat([b0, b1, b2, self.b3b(pooled)], dim=1)


class FoldedInception(nn.Module):
    """The Inception I3D without its classifier, for inference.

    Args:
        net: in eval mode.
        stride: frames from row to row: 8 as the network is; 4 or 2 where the last poolings leave
            out nothing and the layers after them look at several phases, at each as ever.
    """

    def __init__(self, net: InceptionI3d, *, stride: int = STRIDE) -> None:
        super().__init__()
        self.phases_4a, self.phases_5a = PHASES[stride]
        self.conv_1a, self.conv_2b, self.conv_2c = (
            folded_unit(net.get_submodule(name))
            for name in ("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3")
        )
        self.pool_4a, self.pool_5a = net.pool_4a, net.pool_5a
        self.low, self.middle, self.top = (
            nn.ModuleList(FoldedMixed(net.mixed(name)) for name in names)
            for names in (LOW, MIDDLE, TOP)
        )
        self.width = net.mixed("Mixed_5c").outputs
        self.eval()

    def forward(self, x: Tensor, carried: Carried | None = None) -> list[Tensor]:
        """Return spatially averaged rows, (B, t, width) float32, of every phase in its turn.

        Args:
            x: (B, C, T, H, W), channels last, in [-1, 1].
            carried: of a video, whose next frames `x` are; None for whole clips. The length, of a
                video in the end, is a multiple of 8.
        """
        carried = carried or Carried(ends=True)
        low = self._low(x, carried)
        found = [torch.empty(0)] * (self.phases_4a * self.phases_5a)
        for a in range(self.phases_4a):
            carried.way = (a,)
            middle = _through(self.middle, _pooled(self.pool_4a, low, carried, a), carried)
            for b in range(self.phases_5a):
                carried.way = (a, b)
                top = _through(self.top, _pooled(self.pool_5a, middle, carried, b), carried)
                found[b * self.phases_4a + a] = self._rows(top, x)
        carried.way = ()
        return found

    def _low(self, x: Tensor, carried: Carried) -> Tensor | None:
        """Return the next frames up to Mixed_3c, half as many and an eighth as large."""
        wide = carried.widen(self.conv_1a, x, kernel=7, stride=2, left=2)
        if wide is None:
            return None
        y = _half_as_large(self.conv_1a(_same_spatially(wide), wide=True), kernel=3)
        wide = carried.widen(self.conv_2c, self.conv_2b(y), kernel=3, left=1)
        if wide is None:
            return None
        return _through(self.low, _half_as_large(self.conv_2c(wide, wide=True), kernel=3), carried)

    def _rows(self, x: Tensor | None, like: Tensor) -> Tensor:
        if x is None:
            return like.new_zeros(len(like), 0, self.width, dtype=torch.float32)
        return x.mean(dim=(3, 4), dtype=torch.float32).transpose(1, 2)  # (B, D, t) -> (B, t, D)


def folded_unit(*units: nn.Module) -> FoldedConv:
    """Return one convolution that gives the results of all units, which read the same, in a row."""
    parts = []
    for unit in units:
        assert isinstance(unit, Unit)
        parts.append(FoldedConv(unit.conv3d, unit.bn))
    conv = parts[0]
    conv.weight = torch.cat([part.weight for part in parts]).contiguous(memory_format=MEMORY)
    conv.bias = torch.cat([part.bias for part in parts])
    # SAME is the same on both sides where the stride is 1; where it is 2, frames are padded before.
    kernel = conv.weight.shape[2:]
    conv.padding = [k // 2 if s == 1 else 0 for k, s in zip(kernel, conv.stride, strict=True)]
    return conv


def _through(blocks: nn.ModuleList, x: Tensor | None, carried: Carried) -> Tensor | None:
    for block in blocks:
        x = block(x, carried)
    return x


def _same_spatially(x: Tensor) -> Tensor:
    """Return frames padded for the first convolution, of kernel 7 and stride 2."""
    B, C, T, H, W = x.shape
    top, left = 2 + H % 2, 2 + W % 2
    wide = x.new_zeros(B, T, top + H + 3, left + W + 3, C).permute(0, 4, 1, 2, 3)
    wide[:, :, :, top : top + H, left : left + W] = x
    return wide


def _pooled(pool: Pool, x: Tensor | None, carried: Carried, phase: int) -> Tensor | None:
    """Return the maxima of frames from number `phase` on, half as many and half as large."""
    kernel = pool.kernel[0]
    wide = carried.widen(pool, x, kernel=kernel, stride=2, left=-phase)
    if wide is None:
        return None
    count = (wide.shape[2] - kernel) // 2 + 1
    wide = maxima(wide, 2, kernel=kernel, stride=2, left=0, count=count)
    return _half_as_large(wide, kernel=kernel)


def _half_as_large(x: Tensor, *, kernel: int) -> Tensor:
    """Return the maxima of places in space, `kernel` on each side, half as high and wide."""
    for side in (3, 4):
        n = x.shape[side]
        left = n % 2 if kernel == 3 else 0  # SAME
        x = maxima(x, side, kernel=kernel, stride=2, left=left, count=-(-n // 2))
    return x


def maxima(x: Tensor, side: int, *, kernel: int, stride: int, left: int, count: int) -> Tensor:
    """Return `count` maxima of `kernel` places each along one side; the first looks at -left.

    Places beyond the ends do not count. It reads all of `x` as often as a maximum has places, and
    takes a fraction of the time of torch's pooling, which also notes where the maxima are.
    """
    n, found = x.shape[side], None
    taps = []
    for tap in range(kernel):
        first = max(-(-(left - tap) // stride), 0)
        last = min((n - 1 + left - tap) // stride, count - 1)
        begin = first * stride + tap - left
        index = [slice(None)] * side + [slice(begin, begin + (last - first) * stride + 1, stride)]
        taps.append((first, last - first + 1, x[tuple(index)]))
    taps.sort(key=lambda t: -t[1])  # those that every maximum looks at first
    (_, whole, places), *others = taps
    if others and others[0][1] == whole:
        found = torch.maximum(places, others.pop(0)[2])
    else:
        found = places.clone()
    for first, length, places in others:
        part = found.narrow(side, first, length)
        torch.maximum(part, places, out=part)
    return found
