"""Detect in a video of many steps; print seconds and the peak of memory.

    python benchmarks/long_video.py 12500 25000 50000 [--config strong] [--set key=value]

Each length runs in a process of its own: the head has random weights, the video random features.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
import torch

from tsatal.config import load_config
from tsatal.formats.features import TimeAxis
from tsatal.formats.subsets import Subsets
from tsatal.head.detector import Detector
from tsatal.head.run import RunData, build_head

CLASSES, WIDTH, STEP_SEC = 20, 512, 0.2


def detect(steps: int, preset: str, overrides: list[str]) -> str:
    """Return one line of the table: steps, hours, seconds, GiB, detections."""
    config = load_config(preset, overrides)
    labels = tuple(f"class {n}" for n in range(CLASSES))
    data = RunData("", ("rgb",), labels, Subsets("", "", ""), WIDTH, 10.0, {}, between_videos=1.0)
    head = build_head(config, data).eval()
    rows = np.random.default_rng(0).random((steps, WIDTH), dtype=np.float32)
    axis = TimeAxis(
        num_steps=steps,
        start_sec=STEP_SEC / 2,
        step_sec=STEP_SEC,
        duration_sec=steps * STEP_SEC,
    )
    started = time.perf_counter()
    found = Detector(head, config, data, torch.device("cpu"))(rows, axis).detections
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    hours = axis.duration_sec / 3600
    return f"{steps:8d} {hours:6.2f} {seconds:8.1f} {peak:6.2f} {len(found):10d}"


def main() -> None:
    """Read the command line, measure every length, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("steps", type=int, nargs="+")
    parser.add_argument("--config", default="strong")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="K=V")
    args = parser.parse_args()
    if len(args.steps) == 1:
        print(detect(args.steps[0], args.config, args.overrides))
        return
    print(f"{'steps':>8} {'hours':>6} {'seconds':>8} {'GiB':>6} {'detections':>10}")
    options = [f"--config={args.config}", *(f"--set={o}" for o in args.overrides)]
    for steps in args.steps:
        command = [sys.executable, __file__, str(steps), *options]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        print(done.stdout, end="", flush=True)


if __name__ == "__main__":
    main()
