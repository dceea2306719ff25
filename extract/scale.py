"""A decoded picture to the size that the network sees: scaled, and its centre cut out."""

from __future__ import annotations

import math

import numpy as np


def scaled_centre(image: np.ndarray, resize: int, crop: int) -> np.ndarray:
    """Return the centre of an image scaled to `resize` on its shorter side, (crop, crop, 3).

    The image is halved before the final area filter: this costs a fifth of the filter alone, at
    its quality. Plain bilinear sampling would alias.

    Args:
        image: (H, W, 3) uint8.
        resize, crop: in pixels, see `video.read_frames`.
    """
    from .opencv import cv2  # here, so that what only names videos needs no OpenCV

    height, width = image.shape[:2]
    scale = resize / min(height, width)
    size = (round(height * scale), round(width * scale))
    while min(height, width) >= 2 * resize:
        height, width = height // 2, width // 2
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    if scale >= 1:
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
        top, left = ((n - crop) // 2 for n in size)
        return image[top : top + crop, left : left + crop]
    # Only the part around the centre is filtered: bit for bit the same, at half the cost.
    rows, height, top = _around_centre(image.shape[0], size[0], crop)
    columns, width, left = _around_centre(image.shape[1], size[1], crop)
    near = cv2.resize(image[rows, columns], (width, height), interpolation=cv2.INTER_AREA)
    return near[top : top + crop, left : left + crop]


def _around_centre(before: int, after: int, crop: int) -> tuple[slice, int, int]:
    """Return the part of a side whose scaling gives the same centre as scaling the whole side.

    Args:
        before, after: length of the side, and of the scaled side.
        crop: length of the centre, of the scaled side.
    Returns:
        The part, which begins and ends where whole pixels meet on both scales; its length when
        scaled; and where the centre begins in the scaled part.
    """
    period = after // math.gcd(before, after)
    first = (after - crop) // 2
    begin, end = first // period * period, min(-(-(first + crop) // period) * period, after)
    return slice(begin * before // after, end * before // after), end - begin, first - begin
