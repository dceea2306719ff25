"""`tsatal extract`: videos to features, once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..extract.settings import PRESETS, ExtractSettings
from .options import (
    ANY,
    DEVICE,
    FILE,
    LABEL_FPS,
    SPLIT,
    exit_status,
    say,
    settings_options,
    split_seed,
    when_stopped,
)

if TYPE_CHECKING:
    from ..extract.extractor import Summary


@click.command("extract")
@click.argument("videos", type=ANY)
@click.argument("out", type=FILE)
@click.option(
    "--annotations",
    type=ANY,
    help="Labels of any tool, to embed.  [default: annotations.json inside VIDEOS]",
)
@click.option(
    "--config",
    type=click.Choice([*PRESETS]),
    help="Settings by name, under those that are typed: paper takes RGB and flow at 10 frames per "
    "second and 112 pixels, in pieces of 128 frames, without a projection.",
)
@SPLIT
@split_seed()
@LABEL_FPS
@settings_options(ExtractSettings, exclude=("device",))
@click.option("--overwrite", is_flag=True, help="Start the file anew.")
@click.option("--strict", is_flag=True, help="Stop at the first video that fails.")
@click.option(
    "--ray",
    metavar="local|auto|ADDRESS",
    help="Run on a Ray cluster: one of this machine's own, the one it is part of, or another.",
)
@DEVICE
def command(videos: Path, out: Path, config: str | None, **options: Any) -> None:
    """Turn VIDEOS (a file, a folder, or a .txt list) into features in OUT.

    Run it again to add new videos: those already in OUT are left alone. Interrupted, it keeps
    the finished ones. Started several times at once, here or on other machines that share OUT's
    folder, the processes share the videos.
    """
    when_stopped("the finished videos are kept, and the same command goes on")
    from .. import pipeline
    from ..extract.images import is_image_folder

    source_of = click.get_current_context().get_parameter_source
    typed = {name for name in options if source_of(name) is ParameterSource.COMMANDLINE}
    if videos.is_dir() and is_image_folder(videos) and "fps" in typed:
        # Of images alone, --fps says both: how many there are in a second, and are looked at.
        options["assume_fps"] = options["assume_fps"] or options["fps"]
        typed.add("assume_fps")
    if config:  # its settings come before the defaults of options
        options = {name: value for name, value in options.items() if name in typed}
    finish(pipeline.extract(videos, out, config=config, **options))


def finish(summary: Summary) -> None:
    """Say what became of the videos, and end with the exit code that says the same."""
    lines = [f"failed: {reason}" for reason in summary.failed.values()]
    lines += [f"partial: {reason}" for reason in summary.partial.values()]
    if summary.failed:
        lines.append(f"failures are listed in {summary.out}.failed.json")
    if summary.stopped_by:
        lines.append("interrupted; the finished videos are kept, and the same command goes on")
    say(*lines, summary)
    if summary.stopped_by or summary.failed:
        status = exit_status(summary.stopped_by) if summary.stopped_by else 1
        click.get_current_context().exit(status)
