"""Clips: which frames each sees, in pieces as at once, and where its row stands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tsatal.extract.backbones.clips import ClipNetwork, normaliser
from tsatal.extract.backbones.dense import I3D_WINDOWS

from .answers import mean_offset

CENTRED = replace(I3D_WINDOWS, centred=True)


class FrameNumbers(nn.Module):
    """A stand-in for a network: the numbers of a clip's frames are its features."""

    def forward(self, clips: Tensor) -> Tensor:
        return clips[:, 0, :, 0, 0]


def numbered(count: int) -> np.ndarray:
    """Frames (count, 1, 1, 3) that are filled with their number."""
    return np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)


def network(clip: int, stride: int, *, centred: bool) -> ClipNetwork:
    return ClipNetwork(
        FrameNumbers(), CENTRED if centred else I3D_WINDOWS, stride=stride, clip_frames=clip,
        normalise=lambda frames: frames.permute(0, 4, 1, 2, 3).float(), width=clip,
    )  # fmt: skip


def expected(count: int, clip: int, stride: int, *, centred: bool) -> np.ndarray:
    """The numbers of the frames of every clip, by the definition."""
    if centred:
        starts = [n - (clip - 1) // 2 for n in range(0, count, stride)]
    else:
        starts = list(range(0, count - clip + 1, stride)) or [0]
    return np.array([np.clip(np.arange(s, s + clip), 0, count - 1) for s in starts])


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize(("clip", "stride"), [(1, 1), (1, 3), (8, 1), (8, 4), (13, 2), (4, 9)])
def test_every_clip_sees_its_frames_whatever_the_pieces(
    clip: int, stride: int, centred: bool
) -> None:
    net = network(clip, stride, centred=centred)
    for count in (1, 2, 3, 7, 8, 9, 30, 100):
        frames, wanted = numbered(count), expected(count, clip, stride, centred=centred)
        np.testing.assert_array_equal(net.rows(frames), wanted)
        for size in (1, 2, 5, 33):
            passage = net.passage()
            starts = range(0, count, size)
            found = [passage.push(frames[n : n + size], last=n == starts[-1])() for n in starts]
            np.testing.assert_array_equal(np.concatenate(found), wanted)


def test_rows_stand_at_the_middle_of_their_clips() -> None:
    for clip in (1, 8, 13, 16):
        for family in (CENTRED, I3D_WINDOWS):
            first = expected(100, clip, 4, centred=family.centred)[8]  # away from the ends
            assert first.mean() == family.first_frame(clip) + 8 * 4


def test_little_of_a_long_video_is_kept() -> None:
    passage = network(8, 4, centred=True).passage()
    for _ in range(50):
        passage.push(numbered(100), last=False)
        assert passage._held is not None and len(passage._held) < 12


def test_two_videos_on_their_way_do_not_meet() -> None:
    net = network(8, 4, centred=True)
    one, other = net.passage(), net.passage()
    frames = numbered(40)
    found: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for n in range(0, 40, 10):
        found[0].append(one.push(frames[n : n + 10], last=n == 30)())
        found[1].append(other.push(frames[n : n + 10][::-1], last=n == 30)())
    np.testing.assert_array_equal(np.concatenate(found[0]), net.rows(frames))
    assert not np.array_equal(np.concatenate(found[1]), net.rows(frames))


def test_a_flash_lands_on_the_rows_whose_clips_see_it() -> None:
    class Mean(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            return clips.mean(dim=(2, 3, 4))

    for clip in (1, 8, 13):
        for family in (CENTRED, I3D_WINDOWS):
            net = ClipNetwork(
                Mean(), family, stride=1, clip_frames=clip, width=3,
                normalise=normaliser((0.45,) * 3, (0.225,) * 3),
            )  # fmt: skip
            offset = mean_offset(
                net, stride=1, first=family.first_frame(clip), side=16, frames=60,
                moments=range(28, 32),
            )  # fmt: skip
            assert abs(offset) < 1e-3


def test_colours_are_scaled_as_the_network_was_trained() -> None:
    frames = torch.tensor([0, 255, 51], dtype=torch.uint8).view(1, 1, 1, 1, 3)
    clips = normaliser((0.1, 0.2, 0.3), (1.0, 2.0, 0.5))(frames)
    assert clips.shape == (1, 3, 1, 1, 1)
    assert clips.flatten().tolist() == pytest.approx([-0.1, 0.4, -0.2])
