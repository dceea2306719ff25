"""`tsatal clips`: a clip for every detection or label, cut out of its video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..extract.settings import ExtractSettings
from .options import (
    ANY,
    FOLDER,
    LABEL_FPS,
    MOST,
    Number,
    exit_status,
    say,
    settings_options,
    when_stopped,
)


@click.command("clips")
@click.argument("predictions", type=ANY)
@click.argument("videos", type=ANY)
@click.argument("out", type=FOLDER)
@click.option(
    "--pad",
    type=Number(0, 3600),
    default=0.0,
    show_default=True,
    metavar="SEC",
    help="Seconds to add before and after.",
)
@click.option(
    "--min-score",
    type=Number(0, 1e6),
    metavar="P",
    help="Leave out what scores less.  [default: thresholds of the classes that the file has]",
)
@click.option("--top", type=click.IntRange(1, MOST), metavar="N", help="The best N of each class.")
@LABEL_FPS
@settings_options(ExtractSettings, only=("time_zero", "track", "assume_fps"))
def command(predictions: Path, videos: Path, out: Path, **options: Any) -> None:
    """Cut a clip for every detection or label in PREDICTIONS out of VIDEOS, into OUT.

    OUT gets clips with their sound, a contact sheet for every class as a page and a picture, and
    index.csv. VIDEOS is a file, a folder, or a .txt list.
    """
    when_stopped("finished clips are kept; give the same command again")
    from .. import pipeline

    made = pipeline.clips(predictions, videos, out, **options)
    say(str(made))
    if made.stopped_by or made.failed:
        status = exit_status(made.stopped_by) if made.stopped_by else 1
        click.get_current_context().exit(status)
