"""What extraction costs, as ratios of two things timed in turn in the same run.

    python benchmarks/bench_extract.py [a b c d e f g] [--repeats 5] [--video FILE]

a  our network over the stock pytorchvideo forward, on the same clip
b  extraction of a 60 s video over our bare network on the same frames
c  the usual sliding windows (16 frames every 4) over ours, exact, per second of video
d  extraction with a network that sleeps 0.35 s per 128 frames, over max(decoding, network)
e  peak memory with a 60-minute video over a 1-minute one
f  rows in bfloat16 against float32: largest difference over the row's norm (no timing)
g  videos one after the other over as many at once as there are cores, without a network's time

Weights are random, which changes no cost. Medians; the spread is printed beside them.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import torch

from tsatal.extract.backbones.i3d_r50 import PIECE_FRAMES, Backbone, normalise, random_i3d
from tsatal.extract.engine import ThisProcess
from tsatal.extract.extractor import extract_videos
from tsatal.extract.settings import ExtractSettings
from tsatal.extract.stitch import PAPER_SEGMENT
from tsatal.extract.video import read_frames

Clock = Callable[[], float]

SETTINGS = ExtractSettings(weights="random", device="cpu")
VIDEO_FRAMES, WINDOW, BATCH = 512, 16, 8  # of (c)
SLEEP_SEC = 0.35


def timed(call: Callable[[], object], clock: Clock) -> float:
    """Return the seconds of one call."""
    began = clock()
    call()
    return clock() - began


def in_turn(
    repeats: int, *calls: Callable[[], object], clock: Clock = time.perf_counter
) -> list[list[float]]:
    """Return the seconds of every call, timed A B A B ... after one warm-up each."""
    for call in calls:
        call()
    rounds = [[timed(call, clock) for call in calls] for _ in range(repeats)]
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


def compare_networks(repeats: int, clock: Clock) -> None:
    """(a)"""
    net, frames = random_i3d(0), noise(PAPER_SEGMENT + 2 * SETTINGS.context)
    ours = Backbone(net)

    @torch.inference_mode()
    def stock() -> None:
        net(normalise(torch.from_numpy(frames)).contiguous())

    seconds = in_turn(repeats, lambda: ours.rows(frames), stock, clock=clock)
    report("a", "our network / stock forward", *seconds)


def compare_extraction(repeats: int, video: Path, out: Path) -> None:
    """(b)"""
    backbone = Backbone(random_i3d(0))
    frames = np.stack(list(read_frames(video)))
    engine = ThisProcess({"rgb": backbone})

    def extract() -> None:
        extract_videos([video], out, SETTINGS, overwrite=True, show_progress=False, engine=engine)

    seconds = in_turn(repeats, extract, lambda: backbone.rows(frames))
    report("b", f"extract {len(frames) / 10:.0f} s of video / bare network", *seconds)


def compare_windows(repeats: int, stride: int, clock: Clock) -> None:
    """(c)"""
    backbone = Backbone(random_i3d(0))
    long = noise(VIDEO_FRAMES + WINDOW)
    starts = range(0, VIDEO_FRAMES, stride)

    @torch.inference_mode()
    def sliding() -> None:
        for first in range(0, len(starts), BATCH):
            windows = [long[s : s + WINDOW] for s in starts[first : first + BATCH]]
            batch = torch.cat([normalise(torch.from_numpy(w)) for w in windows])
            backbone.net(batch.contiguous(memory_format=torch.channels_last_3d)).mean(1)

    ours = long[:VIDEO_FRAMES]
    seconds = in_turn(repeats, sliding, lambda: backbone.rows(ours), clock=clock)
    what = f"{WINDOW}-frame windows every {stride} / ours, exact, per second of video"
    report("c", what, *seconds)


class Sleeping:
    """A network that takes its time without using the processor.

    Args:
        segment: frames per piece, however many the last one has.
        seconds: for 128 frames.
    """

    piece_frames, ahead = PIECE_FRAMES["cpu"], 0

    def __init__(self, segment: int, *, seconds: float = SLEEP_SEC) -> None:
        self.seconds = seconds * segment / PAPER_SEGMENT

    def passage(self) -> Sleeping:
        """Return what takes a video's frames."""
        return self

    def push(self, frames: np.ndarray, *, last: bool) -> Callable[[], np.ndarray]:
        """Return rows of zeros, after a while."""
        time.sleep(self.seconds)
        return lambda: np.zeros((max(len(frames) // 2, 1), 2048), np.float32)


def compare_overlap(repeats: int, video: Path, out: Path, segment: int) -> None:
    """(d)"""
    network, settings = Sleeping(segment), SETTINGS.changed(segment=segment)
    frames = sum(1 for _ in read_frames(video))
    network_sec = -(-frames // segment) * network.seconds

    def extract() -> None:
        engine = ThisProcess({"rgb": network})  # type: ignore[dict-item]
        extract_videos([video], out, settings, overwrite=True, show_progress=False, engine=engine)

    def decode() -> None:
        for _ in read_frames(video):
            pass

    whole, decoding = in_turn(repeats, extract, decode)
    longest = [max(d, network_sec) for d in decoding]
    minutes, decode_sec = frames / 600, statistics.median(decoding)
    what = f"extract {minutes:.1f} minutes / max(decode {decode_sec:.2f} s, network)"
    report("d", f"pieces of {segment} frames, {what}", whole, longest)


def compare_decoders(repeats: int, video: Path, folder: Path) -> None:
    """(g) What bounds a GPU: the stand-in takes no time, as good as a fast network."""
    cores, segment = os.cpu_count() or 1, PIECE_FRAMES["cuda"]
    videos = [folder / f"copy{n}{video.suffix}" for n in range(2 * cores)]
    for copy in videos:
        shutil.copy(video, copy)
    network = Sleeping(segment, seconds=0.0)

    def extract(at_once: int) -> None:
        settings = SETTINGS.changed(segment=segment, at_once=at_once)
        engine = ThisProcess({"rgb": network})  # type: ignore[dict-item]
        out = folder / "g.h5"
        extract_videos(videos, out, settings, overwrite=True, show_progress=False, engine=engine)

    seconds = in_turn(repeats, lambda: extract(1), lambda: extract(cores))
    what = f"{len(videos)} videos of one minute, one after the other / {cores} at once"
    report("g", what, *seconds)


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
    parser.add_argument("parts", nargs="*", default=list("abcdefg"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--video", type=Path, help="for b, d, f and g, instead of a synthetic one")
    parser.add_argument("--memory-crop", type=int, default=32)
    parser.add_argument(
        "--processor", action="store_true", help="time a and c by the processor, on a busy machine"
    )
    options = parser.parse_args()
    clock = time.process_time if options.processor else time.perf_counter
    logging.basicConfig(level=logging.ERROR)
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.repeats} repeats"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = options.video or write_video(folder / "minute.mp4", 60)
        if "a" in options.parts:
            compare_networks(options.repeats, clock)
        if "b" in options.parts:
            compare_extraction(options.repeats, video, folder / "b.h5")
        if "c" in options.parts:
            compare_windows(options.repeats, 4, clock)
            compare_windows(options.repeats, 2, clock)
        if "d" in options.parts:
            five = repeat_video(video, folder / "five.mp4", 5)
            for segment in (PAPER_SEGMENT, PIECE_FRAMES["cpu"]):
                for watched in (video, five):
                    compare_overlap(options.repeats, watched, folder / "d.h5", segment)
        if "e" in options.parts:
            compare_memory(video, folder, options.memory_crop)
        if "f" in options.parts:
            compare_precision(video)
        if "g" in options.parts:
            compare_decoders(options.repeats, video, folder)


if __name__ == "__main__":
    main()
