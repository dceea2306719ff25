from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from tsatal.extract.backbones.i3d_r50 import Backbone, build_i3d, normalise, random_i3d

from ...conftest import ROOT


def test_the_network_is_the_hubs_i3d_r50() -> None:
    net = build_i3d()
    state = net.state_dict()
    assert len(state) == 318  # the checkpoint's 320 without the classifier's two
    assert state["blocks.0.conv.weight"].shape == (64, 3, 5, 7, 7)
    assert state["blocks.5.res_blocks.2.branch2.conv_c.weight"].shape == (2048, 512, 1, 1, 1)
    kernels = [
        state[f"blocks.{stage}.res_blocks.{block}.branch2.conv_a.weight"].shape[2]
        for stage, count in ((1, 3), (3, 4), (4, 6), (5, 3))
        for block in range(count)
    ]
    assert kernels == [*[3, 3, 3], *[3, 1, 3, 1], *[3, 1, 3, 1, 3, 1], *[1, 3, 1]]


def test_pytorchvideo_is_imported_without_torchvision_and_leaves_no_trace() -> None:
    program = (
        "import sys, importlib.util\\n"
        "had = importlib.util.find_spec('torchvision') is not None\\n"
        "from tsatal.extract.backbones.i3d_r50 import build_i3d\\n"
        "build_i3d(width=8)\\n"
        "assert had or not [m for m in sys.modules if m.startswith('torchvision')]\\n"
        "assert (importlib.util.find_spec('torchvision') is not None) == had\\n"
    )
    subprocess.run([sys.executable, "-c", program.replace("\\n", "\n")], check=True)


@pytest.mark.parametrize(("frames", "rows"), [(1, 1), (2, 1), (3, 1), (4, 2), (17, 8)])
def test_rows_per_frames(live_net: nn.Module, frames: int, rows: int) -> None:
    clip = np.full((frames, 32, 32, 3), 90, np.uint8)
    out = Backbone(live_net).rows(clip)
    assert out.shape == (rows, 512) and out.dtype == np.float32


def test_a_single_frame_counts_twice(live_net: nn.Module) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    backbone = Backbone(live_net)
    np.testing.assert_array_equal(backbone.rows(frame), backbone.rows(frame.repeat(2, axis=0)))


def test_normalise_scales_and_orders_as_the_checkpoint_expects() -> None:
    frames = torch.zeros(2, 4, 5, 3, dtype=torch.uint8)
    frames[1, 2, 3, 0] = 255
    clip = normalise(frames)
    assert clip.shape == (1, 3, 2, 4, 5)
    assert clip.is_contiguous(memory_format=torch.channels_last_3d)
    assert clip[0, 0, 1, 2, 3].item() == pytest.approx((1 - 0.45) / 0.225)
    assert clip[0, 1, 1, 2, 3].item() == pytest.approx(-0.45 / 0.225)


def test_random_weights_are_the_same_for_the_same_seed(live_net: nn.Module) -> None:
    before = torch.get_rng_state()
    again, other = random_i3d(0, width=16), random_i3d(1, width=16)
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in live_net.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert not torch.equal(
        live_net.state_dict()["blocks.0.conv.weight"], other.state_dict()["blocks.0.conv.weight"]
    )


def test_random_weights_are_alive_in_every_branch(live_net: nn.Module) -> None:
    spreads: list[float] = []
    hooks = [
        m.register_forward_hook(lambda _m, _i, out: spreads.append(float(out.std())))
        for name, m in live_net.named_modules()
        if name.endswith("branch2")
    ]
    frames = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    with torch.inference_mode():
        out = live_net(normalise(torch.from_numpy(frames)))
    for hook in hooks:
        hook.remove()
    assert len(spreads) == 16 and min(spreads) > 0.05 and max(spreads) < 100
    assert 0.1 < float(out.std()) < 1000


def test_rows_tell_motion_from_rest(live_net: nn.Module) -> None:
    still = np.full((16, 64, 64, 3), 60, np.uint8)
    moving = still.copy()
    for moment, frame in enumerate(moving):
        frame[20:40, 2 * moment : 2 * moment + 20] = 220
    backwards = moving[::-1].copy()
    backbone = Backbone(live_net)
    one, other = backbone.rows(moving).mean(0), backbone.rows(backwards).mean(0)
    assert np.linalg.norm(one - other) > 0.01 * np.linalg.norm(one)


def test_rows_in_bfloat16_are_as_near_as_the_documentation_says(live_net: nn.Module) -> None:
    page = ROOT / "docs" / "extraction.md"
    [percent] = re.findall(r"row in bfloat16 is within (\d+) % of its norm", page.read_text())
    noise = np.random.default_rng(0).integers(0, 256, (24, 64, 64, 3), dtype=np.uint8)
    moving = np.full((24, 64, 64, 3), 60, np.uint8)
    for moment, frame in enumerate(moving):
        frame[20:40, 2 * moment : 2 * moment + 20] = 220
    for frames in (noise, moving):
        exact = Backbone(live_net).rows(frames)
        rough = Backbone(live_net, dtype="bfloat16").rows(frames)
        assert not np.array_equal(rough, exact)
        apart = np.linalg.norm(rough - exact, axis=1) / np.linalg.norm(exact, axis=1)
        assert apart.max() < int(percent) / 100


def test_rows_of_a_network_in_bfloat16_are_not_rounded_to_it(live_net: nn.Module) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    rows = torch.from_numpy(Backbone(live_net, dtype="bfloat16").rows(frames))
    assert rows.dtype == torch.float32 and not torch.equal(rows, rows.bfloat16().float())


def test_two_videos_on_their_way_do_not_meet(live_net: nn.Module) -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 256, (2, 60, 32, 32, 3), dtype=np.uint8)
    backbone = Backbone(live_net)
    passages = backbone.passage(), backbone.passage()
    rows: tuple[list[np.ndarray], list[np.ndarray]] = [], []
    for first in range(0, 60, 20):
        for found, passage, video in zip(rows, passages, (one, other), strict=True):
            found.append(passage.push(video[first : first + 20], last=first == 40)())
    np.testing.assert_array_equal(np.concatenate(rows[0]), backbone.rows(one))
    np.testing.assert_array_equal(np.concatenate(rows[1]), backbone.rows(other))


def test_a_row_comes_with_the_last_frame_that_it_sees(live_net: nn.Module) -> None:
    """Row k sees frame 2k + 18 and none behind it, so n frames give (n - 17) // 2 rows."""
    frames = np.random.default_rng(0).integers(0, 256, (41, 32, 32, 3), dtype=np.uint8)
    for first in range(20, 40):
        passage = Backbone(live_net).passage()
        assert len(passage.push(frames[:first], last=False)()) == (first - 17) // 2
        assert len(passage.push(frames[first:], last=True)()) == 20 - (first - 17) // 2
