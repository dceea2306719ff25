from __future__ import annotations

import numpy as np
import pytest
import torch

from tsatal.extract.backbones.transfer import Transfer


def test_on_a_cpu_nothing_is_copied() -> None:
    transfer = Transfer(torch.device("cpu"))
    frames = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    there = transfer.to_device(frames)
    assert there.dtype == torch.uint8 and np.shares_memory(there.numpy(), frames)
    assert np.shares_memory(transfer.to_host(there)(), frames)


def test_some_channels_of_a_frame_are_some_of_its_values() -> None:
    frames = np.arange(40, dtype=np.uint8).reshape(2, 2, 2, 5)
    there = Transfer(torch.device("cpu")).to_device(frames[..., 3:])
    assert there.is_contiguous() and np.array_equal(there.numpy(), frames[..., 3:])


@pytest.mark.cuda
def test_what_goes_to_a_gpu_comes_back() -> None:
    transfer, rng = Transfer(torch.device("cuda")), np.random.default_rng(0)
    clips = [rng.integers(0, 256, (256, 64, 64, 3), dtype=np.uint8) for _ in range(8)]
    back = [transfer.to_host(transfer.to_device(clip).float() / 2) for clip in clips]
    for clip, fetch in zip(clips, back, strict=True):
        np.testing.assert_array_equal(fetch(), clip.astype(np.float32) / 2)
