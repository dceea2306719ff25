"""Frames to the device that runs the network, and rows back from it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


class Transfer:
    """The way to a device and back; on a CPU nothing is copied.

    On CUDA both directions go through pinned memory and nobody waits for them. Frames have a
    stream of their own: they are copied while the network computes the frames before them.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._copying = torch.cuda.Stream(device) if device.type == "cuda" else None

    def to_device(self, frames: np.ndarray) -> Tensor:
        """Return frames, uint8, for the computing stream; on CUDA they may still be on their way.

        They cross the bus as bytes, and become floating point on the other side.
        """
        host = torch.from_numpy(np.ascontiguousarray(frames))
        if self._copying is None:
            return host
        with torch.cuda.stream(self._copying):
            # Torch reuses pinned memory only after the copy is done.
            there = host.pin_memory().to(self._device, non_blocking=True)
        computing = torch.cuda.current_stream(self._device)
        computing.wait_stream(self._copying)
        there.record_stream(computing)  # nor reuses it on the device before the computation
        return there

    def to_host(self, rows: Tensor) -> Callable[[], np.ndarray]:
        """Return a function that waits until the rows are computed and here, and returns them."""
        if self._copying is None:
            return rows.numpy
        host = rows.to("cpu", non_blocking=True)  # into pinned memory, once they are computed
        done = torch.cuda.current_stream(self._device).record_event()

        def wait() -> np.ndarray:
            done.synchronize()
            return host.numpy()

        return wait
