"""Extraction on a GPU gives what it gives on the CPU; the same tests run on the CPU, too."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tsatal.cli import main
from tsatal.extract.backbones import device as devices
from tsatal.extract.backbones.family import Network
from tsatal.extract.backbones.i3d import DenseI3d
from tsatal.extract.backbones.i3d_r50 import Backbone, Passage, random_i3d
from tsatal.extract.backbones.inception import random_inception
from tsatal.formats.features import FeatureFile

from ..conftest import EACH_DEVICE
from .backbones.answers import noise
from .conftest import VideoWriter

# Of a row's norm; docs/extraction.md states both.
BOUNDS = {"float32": 1e-4, "bfloat16": 0.05}
OUT_OF_MEMORY = "CUDA out of memory. Tried to allocate 2.00 GiB."
SMALL = ("--weights", "random", "--crop", "32", "--resize", "32", "--width", "16")

Make = Callable[..., Network]


def i3d_r50(channels: int, width: int) -> Make:
    net = random_i3d(0, channels=channels, width=width)
    return lambda **where: Backbone(net, **where)


def i3d(channels: int, narrow: int, stride: int) -> Make:
    net = random_inception(0, channels=channels, narrow=narrow)
    return lambda **where: DenseI3d(net, stride=stride, **where)


# Every dense backbone: what makes it, the channels of its frames, and their side.
DENSE: dict[str, tuple[Callable[[], Make], int, int]] = {
    "i3d_r50": (lambda: i3d_r50(3, 16), 3, 64),
    "i3d_r50 flow": (lambda: i3d_r50(2, 16), 2, 64),
    "i3d every 8": (lambda: i3d(3, 16, 8), 3, 64),
    "i3d every 4": (lambda: i3d(3, 16, 4), 3, 64),
    "i3d every 2 flow": (lambda: i3d(2, 16, 2), 2, 64),
}
FULL: dict[str, tuple[Callable[[], Make], int, int]] = {
    "i3d_r50": (lambda: i3d_r50(3, 64), 3, 112),
    "i3d every 4": (lambda: i3d(3, 1, 4), 3, 224),
}


def apart(rows: np.ndarray, exact: np.ndarray) -> float:
    """How far rows are from others, of the norm of these, at most."""
    assert rows.shape == exact.shape and rows.dtype == exact.dtype == np.float32
    return float((np.linalg.norm(rows - exact, axis=1) / np.linalg.norm(exact, axis=1)).max())


def in_pieces(network: Network, frames: np.ndarray, lengths: list[int]) -> np.ndarray:
    """Rows of a video in pieces of these lengths, the next begun before the rows are taken."""
    passage, ends = network.passage(), np.cumsum(lengths)
    assert ends[-1] == len(frames)
    pieces = [frames[end - n : end] for n, end in zip(lengths, ends, strict=True)]
    waiting = [passage.push(p, last=n == len(pieces) - 1) for n, p in enumerate(pieces)]
    return np.concatenate([rows() for rows in waiting])


@EACH_DEVICE
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("name", DENSE)
def test_rows_are_those_of_the_cpu(name: str, dtype: str, device: str) -> None:
    make, channels, side = DENSE[name]
    network, frames = make(), noise(90, side, channels)
    exact = network(device="cpu", dtype="float32").rows(frames)
    there = network(device=device, dtype=dtype)
    for lengths in ([90], [40, 50], [24, 7, 3, 33, 22, 1]):
        assert apart(in_pieces(there, frames, lengths), exact) < BOUNDS[dtype], lengths


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("name", FULL)
def test_rows_at_full_width_are_those_of_the_cpu(name: str, dtype: str) -> None:
    make, channels, side = FULL[name]
    network, frames = make(), noise(48, side, channels)
    exact = network(device="cpu", dtype="float32").rows(frames)
    there = network(device="cuda", dtype=dtype)
    assert apart(in_pieces(there, frames, [32, 16]), exact) < BOUNDS[dtype]


@EACH_DEVICE
def test_videos_that_take_turns_do_not_meet(device: str) -> None:
    make, channels, side = DENSE["i3d_r50"]
    network = make()(device=device, dtype="float32")
    videos = [noise(120, side, channels, seed=n) for n in range(3)]
    passages = [network.passage() for _ in videos]
    rows: list[list[Callable[[], np.ndarray]]] = [[], [], []]
    for first in range(0, 120, 40):
        for found, passage, video in zip(rows, passages, videos, strict=True):
            found.append(passage.push(video[first : first + 40], last=first == 80))
    for found, video in zip(rows, videos, strict=True):
        assert apart(np.concatenate([r() for r in found]), network.rows(video)) < 1e-5


@EACH_DEVICE
def test_frames_may_be_overwritten_once_they_were_pushed(device: str) -> None:
    """Their memory is the decoder's again, though a copy may still be on its way."""
    make, channels, side = DENSE["i3d_r50"]
    network, frames = make()(device=device, dtype="float32"), noise(64, side, channels)
    exact, buffer = network.rows(frames), frames.copy()
    rows = network.passage().push(buffer, last=True)
    buffer[:] = 0
    assert apart(rows(), exact) < 1e-5


@pytest.fixture
def videos(write_video: VideoWriter, tmp_path: Path) -> Path:
    for name, frames in (("a", 90), ("b", 33), ("c", 3), ("d", 150), ("e", 60)):
        write_video(f"videos/{name}.mp4", range(0, 1000 * frames, 1000))
    return tmp_path / "videos"


def extract(videos: Path, out: Path, *options: str) -> tuple[int, str]:
    """Return the exit status of `tsatal extract`, and what it says."""
    result = CliRunner().invoke(main, ["extract", str(videos), str(out), *SMALL, *options])
    return result.exit_code, result.output


@EACH_DEVICE
def test_the_command_takes_a_device_by_number(videos: Path, tmp_path: Path, device: str) -> None:
    numbered = "cuda:0" if device == "cuda" else device
    here, there = tmp_path / "here.h5", tmp_path / "there.h5"
    assert extract(videos, here, "--device", "cpu", "--dtype", "float32")[0] == 0
    several = ("--dtype", "float32", "--at-once", "3")
    assert extract(videos, there, "--device", numbered, *several)[0] == 0
    with FeatureFile(here) as one, FeatureFile(there) as two:
        assert two.video_ids == list("abcde")
        for video_id in two.video_ids:
            assert apart(two.rows(video_id, ["rgb"]), one.rows(video_id, ["rgb"])) < 1e-4


@EACH_DEVICE
def test_two_processes_on_one_device_share_the_videos(
    videos: Path, tmp_path: Path, device: str
) -> None:
    out = tmp_path / "f.h5"
    command = [sys.executable, "-m", "tsatal", "extract", str(videos), str(out), *SMALL]
    command += ["--device", device, "--at-once", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    with FeatureFile(out) as file:
        assert file.video_ids == list("abcde")


def fill(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the device no memory once it was looked at; on a CPU this is only played."""
    monkeypatch.setattr(devices, "_try", lambda _: None)
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(1e-6)
        return

    def push(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError(OUT_OF_MEMORY)

    monkeypatch.setattr(Passage, "push", push)


@EACH_DEVICE
def test_out_of_memory_is_one_line(
    videos: Path, tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(device, monkeypatch)
    try:
        status, said = extract(videos, tmp_path / "f.h5", "--device", device)
    finally:
        if device == "cuda":
            torch.cuda.set_per_process_memory_fraction(1.0)
    assert status == 1 and "Traceback" not in said
    last = said.strip().splitlines()[-1]
    assert last.startswith("Error: out of memory (CUDA out of memory") and "--segment" in last


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (torch.OutOfMemoryError(OUT_OF_MEMORY), "out of memory (CUDA out of memory"),
        (RuntimeError("CUDA error: out of memory\nCompile with"), "out of memory (CUDA error"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "out of memory (cuDNN"),
        (RuntimeError("CUDA error: an illegal memory access was"), "the GPU failed (CUDA error"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "the GPU failed (cuDNN"),
    ],
)
def test_what_a_gpu_fails_with_is_one_line(
    videos: Path, tmp_path: Path, error: Exception, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def push(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Passage, "push", push)
    status, said = extract(videos, tmp_path / "f.h5", "--device", "cpu")
    assert status == 1 and said.strip().splitlines()[-1].startswith(f"Error: {line}")
