from __future__ import annotations

import cv2
import numpy as np
import pytest

from tsatal.extract.scale import scaled_centre


def noise(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(height * width)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def scaled_then_cut(image: np.ndarray, size: tuple[int, int], crop: int) -> np.ndarray:
    """The definition: all of the image through the area filter, then the centre."""
    scale = 128 / min(size)
    height, width = (round(n * scale) for n in size)
    whole = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    top, left = (height - crop) // 2, (width - crop) // 2
    return whole[top : top + crop, left : left + crop]


@pytest.mark.parametrize("crop", [112, 111, 128, 16, 1])
@pytest.mark.parametrize(
    "size", [(180, 320), (320, 180), (240, 320), (135, 240), (129, 129), (131, 200), (255, 1000)]
)
def test_the_centre_is_that_of_the_whole_image_scaled(size: tuple[int, int], crop: int) -> None:
    image = noise(*size)
    assert np.array_equal(scaled_centre(image, 128, crop), scaled_then_cut(image, size, crop))


@pytest.mark.parametrize("size", [(720, 1280), (1080, 1920), (513, 511), (300, 257)])
def test_a_large_image_is_halved_before(size: tuple[int, int]) -> None:
    image = noise(*size)
    half = image
    while min(half.shape[:2]) >= 256:
        smaller = half.shape[1] // 2, half.shape[0] // 2
        half = cv2.resize(half, smaller, interpolation=cv2.INTER_AREA)
    assert np.array_equal(scaled_centre(image, 128, 112), scaled_then_cut(half, size, 112))


@pytest.mark.parametrize("size", [(20, 30), (64, 48), (128, 128), (1, 1)])
def test_a_small_image_is_enlarged_and_never_cut_short(size: tuple[int, int]) -> None:
    assert scaled_centre(noise(*size), 128, 112).shape == (112, 112, 3)


def test_the_middle_stays_in_the_middle() -> None:
    image = np.zeros((360, 640, 3), np.uint8)
    image[170:190, 310:330] = 255
    rows, columns = np.nonzero(scaled_centre(image, 128, 112)[..., 0])
    assert rows.mean() == pytest.approx(55.5, abs=0.5)
    assert columns.mean() == pytest.approx(55.5, abs=0.5)
