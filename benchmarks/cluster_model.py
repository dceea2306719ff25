"""What limits an extraction by many GPUs: hours of each stage, on paper, from rates.

    python benchmarks/cluster_model.py [--hours 10000] [--gpus 64] [--shards 64] ...
    python benchmarks/cluster_model.py --measure FOLDER

Rates are arguments. Their defaults are of two kinds: decoding and files were measured (files by
`--measure`, on the disk of a busy machine); a GPU's and a network file system's are assumptions,
marked so. Stages that run at the same time are limited by the slowest; putting files together comes
after them.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tsatal.extract.sharing.parts import Parts, read_existing
from tsatal.formats.features import VideoFeatures

STEP_SEC, WIDTH, BYTES = 0.2, 512, 4  # of a row: the default backbone's, in float32
MEASURED_VIDEOS, MEASURED_SEC = 300, 300


@dataclass(frozen=True)
class Cluster:
    """Sizes and rates; times are per video, rates per second."""

    hours: float
    gpus: int
    cores_per_gpu: int
    shards: int
    video_minutes: float
    megabit: float
    decode: float
    network: float
    storage_mb: float
    write_ms: float
    open_ms: float
    assemble_mb: float
    confirm_ms: float

    @property
    def seconds(self) -> float:
        """Of video in all."""
        return 3600 * self.hours

    @property
    def videos(self) -> float:
        """The number of videos."""
        return self.seconds / (60 * self.video_minutes)

    @property
    def gigabytes(self) -> float:
        """Of rows in all."""
        return self.seconds / STEP_SEC * WIDTH * BYTES / 1e9


def at_once(c: Cluster) -> dict[str, float]:
    """Return the hours of the stages that run at the same time, if each ran alone."""
    read_mb = c.seconds * c.megabit / 8
    return {
        "decoding": c.seconds / (c.gpus * c.cores_per_gpu * c.decode) / 3600,
        "network": c.seconds / (c.gpus * c.network) / 3600,
        "file system, videos read": read_mb / c.storage_mb / 3600,
        "file system, rows written": 1000 * c.gigabytes / c.storage_mb / 3600,
        "parts written, by each process": c.videos / c.gpus * c.write_ms / 1000 / 3600,
    }


def through_ray(c: Cluster) -> float:
    """Return the hours that the one process takes that writes all parts of a Ray extraction."""
    return c.videos * c.write_ms / 1000 / 3600


def afterwards(c: Cluster, shards: int) -> dict[str, float]:
    """Return the hours of what comes after, if the rows go into so many files at a time.

    A shard is put together by one process, and looked through by each that worked on it, in turn.
    """
    videos, megabytes = c.videos / shards, 1000 * c.gigabytes / shards
    processes = max(c.gpus / shards, 1)
    return {
        "parts opened": 2 * videos * c.open_ms / 1000 / 3600,
        "rows copied": max(megabytes / c.assemble_mb, shards * megabytes * 2 / c.storage_mb) / 3600,
        "looked through by all": processes * videos * c.confirm_ms / 1000 / 3600,
    }


def report(c: Cluster) -> list[str]:
    """Return the model as lines of text."""
    stages = at_once(c)
    slowest = max(stages, key=lambda name: stages[name])
    limit = stages[slowest]
    lines = [
        f"{c.hours:,.0f} hours in {c.videos:,.0f} videos, {c.gigabytes:,.0f} GB of rows; "
        f"{c.gpus} GPUs with {c.cores_per_gpu} cores each",
        "at the same time:",
        *(f"  {name:34} {hours:8.2f} h" for name, hours in stages.items()),
        f"  limited by: {slowest}, {limit:.2f} h; through --ray, one process writes all parts: "
        f"{through_ray(c):.2f} h",
    ]
    for shards in (1, c.shards):
        after = afterwards(c, shards)
        lines.append(f"after them, into {shards} file{'s' * (shards > 1)}:")
        lines += [f"  {name:34} {hours:8.2f} h" for name, hours in after.items()]
        total = sum(after.values())
        lines.append(f"  {'together':34} {total:8.2f} h, {total / limit:.1f} times the extraction")
    return lines


def seconds_of(call: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measure(folder: Path) -> list[str]:
    """Return what files cost in a folder: parts written, opened, put together, looked through."""
    out = folder / "model.h5"
    parts = Parts(out, {"extractor": "model"})
    rows = np.random.default_rng(0).random((round(MEASURED_SEC / STEP_SEC), WIDTH), np.float32)
    videos = [
        VideoFeatures(f"v{n:05d}", {"rgb": rows}, 0.1, STEP_SEC, MEASURED_SEC, {"fingerprint": "x"})
        for n in range(MEASURED_VIDEOS)
    ]
    try:
        write = seconds_of(lambda: [parts.write(video) for video in videos])
        find = seconds_of(parts.find)
        assemble = seconds_of(
            lambda: parts.assemble(annotations_text=None, projections={}, fresh=True)
        )
        confirm = seconds_of(lambda: read_existing(out, parts.provenance))
    finally:
        out.unlink(missing_ok=True)
        shutil.rmtree(parts.folder, ignore_errors=True)
    megabytes = MEASURED_VIDEOS * rows.nbytes / 1e6
    per_video = 1000 / MEASURED_VIDEOS
    return [
        f"{MEASURED_VIDEOS} videos of {MEASURED_SEC} s, {megabytes:,.0f} MB",
        f"--write-ms {write * per_video:.1f}    a part written, {rows.nbytes / 1e6:.1f} MB",
        f"--open-ms {find * per_video:.2f}    a part opened",
        f"--assemble-mb {megabytes / (assemble - find):,.0f}    MB copied in a second",
        f"--confirm-ms {confirm * per_video:.2f}    a video looked up in the file",
    ]


def main() -> None:
    """Print the model, or measure what it needs of files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    say = parser.add_argument
    say("--measure", type=Path, metavar="FOLDER", help="measure files there, and end")
    say("--hours", type=float, default=10_000, help="of video")
    say("--gpus", type=int, default=64)
    say("--cores-per-gpu", type=int, default=16)
    say("--shards", type=int, default=64, help="files that the rows go into")
    say("--video-minutes", type=float, default=5, help="of one video")
    say("--megabit", type=float, default=1.0, help="of a second of video")
    say("--decode", type=float, default=29.0, help="seconds of video that a core decodes in one")
    say("--network", type=float, default=3000.0, help="the same of a GPU's network (assumed)")
    say("--storage-mb", type=float, default=2000.0, help="of the file system, MB/s (assumed)")
    say("--write-ms", type=float, default=30.0, help="of a part")
    say("--open-ms", type=float, default=5.0, help="of a part")
    say("--assemble-mb", type=float, default=70.0, help="that one process puts together, MB/s")
    say("--confirm-ms", type=float, default=1.4, help="of a video in the file")
    options = vars(parser.parse_args())
    folder = options.pop("measure")
    print("\n".join(measure(folder) if folder else report(Cluster(**options))))


if __name__ == "__main__":
    main()
