"""How fast the Inception I3D runs against a plain port of it, on the same frames, in turn.

    OMP_NUM_THREADS=2 python benchmarks/bench_backbones.py --threads 2

The plain port is what the field uses: convolutions, batch norms and poolings one after the other,
NCDHW, dense over all frames at once. Ours goes piece by piece, as in an extraction. Weights are
random, which does not change the time. What counts is the ratio, of the medians.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from functools import partial

import click
import numpy as np
import torch

from tsatal.extract.backbones.i3d import DenseI3d, in_range
from tsatal.extract.backbones.inception import InceptionI3d, random_inception


def timed(function: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


@torch.inference_mode()
def plain_rows(net: InceptionI3d, frames: np.ndarray) -> np.ndarray:
    """Return the plain port's rows of all frames at once, a row every 8 frames."""
    clip = in_range(torch.from_numpy(frames)[None]).contiguous()
    rows: np.ndarray = net(clip).mean(dim=(3, 4))[0].T.numpy()
    return rows


@click.command()
@click.option("--threads", default=2, show_default=True)
@click.option("--frames", default=128, show_default=True, help="A multiple of 8.")
@click.option("--crop", default=224, show_default=True)
@click.option("--rounds", default=5, show_default=True)
def main(threads: int, frames: int, crop: int, rounds: int) -> None:
    """Print the seconds of both, their ratio, and how far their rows are apart."""
    torch.set_num_threads(threads)
    net = random_inception(0)
    video = np.random.default_rng(0).integers(0, 256, (frames, crop, crop, 3), dtype=np.uint8)
    dense = {stride: DenseI3d(net, stride=stride) for stride in (8, 4, 2)}
    ways: dict[str, Callable[[], np.ndarray]] = {"plain": partial(plain_rows, net, video)}
    ways |= {f"dense, every {stride}": partial(d.rows, video) for stride, d in dense.items()}
    plain, ours = plain_rows(net, video), dense[8].rows(video)
    apart = np.linalg.norm(plain - ours, axis=1) / np.linalg.norm(plain, axis=1)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):  # in turn, so that another program slows all of them
        for name, way in ways.items():
            seconds[name].append(timed(way))
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    print(f"{frames} frames of {crop} px, {threads} threads, torch {torch.__version__}")
    for name, median in medians.items():
        share = median / medians["plain"]
        print(f"{name:16} {median:6.2f} s  {frames / median:6.1f} frames/s  {share:5.2f} of plain")
    print(f"rows are apart by {apart.max():.1e} of their norm at most")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
