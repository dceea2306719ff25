"""The I3D ResNet-50 where pytorchvideo cannot be imported: its network, layer by layer.

`build` gives what `pytorchvideo.models.resnet.create_resnet` gives for the arguments in
`i3d_r50.build_i3d`: the same names of weights, the same values from the same seed, and the same
outputs. pytorchvideo has had no release since 2022, and must not stop an extraction.
"""

from __future__ import annotations

from itertools import cycle, islice

from torch import Tensor, nn

DEPTHS = (3, 4, 6, 3)  # blocks of every stage of a ResNet-50
# Frames that the first convolution of a stage's blocks sees, in turn (I3D's inflation).
FRAMES = ((3,), (3, 1), (3, 1), (1, 3))
EXPANSION = 4  # channels that leave a block, for each inside it


def build(channels: int, *, width: int) -> nn.Module:
    """Return the network without its classifier: clips (B, C, T, H, W) to (B, D, T // 2, h, w).

    Args:
        channels: of the clip, C.
        width: channels after the stem; D is 32 times as many.
    """
    stages: list[nn.Module] = []
    inside, before = width, width
    for number, (depth, frames) in enumerate(zip(DEPTHS, FRAMES, strict=True)):
        stride = 1 if number == 0 else 2
        stages.append(Stage(before, inside, list(islice(cycle(frames), depth)), stride))
        if number == 0:
            stages.append(nn.MaxPool3d((2, 1, 1), (2, 1, 1), (0, 0, 0)))
        before, inside = inside * EXPANSION, inside * 2
    net = Net([Stem(channels, width), *stages])
    for module in net.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm3d):
            nn.init.constant_(module.weight, 0.0 if getattr(module, "block_final_bn", 0) else 1.0)
            nn.init.zeros_(module.bias)
    return net


class Net(nn.Module):
    """Blocks, one after the other."""

    def __init__(self, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Return what leaves the last block."""
        for block in self.blocks:
            x = block(x)
        return x


class Stem(nn.Module):
    """The first convolution, which sees five frames, and a pooling."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, width, (5, 7, 7), (1, 2, 2), (2, 3, 3), bias=False)
        self.norm = nn.BatchNorm3d(width)
        self.activation = nn.ReLU()
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, width, T, H / 4, W / 4)."""
        return self.pool(self.activation(self.norm(self.conv(x))))


class Stage(nn.Module):
    """Residual blocks of one width; the first one may halve the picture."""

    def __init__(self, before: int, inside: int, frames: list[int], stride: int) -> None:
        super().__init__()
        self.res_blocks = nn.ModuleList(
            ResBlock(inside * EXPANSION if n else before, inside, count, 1 if n else stride)
            for n, count in enumerate(frames)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return what leaves the last block."""
        for block in self.res_blocks:
            x = block(x)
        return x


class ResBlock(nn.Module):
    """A bottleneck beside a shortcut, which is a convolution where widths or sizes differ."""

    def __init__(self, before: int, inside: int, frames: int, stride: int) -> None:
        super().__init__()
        after, plain = inside * EXPANSION, before == inside * EXPANSION and stride == 1
        self.branch1_conv = (
            None if plain else nn.Conv3d(before, after, 1, (1, stride, stride), bias=False)
        )
        self.branch1_norm = None if plain else nn.BatchNorm3d(after)
        self.branch2 = Bottleneck(before, inside, frames, stride)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both ways, rectified."""
        shortcut = x
        if self.branch1_conv is not None and self.branch1_norm is not None:
            shortcut = self.branch1_norm(self.branch1_conv(x))
        return self.activation(shortcut + self.branch2(x))


class Bottleneck(nn.Module):
    """Three convolutions: over frames, over the picture, and to the width outside."""

    def __init__(self, before: int, inside: int, frames: int, stride: int) -> None:
        super().__init__()
        over_time, padding = (frames, 1, 1), (frames // 2, 0, 0)
        self.conv_a = nn.Conv3d(before, inside, over_time, padding=padding, bias=False)
        self.norm_a = nn.BatchNorm3d(inside)
        self.act_a = nn.ReLU()
        self.conv_b = nn.Conv3d(
            inside, inside, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False
        )
        self.norm_b = nn.BatchNorm3d(inside)
        self.act_b = nn.ReLU()
        self.conv_c = nn.Conv3d(inside, inside * EXPANSION, 1, bias=False)
        self.norm_c = nn.BatchNorm3d(inside * EXPANSION)
        self.norm_c.block_final_bn = True  # type: ignore[assignment]  # pytorchvideo's own mark

    def forward(self, x: Tensor) -> Tensor:
        """Return the residual."""
        x = self.act_a(self.norm_a(self.conv_a(x)))
        x = self.act_b(self.norm_b(self.conv_b(x)))
        return self.norm_c(self.conv_c(x))
