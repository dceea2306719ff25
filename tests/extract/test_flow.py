"""Optical flow: what it sees, its 8 bits, and that order and count of frames stay."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from tsatal.errors import InputError
from tsatal.extract import flow
from tsatal.extract.backbones.i3d_r50 import Backbone, normalise, random_i3d
from tsatal.extract.engine import prepare
from tsatal.extract.settings import ExtractSettings
from tsatal.extract.stitch import stitched_rows


def moving(count: int, right: int = 0, down: int = 0, side: int = 96) -> list[np.ndarray]:
    """Frames in which a smooth random texture moves by so many pixels per frame."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (40, 40, 3)).astype(np.float32)
    big = cv2.resize(coarse, (400, 400), interpolation=cv2.INTER_CUBIC).clip(0, 255)
    return [
        big[200 - n * down :, 200 - n * right :][:side, :side].astype(np.uint8)
        for n in range(count)
    ]


def pixels(frames: list[np.ndarray], method: str = "dis") -> np.ndarray:
    """The decoded flow in the middle of every frame, (N, 2) pixels right and down."""
    out = np.stack(list(flow.with_flow(frames, method=method)))
    middle = out[:, 24:-24, 24:-24, 3:].astype(float)
    return (np.median(middle, axis=(1, 2)) - flow.STILL) * flow.LIMIT / flow.SCALE


@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, 0), (-4, 0), (0, 2), (2, -3)])
def test_flow_is_the_motion_to_the_next_frame(right: int, down: int) -> None:
    found = pixels(moving(4, right, down))
    np.testing.assert_allclose(found, [[right, down]] * 4, atol=0.35)


def test_tvl1_sees_the_same_motion() -> None:
    if not hasattr(cv2, "optflow"):
        pytest.skip("TV-L1 is in opencv-contrib-python, which is not installed")
    np.testing.assert_allclose(pixels(moving(3, 2, -1), "tvl1"), [[2, -1]] * 3, atol=0.35)


def test_frames_keep_their_order_number_and_colours() -> None:
    frames = [np.full((32, 32, 3), n, np.uint8) for n in range(60)]
    out = list(flow.with_flow(frames, workers=3))
    assert [int(f[0, 0, 0]) for f in out] == list(range(60))
    assert all(f.shape == (32, 32, 5) for f in out)


def test_a_single_frame_stands_still_and_none_gives_none() -> None:
    [only] = flow.with_flow([np.zeros((32, 32, 3), np.uint8)])
    assert (only[..., 3:] == flow.STILL).all()
    assert list(flow.with_flow([])) == []


def test_frames_are_not_read_far_ahead() -> None:
    read = 0

    def frames() -> Iterator[np.ndarray]:
        nonlocal read
        for _ in range(500):
            read += 1
            yield np.zeros((32, 32, 3), np.uint8)

    next(flow.with_flow(frames(), workers=2))
    assert read <= flow.AHEAD * 2 + 2


def test_eight_bits_clip_at_twenty_pixels_and_keep_zero_exact() -> None:
    given = np.array([[[-50.0, -20.0], [0.0, 0.1], [20.0, 50.0]]])
    coded = flow.encode(given)
    assert coded.tolist() == [[[1, 1], [128, 129], [255, 255]]]
    seen = normalise(torch.from_numpy(coded)[None])[0, :, 0, 0]  # (2, 3)
    torch.testing.assert_close(seen[:, 0], torch.tensor([-1.0, -1.0]))
    assert seen[0, 1] == 0


def test_unknown_methods_and_a_missing_module_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="must be 'dis' or 'tvl1', is 'farneback'"):
        ExtractSettings(flow=True, flow_method="farneback")  # type: ignore[arg-type]
    monkeypatch.delattr(cv2, "optflow", raising=False)
    with pytest.raises(InputError, match="opencv-contrib-python"):
        prepare(ExtractSettings(weights="random", flow=True, flow_method="tvl1"))


def test_both_streams_stitched_are_those_of_the_uncut_video(live_net: nn.Module) -> None:
    frames = list(flow.with_flow(moving(75, 1, 1, side=64)))
    nets = {"rgb": Backbone(live_net), "flow": Backbone(random_i3d(1, channels=2, width=16))}
    [whole] = stitched_rows(frames, nets, ExtractSettings(segment=400))
    pieces = list(stitched_rows(frames, nets, ExtractSettings(segment=32)))
    for stream in ("rgb", "flow"):
        ours = np.concatenate([p[stream] for p in pieces])
        assert ours.shape == whole[stream].shape == (37, ours.shape[1])
        np.testing.assert_allclose(ours, whole[stream], rtol=1e-4, atol=1e-5 * abs(ours).max())
    assert not np.allclose(whole["rgb"], whole["flow"])
