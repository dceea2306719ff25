from __future__ import annotations

import numpy as np
import pytest
import torch

from tsatal.extract.backbones.i3d_r50 import Backbone, normalise
from tsatal.extract.settings import ExtractSettings
from tsatal.extract.stitch import carried_rows, cut_segments, pieces, stitched_rows

LENGTHS = (1, 2, 3, 35, 36, 127, 128, 129, 300)


def uncut(net: torch.nn.Module, frames: np.ndarray) -> np.ndarray:
    """The stock network over the whole video at once."""
    with torch.inference_mode():
        y = net(normalise(torch.from_numpy(frames)).contiguous())
    return y.mean(dim=(3, 4))[0].T.numpy()


def stitched(net: torch.nn.Module, frames: np.ndarray, segment: int, context: int) -> np.ndarray:
    backbone = Backbone(net)
    segments = cut_segments(frames, segment=segment, context=context, stride=2)
    return np.concatenate([backbone.rows(clip)[keep] for clip, keep in segments])


def noise(count: int, side: int = 32) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("length", "segment"),
    [
        *((length, 128) for length in LENGTHS),
        (35, 50),
        (129, 50),
        (300, 50),
        (3, 2),
        (35, 6),
        (6000, 512),
    ],  # ten minutes
)
def test_stitched_rows_are_those_of_the_uncut_video(
    live_net: torch.nn.Module, length: int, segment: int
) -> None:
    frames = noise(length)
    whole = uncut(live_net, frames if length > 1 else frames.repeat(2, axis=0))
    ours = stitched(live_net, frames, segment, 18)
    assert ours.shape == whole.shape
    error = np.linalg.norm(ours - whole, axis=1) / np.linalg.norm(whole, axis=1)
    assert error.max() < 1e-5


@pytest.mark.parametrize(
    ("length", "size"),
    [
        *((length, size) for length in (*LENGTHS, 19, 20, 21, 60) for size in (2, 20, 50)),
        (300, 128),
        (6000, 32),
    ],
)
def test_carried_rows_are_those_of_the_uncut_video(
    live_net: torch.nn.Module, length: int, size: int
) -> None:
    frames = noise(length)
    whole = uncut(live_net, frames if length > 1 else frames.repeat(2, axis=0))
    found = list(stitched_rows(frames, {"rgb": Backbone(live_net)}, ExtractSettings(segment=size)))
    ours = np.concatenate([piece["rgb"] for piece in found])
    assert ours.shape == whole.shape
    error = np.linalg.norm(ours - whole, axis=1) / np.linalg.norm(whole, axis=1)
    assert error.max() < 1e-5


def test_pieces_started_ahead_give_the_same_rows_in_the_same_order(
    live_net: torch.nn.Module,
) -> None:
    frames, backbone = noise(100), Backbone(live_net)
    at_once = [piece["rgb"] for piece in carried_rows(frames, {"rgb": backbone}, size=20)]
    backbone.ahead = 2
    ahead = [piece["rgb"] for piece in carried_rows(frames, {"rgb": backbone}, size=20)]
    assert [len(rows) for rows in ahead] == [len(rows) for rows in at_once]
    np.testing.assert_array_equal(np.concatenate(ahead), np.concatenate(at_once))


def test_pieces_miss_nothing_and_know_the_last() -> None:
    for length in range(1, 100):
        found = list(pieces(iter(noise(length, 1)), size=8, first=20))
        np.testing.assert_array_equal(np.concatenate([f for f, _ in found]), noise(length, 1))
        assert [last for _, last in found] == [False] * (len(found) - 1) + [True]
        sizes = [len(f) for f, _ in found]
        assert sizes[0] == min(20, length) and set(sizes[1:-1]) <= {8} and sizes[-1] <= 20
    assert list(pieces([], size=8, first=20)) == []


def test_a_piece_waits_for_one_frame_behind_it() -> None:
    frames = iter(noise(100, 1))
    next(pieces(frames, size=30))
    assert len(list(frames)) == 100 - 31


def test_less_context_than_eighteen_frames_is_not_exact(live_net: torch.nn.Module) -> None:
    frames = noise(100)
    exact, short = (stitched(live_net, frames, 50, context) for context in (18, 16))
    assert (exact != short).any(axis=1).sum() > 0


@pytest.mark.parametrize("length", [128, 129, 200])
def test_no_context_is_the_papers_cut(live_net: torch.nn.Module, length: int) -> None:
    frames = noise(length)
    pieces = [frames[at : at + 128] for at in range(0, length, 128)]
    apart = np.concatenate([uncut(live_net, p) for p in pieces if len(p) > 1])
    ours = stitched(live_net, frames, 128, 0)
    np.testing.assert_allclose(ours, apart, rtol=1e-4, atol=1e-5 * abs(apart).max())
    assert len(ours) == length // 2


def test_segments_hold_no_more_than_they_need_and_miss_nothing() -> None:
    for length in range(1, 200):
        frames = [np.array([number]) for number in range(length)]
        kept = []
        for clip, keep in cut_segments(iter(frames), segment=32, context=18, stride=2):
            seen = clip[:, 0]
            assert len(seen) <= 32 + 2 * 18 and (np.diff(seen) == 1).all()
            first = seen[0] + 2 * keep.start
            kept += [first + 2 * n for n in range(keep.stop - keep.start)]
            assert seen[0] <= max(first - 18, 0)
            assert seen[-1] >= min(kept[-1] + 1 + 18, length - 1)
        assert kept == [2 * row for row in range(max(length // 2, 1))]


def test_frames_are_taken_only_when_they_are_needed() -> None:
    taken = 0

    def frames() -> object:
        nonlocal taken
        for number in range(1000):
            taken = number + 1
            yield np.array([number])

    segments = cut_segments(frames(), segment=32, context=18, stride=2)  # type: ignore[arg-type]
    next(segments)
    assert taken == 32 + 18
    next(segments)
    assert taken == 64 + 18


def test_an_impulse_moved_through_time_shows_where_every_row_stands(
    live_net: torch.nn.Module,
) -> None:
    """Row k answers to frames 2k-17 ... 2k+18 and no others, so it stands at frame 2k + 0.5."""
    backbone = Backbone(live_net)
    still = np.full((42, 32, 32, 3), 100, np.uint8)
    at_rest = backbone.rows(still)
    for moment in (0, 1, 2, 3, 18, 36, 37, 38, 39):
        flash = still.copy()
        flash[moment] = noise(1)[0]
        answers = (backbone.rows(flash) != at_rest).any(axis=1)
        for row in (9, 10):
            assert answers[row] == (2 * row - 17 <= moment <= 2 * row + 18)
