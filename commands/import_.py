"""`tsatal import`: published features into a feature file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import quantity
from ..exchange.layouts import ImportSettings
from .options import ANY, FILE, WHOLE, named, say, settings_options, when_stopped


@click.command("import")
@click.argument("source", type=ANY)
@click.argument("out", type=FILE)
@click.option(
    "--annotations",
    type=ANY,
    help="ActivityNet-style JSON to embed; durations and frame rates are taken from it.",
)
@click.option("--flow", type=ANY, help="Where the second stream is, if not in SOURCE.")
@click.option(
    "--video-info",
    type=FILE,
    help="A .csv or .json with frame rates and the like for each video, as BSN's and BMN's.",
)
@settings_options(ImportSettings)
@click.option("--overwrite", is_flag=True, help="Replace OUT.")
def command(
    source: Path,
    out: Path,
    annotations: Path | None,
    flow: Path | None,
    video_info: Path | None,
    overwrite: bool,
    **settings: Any,
) -> None:
    """Turn published features in SOURCE (a folder, or an HDF5 file) into OUT.

    \b
    tsatal import i3d_features/ thumos.h5 --annotations thumos14.json \\
        --format actionformer --stride-frames 4 --window-frames 16
    """
    when_stopped(WHOLE)
    from ..exchange.importer import import_features

    summary = import_features(
        source,
        out,
        ImportSettings(**settings),
        annotations=annotations,
        flow=flow,
        video_info=video_info,
        overwrite=overwrite,
    )
    # A line for each kind of video that wants attention, then the counts.
    misfits = [f"{name} ({share:.2f})" for name, share in summary.misfits.items()]
    lines = [
        *summary.notes,
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
        lines.append(f"{summary.others} arrays have other names than --prefix and the suffixes say")
    counts = (
        f"{summary.out}: {quantity(len(summary.matched), 'video')} matched, "
        f"{len(summary.missing)} missing, "
        f"{len(summary.unlabelled) + len(summary.skipped)} unlabelled, {len(summary.failed)} failed"
    )
    say(*lines, counts)
    if summary.failed:
        click.get_current_context().exit(1)
