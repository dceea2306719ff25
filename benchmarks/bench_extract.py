"""What extraction costs, as ratios of two things timed in turn in the same run.

    python benchmarks/bench_extract.py [a b c d e f] [--repeats 5] [--video FILE]

a  our network over the stock pytorchvideo forward, on the same clip
b  extraction of a 60 s video over our bare network on the same passes
c  the usual sliding windows (16 frames every 4) over ours, per second of video, with context
d  extraction with a network that sleeps 0.35 s per segment, over max(decoding, network)
e  peak memory with a 60-minute video over a 1-minute one
f  rows in bfloat16 against float32: largest difference over the row's norm (no timing)

Weights are random, which changes no cost. Medians; the spread is printed beside them.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import torch

from tsatal.extract.backbone import Backbone, normalise, random_i3d
from tsatal.extract.extractor import ThisProcess, extract_videos
from tsatal.extract.settings import ExtractSettings
from tsatal.extract.stitch import cut_segments
from tsatal.extract.video import read_frames

SETTINGS = ExtractSettings(weights="random", device="cpu")
PAPER_SEGMENT = 128  # frames
SLEEP_SEC = 0.35


def timed(call: Callable[[], object]) -> float:
    """Return the wall seconds of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def in_turn(repeats: int, *calls: Callable[[], object]) -> list[list[float]]:
    """Return the seconds of every call, timed A B A B ... after one warm-up each."""
    for call in calls:
        call()
    rounds = [[timed(call) for call in calls] for _ in range(repeats)]
    return [list(column) for column in zip(*rounds, strict=True)]


def report(letter: str, what: str, above: list[float], below: list[float]) -> None:
    """Print the median of the pairwise ratios, their range, and the medians themselves."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    print(
        f"({letter}) {what}: {statistics.median(ratios):.3f} "
        f"[{min(ratios):.3f} .. {max(ratios):.3f}]   "
        f"{statistics.median(above):.3f} s / {statistics.median(below):.3f} s",
        flush=True,
    )


def noise(frames: int, side: int = 112) -> np.ndarray:
    """Return random frames, (frames, side, side, 3) uint8."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (frames, side, side, 3), dtype=np.uint8)


def write_video(path: Path, seconds: int, *, size: tuple[int, int] = (640, 360)) -> Path:
    """Write H.264 at 30 fps: a texture that drifts over a still one, with grain."""
    rng = np.random.default_rng(0)
    width, height = size
    still = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    still = still.repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for n in range(30 * seconds):
            grain = rng.integers(0, 16, (height, width, 1), dtype=np.uint8)
            image = np.roll(still, n * 2, axis=1) // 2 + grain
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def repeat_video(source: Path, path: Path, times: int) -> Path:
    """Write a video that is `source` over and over, without encoding again."""
    with av.open(str(path), "w") as out, av.open(str(source)) as first:
        copy = out.add_stream_from_template(first.streams.video[0])
        offset = 0
        for _ in range(times):
            with av.open(str(source)) as container:
                stream = container.streams.video[0]
                for packet in container.demux(stream):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    packet.stream = copy
                    out.mux(packet)
                offset += stream.duration or 0
    return path


def compare_networks(repeats: int) -> None:
    """(a)"""
    net, frames = random_i3d(0), noise(PAPER_SEGMENT + 2 * SETTINGS.context)
    ours = Backbone(net)

    @torch.inference_mode()
    def stock() -> None:
        net(normalise(torch.from_numpy(frames)).contiguous())

    report("a", "our network / stock forward", *in_turn(repeats, lambda: ours.rows(frames), stock))


def compare_extraction(repeats: int, video: Path, out: Path) -> None:
    """(b)"""
    backbone = Backbone(random_i3d(0))
    frames = list(read_frames(video))
    passes = [
        s.frames
        for s in cut_segments(frames, segment=SETTINGS.pass_frames, context=SETTINGS.context)
    ]
    engine = ThisProcess({"rgb": backbone})

    def extract() -> None:
        extract_videos([video], out, SETTINGS, overwrite=True, show_progress=False, engine=engine)

    def bare() -> None:
        for clip in passes:
            backbone.rows(clip)

    seconds = in_turn(repeats, extract, bare)
    report("b", f"extract {len(frames) / 10:.0f} s of video / bare network", *seconds)


def compare_windows(repeats: int, stride: int) -> None:
    """(c)"""
    backbone = Backbone(random_i3d(0))
    long = noise(SETTINGS.pass_frames + 2 * SETTINGS.context)
    starts = range(0, SETTINGS.pass_frames, stride)  # as much video as one of our passes

    @torch.inference_mode()
    def sliding() -> None:
        for first in range(0, len(starts), 8):
            windows = [long[s : s + 16] for s in starts[first : first + 8]]
            batch = torch.cat([normalise(torch.from_numpy(w)) for w in windows])
            backbone.net(batch.contiguous(memory_format=torch.channels_last_3d)).mean(1)

    seconds = in_turn(repeats, sliding, lambda: backbone.rows(long))
    what = f"16-frame windows every {stride} / ours with context, per second of video"
    report("c", what, *seconds)


class Sleeping:
    """A network that takes its time without using the processor."""

    def rows(self, frames: np.ndarray) -> np.ndarray:
        """Return rows of zeros after SLEEP_SEC."""
        time.sleep(SLEEP_SEC)
        return np.zeros((max(len(frames) // 2, 1), 2048), np.float32)


def compare_overlap(repeats: int, video: Path, out: Path) -> None:
    """(d)"""
    settings = replace(SETTINGS, segment=PAPER_SEGMENT)
    segments = -(-sum(1 for _ in read_frames(video)) // PAPER_SEGMENT)

    def extract() -> None:
        engine = ThisProcess({"rgb": Sleeping()})  # type: ignore[dict-item]
        extract_videos([video], out, settings, overwrite=True, show_progress=False, engine=engine)

    def decode() -> None:
        for _ in read_frames(video):
            pass

    whole, decoding = in_turn(repeats, extract, decode)
    longest = [max(d, segments * SLEEP_SEC) for d in decoding]
    minutes = segments * PAPER_SEGMENT / 600
    decode_sec = statistics.median(decoding)
    what = f"extract {minutes:.1f} minutes / max(decode {decode_sec:.2f} s, network)"
    report("d", what, whole, longest)


CHILD = """
import resource, sys
from pathlib import Path
from tsatal.extract.extractor import extract_videos
from tsatal.extract.settings import ExtractSettings
settings = ExtractSettings(weights="random", device="cpu", crop={crop}, resize={crop})
extract_videos([Path(sys.argv[1])], sys.argv[2], settings, overwrite=True, show_progress=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def compare_memory(minute: Path, folder: Path, crop: int) -> None:
    """(e) The real network, at a small crop so that an hour of video takes minutes."""
    hour = repeat_video(minute, folder / "hour.mp4", 60)
    peaks = []
    for video in (hour, minute):
        child = [sys.executable, "-c", CHILD.format(crop=crop), str(video), str(folder / "e.h5")]
        done = subprocess.run(child, check=True, capture_output=True, text=True)
        peaks.append(int(done.stdout.split()[-1]) / 1024)
    print(
        f"(e) peak memory, 60 minutes / 1 minute at {crop} px: {peaks[0] / peaks[1]:.3f}   "
        f"{peaks[0]:.0f} MiB / {peaks[1]:.0f} MiB"
    )


def compare_precision(video: Path) -> None:
    """(f)"""
    frames = np.stack(list(read_frames(video))[:164])
    exact, rough = (Backbone(random_i3d(0), dtype=d).rows(frames) for d in ("float32", "bfloat16"))
    error = np.linalg.norm(rough - exact, axis=1) / np.linalg.norm(exact, axis=1)
    print(
        f"(f) bfloat16 against float32, {len(frames)} frames: at most {error.max():.4f} of the norm"
    )


def main() -> None:
    """Run the parts that are named, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=list("abcdef"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--video", type=Path, help="for b, d and f, instead of a synthetic one")
    parser.add_argument("--memory-crop", type=int, default=32)
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.repeats} repeats"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = options.video or write_video(folder / "minute.mp4", 60)
        if "a" in options.parts:
            compare_networks(options.repeats)
        if "b" in options.parts:
            compare_extraction(options.repeats, video, folder / "b.h5")
        if "c" in options.parts:
            compare_windows(options.repeats, 4)
            compare_windows(options.repeats, 2)
        if "d" in options.parts:
            compare_overlap(options.repeats, video, folder / "d.h5")
            five = repeat_video(video, folder / "five.mp4", 5)
            compare_overlap(options.repeats, five, folder / "d.h5")
        if "e" in options.parts:
            compare_memory(video, folder, options.memory_crop)
        if "f" in options.parts:
            compare_precision(video)


if __name__ == "__main__":
    main()
