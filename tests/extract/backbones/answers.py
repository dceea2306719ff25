"""Where in time a network answers: a flash at a known instant must land on the nearest rows."""

from __future__ import annotations

import numpy as np

from tsatal.extract.backbones.family import Network


def noise(count: int, side: int, channels: int = 3, *, seed: int = 0) -> np.ndarray:
    """Frames of coarse noise, (count, side, side, channels) uint8."""
    rng = np.random.default_rng(seed)
    grain = side // 8
    coarse = rng.integers(0, 256, (count, 8, 8, channels), dtype=np.uint8)
    return coarse.repeat(grain, axis=1).repeat(grain, axis=2)


def mean_offset(
    network: Network, *, stride: int, first: float, side: int, frames: int, moments: range
) -> float:
    """Return by how many frames the answers to a flash are late.

    A still video flashes at one frame; its rows answer around a frame, the centre of how much each
    of them changes. The mean is over flashes at every phase of a row, each of another picture.

    Args:
        stride, first: frames from row to row, and the instant of the first, in frames.
        side, frames: of the video, pixels and a number.
        moments: frames to flash at, far enough from the ends to be seen by all that can.
    """
    found = []
    for moment in moments:
        still = np.repeat(noise(1, side, seed=moment), frames, axis=0)
        flash = still.copy()
        flash[moment] = 255 - flash[moment]
        change = np.linalg.norm(network.rows(flash) - network.rows(still), axis=1)
        assert change.any()
        places = first + stride * np.arange(len(change))
        found.append(float((change * places).sum() / change.sum()) - moment)
    return float(np.mean(found))
