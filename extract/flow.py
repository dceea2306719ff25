"""Optical flow, the second stream: frames in, and out with two more channels of motion.

The clock stays the same, so segments, context and instants are the same for both streams. As in
the two-stream networks of the field, flow is clipped to 20 pixels and kept in 8 bits (Simonyan &
Zisserman 2014; Carreira & Zisserman 2017).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ..errors import InputError
from .opencv import cv2

LIMIT = 20.0  # pixels; faster motion counts as this
STILL = 128  # the 8-bit value of no motion
SCALE = 127  # 8-bit steps from no motion to LIMIT
AHEAD = 8  # pairs of frames in work per worker


def with_flow(
    frames: Iterable[np.ndarray], *, method: str = "dis", workers: int = 2
) -> Iterator[np.ndarray]:
    """Yield every frame with the flow to the next frame after its colours, (H, W, 5) uint8.

    The last frame has the flow of the frame before; a single frame stands still.

    Args:
        frames: (H, W, 3) uint8, RGB.
        method: `dis` or `tvl1`.
        workers: threads that compute flow; OpenCV leaves Python free while it does.
    """
    local = threading.local()  # the estimators keep state, so every thread has its own

    def start() -> None:
        if method == "tvl1":
            local.estimator = cv2.optflow.DualTVL1OpticalFlow_create()  # type: ignore[attr-defined]
        else:
            medium = cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
            local.estimator = cv2.DISOpticalFlow_create(medium)  # type: ignore[attr-defined]

    def flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
        return encode(local.estimator.calc(*grey, None))

    waiting: deque[tuple[np.ndarray, Future[np.ndarray]]] = deque()
    with ThreadPoolExecutor(workers, "flow", start) as pool:
        previous = last = None
        for frame in frames:
            if previous is not None:
                waiting.append((previous, pool.submit(flow, previous, frame)))
            if len(waiting) >= AHEAD * workers:
                owner, future = waiting.popleft()
                yield np.concatenate([owner, future.result()], axis=2)
            previous = frame
        for owner, future in waiting:
            last = future.result()
            yield np.concatenate([owner, last], axis=2)
        if previous is not None:
            still = np.full((*previous.shape[:2], 2), STILL, np.uint8)
            yield np.concatenate([previous, still if last is None else last], axis=2)


def encode(flow: np.ndarray) -> np.ndarray:
    """Return flow in pixels, (H, W, 2) float, as 8 bits, (H, W, 2) uint8: 128 is no motion."""
    return np.rint(flow.clip(-LIMIT, LIMIT) * (SCALE / LIMIT) + STILL).astype(np.uint8)


def check_method(method: str) -> None:
    """Check that this OpenCV has the method.

    Raises:
        InputError: TV-L1 without OpenCV's contributed modules.
    """
    if method == "tvl1" and not hasattr(cv2, "optflow"):
        raise InputError(
            "flow_method tvl1 is in opencv-contrib-python, which is not installed; use dis"
        )
