"""What gpu_parts.py measures of stage one: the network alone, decoding alone, and both at work."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import av
import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tsatal.extract import engine
from tsatal.extract.backbones.device import choose_dtype
from tsatal.extract.backbones.i3d import DenseI3d
from tsatal.extract.backbones.i3d_r50 import Backbone, build_i3d, random_i3d
from tsatal.extract.backbones.inception import random_inception
from tsatal.extract.container import DecodeReport
from tsatal.extract.engine import ThisProcess, prepare
from tsatal.extract.extractor import extract_videos
from tsatal.extract.prefetch import MOST_AT_ONCE
from tsatal.extract.settings import ExtractSettings
from tsatal.extract.sources import fingerprint
from tsatal.extract.video import read_frames

Sync = Callable[[], None]
CORES = min(len(os.sched_getaffinity(0)), MOST_AT_ONCE)
THUMOS_SIZE, THUMOS_RATE = (320, 180), 30  # of most videos of THUMOS14, as far as we know


def sync_of(device: str) -> Sync:
    """Return what waits until the device has done all it was told."""
    return partial(torch.cuda.synchronize, device) if device.startswith("cuda") else lambda: None


def seconds_of(call: Callable[[], object], sync: Sync, *, repeats: int = 3) -> float:
    """Return the median seconds of a call, after one that is not counted."""
    call()
    taken = []
    for _ in range(repeats):
        sync()
        began = time.perf_counter()
        call()
        sync()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def encode(path: Path, seconds: float, size: tuple[int, int], *, seed: int = 0) -> Path:
    """Write H.264 at 30 pictures per second: a texture that drifts over a still one, with grain."""
    rng, (width, height) = np.random.default_rng(seed), size
    still = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    still = still.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=THUMOS_RATE, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for n in range(round(THUMOS_RATE * seconds)):
            grain = rng.integers(0, 16, (height, width, 1), dtype=np.uint8)
            image = np.roll(still, n * 2, axis=1) // 2 + grain
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def copies(video: Path, folder: Path, count: int) -> list[Path]:
    """Return so many copies of a video in a folder."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"copy{n:03d}{video.suffix}" for n in range(count)]
    for path in paths:
        shutil.copy(video, path)
    return paths


def matmul_flops(size: int, device: str, dtype: torch.dtype) -> float:
    """Return how many operations a second a product of square random matrices makes."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / seconds_of(lambda: a @ b, sync_of(device), repeats=10)


def flops_per_frame(crop: int, *, width: int = 64, frames: int = 64) -> float:
    """Return the operations that the I3D-R50 makes for a frame; no device is asked."""
    net = build_i3d(width=width).to("meta")
    with FlopCounterMode(display=False) as counter:
        net(torch.empty(1, 3, frames, crop, crop, device="meta"))
    return counter.get_total_flops() / frames


class OnDevice:
    """The way of frames that are on the device already, and of rows that stay there."""

    def to_device(self, frames: Tensor) -> Tensor:
        """Return the frames."""
        return frames

    def to_host(self, rows: Tensor) -> Callable[[], Tensor]:
        """Return a function that returns the rows."""
        return lambda: rows


def bare(network: Backbone | DenseI3d, frames: Tensor) -> Callable[[], None]:
    """Return the network's work on frames that lie on its device, piece by piece."""

    def run() -> None:
        with patch.object(network, "transfer", OnDevice()):
            passage, size = network.passage(), network.piece_frames
            for n in range(0, len(frames) - size + 1, size):
                passage.push(frames[n : n + size], last=False)  # type: ignore[arg-type]

    return run


def noise(count: int, crop: int, device: str) -> Tensor:
    """Return random frames on the device, (count, crop, crop, 3) uint8."""
    return torch.randint(0, 256, (count, crop, crop, 3), dtype=torch.uint8, device=device)


def resnet(device: str, *, quick: bool) -> Backbone:
    """Return the default backbone with random weights, in the precision of the device."""
    made = random_i3d(0, width=16 if quick else 64)
    return Backbone(made, device=device, dtype=choose_dtype("auto", device))


def inception(device: str, *, quick: bool) -> DenseI3d:
    """Return the Inception I3D with random weights, a row every four frames."""
    made = random_inception(0, narrow=8 if quick else 1)
    return DenseI3d(made, stride=4, device=device, dtype=choose_dtype("auto", device))


class Decoded:
    """A `prefetch.FrameStream` of frames that are in memory; they are given `times` over."""

    def __init__(self, path: Path, settings: ExtractSettings, *, frames: np.ndarray) -> None:
        self.path, self.report = path, DecodeReport(frames=len(frames))
        self.source, self._frames = fingerprint(path, settings.reading), frames

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the frames."""
        yield from self._frames

    def ready(self, frames: int) -> bool:
        """Return that so many can be had without waiting."""
        return True

    def close(self) -> None:
        """Do nothing: nobody decodes."""


def engine_on_decoded(
    network: Backbone, settings: ExtractSettings, video: Path, frames: np.ndarray, *, videos: int
) -> Callable[[], None]:
    """Return the work of the engine on videos whose frames are in memory, each these frames."""
    recipe = prepare(settings)

    def run() -> None:
        with patch.object(engine, "FrameStream", partial(Decoded, frames=frames)):
            work = ThisProcess({"rgb": network}).extract(
                ((str(n), video) for n in range(videos)), lambda *done: None, recipe=recipe
            )
            for video_id, result in work:
                if isinstance(result, Exception):
                    raise RuntimeError(f"{video_id}: {result}")

    return run


def decode(path: Path, settings: ExtractSettings) -> int:
    """Decode a video as the extractor does; return the number of its frames."""
    frames = read_frames(path, fps=settings.fps, resize=settings.resize, crop=settings.crop)
    return sum(1 for _ in frames)


def decoding_rate(paths: list[Path], settings: ExtractSettings, *, processes: bool) -> float:
    """Return the seconds of video that all cores together decode in a second."""
    spawn = multiprocessing.get_context("spawn")
    pool: Executor = (
        ProcessPoolExecutor(CORES, mp_context=spawn) if processes else ThreadPoolExecutor(CORES)
    )
    with pool:
        one = partial(decode, settings=settings)
        list(pool.map(one, paths[:CORES]))  # processes import what they need
        began = time.perf_counter()
        frames = sum(pool.map(one, paths))
        return frames / settings.fps / (time.perf_counter() - began)


def nvdec_rate(path: Path, settings: ExtractSettings, device: str, *, times: int) -> float:
    """Return the seconds of video that torchcodec decodes in a second, on NVDEC if on CUDA.

    Raises:
        ImportError, RuntimeError: torchcodec is not installed, or not with this decoder.
    """
    from torchcodec.decoders import VideoDecoder

    def run() -> float:
        decoder = VideoDecoder(str(path), device=device)
        duration = float(decoder.metadata.duration_seconds or 0)
        ticks = list(np.arange(0, duration - 0.1, 1 / settings.fps))
        for first in range(0, len(ticks), 256):
            decoder.get_frames_played_at(seconds=ticks[first : first + 256])
        return duration

    run()
    sync_of(device)()
    began = time.perf_counter()
    decoded = sum(run() for _ in range(times))
    sync_of(device)()
    return decoded / (time.perf_counter() - began)


def whole_extraction(
    paths: list[Path], out: Path, settings: ExtractSettings, network: Backbone
) -> float:
    """Return the seconds of an extraction from video files to a feature file."""
    began = time.perf_counter()
    work = ThisProcess({"rgb": network})
    summary = extract_videos(paths, out, settings, overwrite=True, show_progress=False, engine=work)
    if len(summary.done) != len(paths):
        raise RuntimeError(f"not all videos were extracted: {summary}")
    return time.perf_counter() - began


def graph_seconds(network: Backbone, frames: Tensor) -> tuple[float, float]:
    """Return the seconds of a piece in the middle of a video: as it runs, and as a CUDA graph.

    A measure of what a graph could gain. A shipped one would have to copy what layers carry over
    into the graph's own memory, which adds a little.
    """
    passage, size = network.passage(), network.piece_frames
    sync = sync_of(str(network.device))
    with patch.object(network, "transfer", OnDevice()):
        push = partial(passage.push, frames[:size], last=False)  # type: ignore[arg-type]
        push()
        kept = dict(passage._carried._kept)

        def piece() -> None:
            passage._carried._kept = dict(kept)
            push()

        eager = seconds_of(piece, sync, repeats=20)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            piece()
        return eager, seconds_of(graph.replay, sync, repeats=20)


def compiled_seconds(network: Backbone, frames: Tensor) -> tuple[float, float]:
    """Return the seconds of a whole clip: as it runs, and through `torch.compile`."""
    sync = sync_of(str(network.device))
    clip = frames[: network.piece_frames].permute(3, 0, 1, 2)[None].to(network.dtype)
    compiled: Any = torch.compile(network.net)
    with torch.inference_mode():
        eager = seconds_of(lambda: network.net(clip), sync, repeats=10)
        return eager, seconds_of(lambda: compiled(clip), sync, repeats=10)


def new_length_seconds(network: Backbone, frames: Tensor, *, lengths: range) -> tuple[float, float]:
    """Return the seconds of clips that all differ in length: when first seen, and again.

    cuDNN chooses an algorithm for every shape that it has not seen.
    """
    sync = sync_of(str(network.device))

    def run() -> float:
        sync()
        began = time.perf_counter()
        for n in lengths:
            passage = network.passage()
            passage.push(frames[:n], last=True)  # type: ignore[arg-type]
        sync()
        return time.perf_counter() - began

    with patch.object(network, "transfer", OnDevice()):
        return run(), run()


@contextlib.contextmanager
def peak_memory(device: str) -> Iterator[Callable[[], float]]:
    """Yield a function that returns the most GiB that torch has held on the device since."""
    if not device.startswith("cuda"):
        yield lambda: 0.0
        return
    torch.cuda.reset_peak_memory_stats(device)
    yield lambda: torch.cuda.max_memory_allocated(device) / 2**30
