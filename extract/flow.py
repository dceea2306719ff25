"""Optical flow, the second stream: how every pixel moves from one frame to the next.

Frames come in and go out with two more channels, on the same clock, so everything behind this
module (segments, context, instants) is the same for both streams. As in the two-stream networks
of the field, flow is clipped to 20 pixels and kept in 8 bits (Simonyan & Zisserman 2014; Carreira
& Zisserman 2017).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import cv2
import numpy as np

from ..errors import InputError

LIMIT = 20.0  # pixels; faster motion counts as this
STILL = 128  # the 8-bit value of no motion
SCALE = 127  # 8-bit steps from no motion to LIMIT
AHEAD = 8  # pairs of frames in work per worker

Flow = Callable[[np.ndarray, np.ndarray], np.ndarray]


def with_flow(
    frames: Iterable[np.ndarray], *, method: str = "dis", workers: int = 2
) -> Iterator[np.ndarray]:
    """Yield every frame with the flow to the next one behind its colours, (H, W, 5) uint8.

    The last frame has the flow of the one before; a single frame stands still.

    Args:
        frames: (H, W, 3) uint8, RGB.
        method: `dis` or `tvl1`, see `check_method`.
        workers: threads that compute flow; OpenCV leaves Python free while it does.
    """
    local = threading.local()  # the estimators keep state, so every thread has its own

    def flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        if not hasattr(local, "estimate"):
            local.estimate = _estimator(method)
        return encode(local.estimate(_grey(first), _grey(second)))

    waiting: deque[tuple[np.ndarray, Future[np.ndarray]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="flow") as pool:
        previous = last = None
        for frame in frames:
            if previous is not None:
                waiting.append((previous, pool.submit(flow, previous, frame)))
            if len(waiting) >= AHEAD * workers:
                owner, future = waiting.popleft()
                yield _join(owner, future.result())
            previous = frame
        for owner, future in waiting:
            last = future.result()
            yield _join(owner, last)
        if previous is not None:
            still = np.full((*previous.shape[:2], 2), STILL, np.uint8)
            yield _join(previous, still if last is None else last)


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
            "flow method tvl1 is in opencv-contrib-python, which is not installed; use dis"
        )


def _estimator(method: str) -> Flow:
    if method == "tvl1":
        made = cv2.optflow.DualTVL1OpticalFlow_create()  # type: ignore[attr-defined]
    else:
        made = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]
    return lambda first, second: made.calc(first, second, None)


def _grey(frame: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))


def _join(frame: np.ndarray, flow: np.ndarray) -> np.ndarray:
    return np.concatenate([frame, flow], axis=2)
