"""`tsatal extract`: videos to features, once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..extract.settings import ExtractSettings
from .options import ANY, DEVICE, FILE, settings_options

if TYPE_CHECKING:
    from ..extract.extractor import Summary


@click.command("extract")
@click.argument("videos", type=ANY)
@click.argument("out", type=FILE)
@click.option(
    "--annotations",
    type=FILE,
    help="ActivityNet-style JSON to embed.  [default: annotations.json inside VIDEOS]",
)
@settings_options(ExtractSettings, exclude=("device",))
@click.option("--overwrite", is_flag=True, help="Start the file anew.")
@click.option("--strict", is_flag=True, help="Stop at the first video that fails.")
@click.option(
    "--ray",
    metavar="local|auto|ADDRESS",
    help="Run on a Ray cluster: one of this machine's own, the one it is part of, or another.",
)
@DEVICE
def command(videos: Path, out: Path, **options: Any) -> None:
    """Turn VIDEOS (a file, a folder, or a .txt list) into features in OUT.

    Run it again to add new videos: those already in OUT are left alone. Interrupted, it keeps
    the finished ones. Started several times at once, here or on other machines that share OUT's
    folder, the processes share the videos.
    """
    from .. import pipeline

    finish(pipeline.extract(videos, out, **options))


def finish(summary: Summary) -> None:
    """Say what became of the videos, and end with the exit code that says the same."""
    lines = [f"failed: {reason}" for reason in summary.failed.values()]
    lines += [f"partial: {reason}" for reason in summary.partial.values()]
    if summary.failed:
        lines.append(f"failures are listed in {summary.out}.failed.json")
    if summary.interrupted:
        lines.append("interrupted; the finished videos are kept, and the same command goes on")
    click.echo("\n".join([*lines, str(summary)]))
    if summary.interrupted or summary.failed:
        click.get_current_context().exit(130 if summary.interrupted else 1)
