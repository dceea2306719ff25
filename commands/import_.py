"""`tsatal import`: published features into a feature file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import ANY, FILE, named

if TYPE_CHECKING:
    from ..exchange.importer import ImportSummary

POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command("import")
@click.argument("source", type=ANY)
@click.argument("out", type=FILE)
@click.option(
    "--format",
    "layout",
    type=click.Choice(["actionformer", "opentad", "bmn", "activitynet-h5", "npy"]),
    required=True,
    help="Whose layout SOURCE has; see docs/published_features.md.",
)
@click.option(
    "--annotations",
    type=FILE,
    help="ActivityNet-style JSON to embed; durations and frame rates are taken from it.",
)
@click.option("--flow", type=ANY, help="Where the second stream is.")
@click.option(
    "--fps",
    type=POSITIVE,
    help="Frames per second that the features were computed at.  [default: each video's in the "
    "JSON: 'fps', or 'frame' by 'duration']",
)
@click.option("--stride-frames", type=POSITIVE, help="Frames from one row to the next.")
@click.option("--window-frames", type=POSITIVE, help="Frames that one row sees, first to last.")
@click.option(
    "--offset-frames",
    type=click.FloatRange(min=0),
    help="The frame that row 0 stands for.  [default: the middle of its window]",
)
@click.option(
    "--resized", is_flag=True, help="Rows are spread evenly over each video, as bmn's always are."
)
@click.option(
    "--video-info",
    type=FILE,
    help="A .csv or .json with frame rates and the like for each video, as BSN's and BMN's.",
)
@click.option(
    "--prefix", help="What stands before the id in a name.  [default: v_ is found by itself]"
)
@click.option("--suffix", default="", help="What stands after it, before the file's ending.")
@click.option("--key", help="The array's name, where .npz, .pt or HDF5 hold several.")
@click.option(
    "--transpose/--no-transpose",
    default=None,
    help="Arrays are (D, T), or (T, D).  [default: found out by sizes and durations]",
)
@click.option(
    "--split-at", type=click.IntRange(min=1), help="So many values of a row are rgb, the rest flow."
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="What rows are stored in.",
)
@click.option("--overwrite", is_flag=True, help="Replace OUT.")
def command(
    source: Path,
    out: Path,
    annotations: Path | None,
    flow: Path | None,
    video_info: Path | None,
    overwrite: bool,
    **options: Any,
) -> None:
    """Turn published features in SOURCE (a folder, or an HDF5 file) into OUT.

    \b
    tsatal import i3d_features/ thumos.h5 --annotations thumos14.json \\
        --format actionformer --stride-frames 4 --window-frames 16
    """
    from ..exchange import importer

    summary = importer.import_features(
        source,
        out,
        _settings(**options),
        annotations=annotations,
        flow=flow,
        video_info=video_info,
        overwrite=overwrite,
    )
    click.echo(_import_account(summary))
    if summary.failed:
        click.get_current_context().exit(1)


def _settings(
    *,
    layout: str,
    fps: float | None,
    stride_frames: float | None,
    window_frames: float | None,
    offset_frames: float | None,
    resized: bool,
    prefix: str | None,
    suffix: str,
    **rest: Any,
) -> Any:
    from ..exchange.ids import Naming
    from ..exchange.layouts import Layout
    from ..exchange.settings import ImportSettings

    times = Layout(
        format=layout,
        fps=fps,
        stride_frames=stride_frames,
        window_frames=window_frames,
        offset_frames=offset_frames,
        resized=resized,
    )
    return ImportSettings(layout=times, naming=Naming(prefix, suffix), **rest)


def _import_account(summary: ImportSummary) -> str:
    """Return what became of the videos, a line each for those that want attention."""
    misfits = [f"{name} ({share:.2f})" for name, share in summary.misfits.items()]
    lines = [
        *(f"failed: {reason}" for reason in summary.failed.values()),
        *named("warning: rows cover another share of the duration than 1 (is --fps or "
                "--stride-frames wrong?)", misfits),
        *named("one stream was cut to the other's length", list(summary.trimmed)),
        *named("missing", summary.missing),
        *named("unlabelled", summary.unlabelled),
        *named("not imported, unlabelled and so without a frame rate or duration",
                summary.skipped),
    ]  # fmt: skip
    if summary.transposed:
        lines.append("arrays are width by rows (D, T), and were transposed")
    if summary.others:
        lines.append(f"{summary.others} arrays have other names than --prefix and --suffix say")
    counts = (
        f"{summary.out}: {len(summary.matched)} videos matched, {len(summary.missing)} missing, "
        f"{len(summary.unlabelled) + len(summary.skipped)} unlabelled, {len(summary.failed)} failed"
    )
    return "\n".join([*lines, counts])
