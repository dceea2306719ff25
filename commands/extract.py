"""`tsatal extract`: videos to features, once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import ANY, DEVICE, FILE

if TYPE_CHECKING:
    from ..extract.sharing.work import Summary


@click.command("extract")
@click.argument("videos", type=ANY)
@click.argument("out", type=FILE)
@click.option(
    "--annotations",
    type=FILE,
    help="ActivityNet-style JSON to embed.  [default: annotations.json inside VIDEOS]",
)
@click.option(
    "--weights",
    default="kinetics",
    show_default=True,
    metavar="kinetics|random|PATH",
    help="Downloaded once; random is for tests: its features are untrained.",
)
@click.option("--weights-sha256", metavar="HEX", help="Refuse weights with another digest.")
@click.option("--fps", default=10.0, show_default=True, help="Frames per second to look at.")
@click.option("--resize", default=128, show_default=True, help="Shorter side of a frame, pixels.")
@click.option("--crop", default=112, show_default=True, help="Side of the centred square, pixels.")
@click.option(
    "--segment",
    type=int,
    help="Frames per pass of the network.  [default: 64, on CUDA 256; without context 128]",
)
@click.option(
    "--context",
    default=18,
    show_default=True,
    help="Frames seen beyond a segment; 18 is exact, 0 the paper's cut.",
)
@click.option(
    "--projection",
    default="orthogonal",
    show_default=True,
    metavar="orthogonal|pca|FILE",
    help="From 2048 to 512; pca is fitted on a sample of VIDEOS; FILE is .npy, or a feature "
    "file to share the matrix of.",
)
@click.option("--flow", is_flag=True, help="Extract a second stream, of optical flow.")
@click.option(
    "--flow-method",
    type=click.Choice(["dis", "tvl1"]),
    default="dis",
    show_default=True,
    help="tvl1 needs opencv-contrib-python, and over a hundred times as long.",
)
@click.option(
    "--flow-weights",
    metavar="random|PATH",
    help="For the second stream.  [default: the first one's, averaged over colour]",
)
@click.option("--seed", default=0, show_default=True, help="Of random weights and projection.")
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="What the network computes in; auto is bfloat16 on CUDA, float32 on CPU.",
)
@click.option(
    "--store",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="What rows are stored in.",
)
@click.option(
    "--at-once",
    type=int,
    metavar="N",
    help="Videos that pass through the network by turns, each decoded by a thread of its own.  "
    "[default: 1, on CUDA one per core, at most 16]",
)
@click.option("--overwrite", is_flag=True, help="Start the file anew.")
@click.option("--strict", is_flag=True, help="Stop at the first video that fails.")
@click.option(
    "--ray",
    metavar="local|auto|ADDRESS",
    help="Run on a Ray cluster: one of this machine's own, the one it is part of, or another.",
)
@DEVICE
def command(
    videos: Path,
    out: Path,
    annotations: Path | None,
    overwrite: bool,
    strict: bool,
    ray: str | None,
    **settings: Any,
) -> None:
    """Turn VIDEOS (a file, a folder, or a .txt list) into features in OUT.

    Run it again to add new videos: those already in OUT are left alone. Interrupted, it keeps
    the finished ones. Started several times at once, here or on other machines that share OUT's
    folder, the processes share the videos.
    """
    from .. import pipeline
    from ..extract.settings import ExtractSettings

    summary = pipeline.extract(
        videos,
        out,
        ExtractSettings(**settings),
        annotations=annotations,
        overwrite=overwrite,
        strict=strict,
        ray=ray,
    )
    finish(summary)


def finish(summary: Summary) -> None:
    """Say what became of the videos, and end with the exit code that says the same."""
    click.echo(_account(summary))
    if summary.interrupted:
        click.get_current_context().exit(130)
    if summary.failed:
        click.get_current_context().exit(1)


def _account(summary: Summary) -> str:
    """Return what became of the videos, a line each for those that want attention."""
    elsewhere = f"{len(summary.elsewhere)} by other processes, " if summary.elsewhere else ""
    counts = (
        f"{summary.out}: {len(summary.done)} done ({summary.video_sec:.0f} s of video), "
        f"{len(summary.already)} already there, {elsewhere}{len(summary.failed)} failed, "
        f"{len(summary.partial)} partial"
    )
    lines = [f"failed: {reason}" for reason in summary.failed.values()]
    lines += [f"partial: {reason}" for reason in summary.partial.values()]
    if summary.failed:
        lines.append(f"failures are listed in {summary.out}.failed.json")
    if summary.interrupted:
        lines.append("interrupted; the finished videos are kept, and the same command goes on")
    return "\n".join([*lines, counts])
