"""Encoded videos whose pictures say which one they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from torch import nn

from tsatal.extract.backbones.i3d_r50 import random_i3d

from ..conftest import SHARED

BITS = 10

VideoWriter = Callable[..., Path]


def numbered_picture(number: int, width: int, height: int) -> np.ndarray:
    """Ten stripes across the central square, black or white: the number in binary."""
    side = min(width, height)
    image = np.full((height, width, 3), 128, np.uint8)
    stripe = side * 3 // 4 // BITS
    left = (width - stripe * BITS) // 2
    for bit in range(BITS):
        image[:, left + bit * stripe : left + (bit + 1) * stripe] = 235 * (number >> bit & 1)
    return image


def read_number(frame: np.ndarray) -> int:
    """The number in a decoded 112-pixel crop of a picture 128 high."""
    stripe = 128 * 3 // 4 // BITS
    left = (112 - stripe * BITS) // 2
    centres = [left + bit * stripe + stripe // 2 for bit in range(BITS)]
    bright = frame[40:72, :, 1].mean(0)
    return sum(int(bright[c] > 118) << bit for bit, c in enumerate(centres))


def write_tracks(path: Path, *tracks: tuple[int, int, bool], late_sec: float = 0.0) -> Path:
    """A video of several picture tracks (width, height, default), each of its own number."""
    with av.open(str(path), "w") as container:
        streams: list[Any] = []
        for width, height, default in tracks:
            stream: Any = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
            stream.disposition = av.stream.Disposition(int(default))
            streams.append(stream)
        sound: Any = container.add_stream("aac", rate=16000) if late_sec else None
        for n in range(10):
            for number, stream in enumerate(streams):
                image = numbered_picture(number + 1, stream.width, stream.height)
                picture = av.VideoFrame.from_ndarray(image, format="rgb24")
                picture = picture.reformat(format="yuv420p")
                picture.pts, picture.time_base = int(1000 * late_sec) + 100 * n, Fraction(1, 1000)
                container.mux(stream.encode(picture))
        if sound:
            samples = np.zeros((1, 32000), np.float32)
            heard = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
            heard.rate, heard.pts = 16000, 0
            container.mux([*sound.encode(heard), *sound.encode()])
        for stream in streams:
            container.mux(stream.encode())
    return path


def write_raw(path: Path, codec: str, kind: str, pix_fmt: str = "yuv420p") -> Path:
    with av.open(str(path), "w", format=kind) as container:
        stream: Any = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 128, pix_fmt
        for number in range(60):
            image = av.VideoFrame.from_ndarray(numbered_picture(number, 160, 128), format="rgb24")
            container.mux(stream.encode(image.reformat(format=pix_fmt)))
        container.mux(stream.encode())
    return path


@pytest.fixture
def write_video(tmp_path: Path) -> VideoWriter:
    def write(
        name: str,
        stamps: Sequence[int],
        *,
        unit: Fraction = Fraction(1, 30000),
        size: tuple[int, int] = (160, 128),
        codec: str = "libx264",
        pix_fmt: str = "yuv420p",
        rate: Fraction = Fraction(30),
        images: Sequence[np.ndarray] | None = None,
        options: dict[str, str] | None = None,
        pixel_aspect: Fraction | None = None,
        transfer: int | None = None,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream(codec, rate=rate)
            stream.width, stream.height = size
            stream.pix_fmt = pix_fmt
            stream.codec_context.time_base = unit
            stream.time_base = unit
            if codec == "libx264":
                stream.options = options or {"crf": "12", "preset": "ultrafast", "bf": "0"}
            if pixel_aspect:
                stream.codec_context.sample_aspect_ratio = pixel_aspect
            if transfer:
                stream.codec_context.color_trc = transfer
            for number, stamp in enumerate(stamps):
                image = images[number] if images else numbered_picture(number, *size)
                picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
                picture.pts, picture.time_base = stamp, unit
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture(scope="session")
def live_net() -> nn.Module:
    """A narrow stock network with random weights, every branch of it alive."""
    return random_i3d(0, width=16)


@pytest.fixture
def bad_videos() -> Path:
    folder = SHARED / "bad"
    if not folder.exists():
        pytest.skip("the collection of bad files (../shared/data/bad) is not here")
    return folder
