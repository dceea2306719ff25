"""A decoded picture to the frame that the network sees: upright, scaled, its centre cut out."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type

MATRIX = struct.Struct("=9i")  # FFmpeg's display matrix, row by row
LARGE = 4096 * 2304  # pixels; larger pictures are made smaller while their colours are converted


def frame_of(
    picture: av.VideoFrame, *, resize: int, crop: int, pixel_aspect: float = 1.0
) -> np.ndarray:
    """Return the centre of a picture, upright and in square pixels, (crop, crop, 3) uint8 RGB."""
    image = rgb(picture, least=2 * resize)
    image = scaled_centre(image, resize, crop, pixel_aspect=pixel_aspect)
    return np.ascontiguousarray(upright(image, display_matrix(picture)))


def rgb(picture: av.VideoFrame, *, least: int) -> np.ndarray:
    """Return a picture's colours, (H, W, 3) uint8; a very large one is halved some times before.

    Args:
        least: length of the shorter side in pixels that halving leaves.
    """
    width, height = picture.width, picture.height
    if width * height <= LARGE:
        # One thread: other videos and the network have the other cores.
        return picture.to_ndarray(format="rgb24", threads=1)
    while min(width, height) >= 2 * least:
        width, height = width // 2, height // 2
    picture = picture.reformat(width, height, format="rgb24", interpolation="AREA", threads=1)
    return picture.to_ndarray()


def display_matrix(picture: av.VideoFrame) -> tuple[int, int, int, int]:
    """Return how a picture is to be shown: `(a, b, c, d)` moves pixel x, y to ax + cy, bx + dy."""
    by_type: Mapping[Any, Any] = picture.side_data
    data = by_type.get(Type.DISPLAYMATRIX)
    if data is None or data.buffer_size != MATRIX.size:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = MATRIX.unpack(bytes(data))
    return a, b, c, d


def swaps_sides(matrix: tuple[int, int, int, int]) -> bool:
    """Whether width and height change places when a picture is shown."""
    a, b, c, d = matrix
    return abs(b) + abs(c) > abs(a) + abs(d)


def upright(image: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Return an image, (H, W, 3), as it is to be shown: turned by quarters, and mirrored.

    Args:
        matrix: see `display_matrix`; other angles count as the nearest quarter.
    """
    a, b, c, d = matrix
    if swaps_sides(matrix):
        image, from_right, from_below = image.swapaxes(0, 1), c < 0, b < 0
    else:
        from_right, from_below = a < 0, d < 0
    return image[:: -1 if from_below else 1, :: -1 if from_right else 1]


def scaled_centre(
    image: np.ndarray, resize: int, crop: int, *, pixel_aspect: float = 1.0
) -> np.ndarray:
    """Return the centre of an image scaled to `resize` on its shorter side, (crop, crop, 3).

    The image is halved before the final area filter: this costs a fifth of the filter alone, at
    its quality. Plain bilinear sampling would alias.

    Args:
        image: (H, W, 3) uint8.
        resize, crop: in pixels, see `video.read_frames`.
        pixel_aspect: width of a pixel over its height.
    """
    from .opencv import cv2  # here, so that what only names videos needs no OpenCV

    height, width = image.shape[:2]
    scale = resize / min(height, width * pixel_aspect)
    size = (round(height * scale), round(width * pixel_aspect * scale))
    while min(height, width * pixel_aspect) >= 2 * resize * max(1.0, pixel_aspect):
        height, width = height // 2, width // 2
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    if scale * max(1.0, pixel_aspect) >= 1:
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
