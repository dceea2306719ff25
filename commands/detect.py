"""`tsatal detect`: find actions in new videos with a trained head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import shortened
from ..extract.settings import ExtractSettings
from .extract import finish
from .options import (
    ANY,
    DECODING,
    DEVICE,
    FILE,
    FOLDER,
    MOST,
    VIDEO_SCORES,
    WEIGHTS,
    Number,
    say,
    settings_options,
    when_stopped,
)


@click.command("detect")
@click.argument("videos", nargs=-1, required=True, type=ANY)
@click.option("--run", type=FOLDER, help="Folder of the run.  [default: the newest]")
@click.option(
    "--out", type=FOLDER, help="Folder for what is found.  [default: detections in the run's]"
)
@click.option(
    "--min-score",
    type=Number(0, 1),
    help="Leave out what scores less.  [default: the run's own threshold of each class; 0: none]",
)
@click.option("--top", type=click.IntRange(1, MOST), help="Keep the best so many of each video.")
@click.option("--annotations", type=FILE, help="Ground truth, drawn above the detections.")
@click.option("--view", is_flag=True, help="Write a page per video to look at in a browser.")
@click.option(
    "--weights",
    type=WEIGHTS,
    metavar="PATH",
    help="The backbone's, where they are neither published nor random.",
)
@click.option("--flow-weights", type=WEIGHTS, metavar="PATH", help="Those of the second stream.")
@settings_options(ExtractSettings, only=("track", "assume_fps"))
@click.option("--features", type=FILE, help="Where the run's feature file is now, if it has moved.")
@click.option(
    "--checkpoint", type=click.Choice(["last", "best"]), default="last", show_default=True
)
@VIDEO_SCORES
@DECODING
@DEVICE
def command(
    videos: tuple[Path, ...], run: Path | None, out: Path | None, view: bool, **settings: Any
) -> None:
    """Find actions in VIDEOS: files, folders, .txt lists, or feature files.

    Raw videos are extracted as the run's features were, once: the rows are kept in
    OUT/features.h5.
    """
    when_stopped(
        "the features of finished videos are kept, and the same command goes on with the others"
    )
    from tqdm import tqdm

    from .. import pipeline

    detected = pipeline.detect(
        videos,
        run,
        out=out,
        pages=view,
        on_video=lambda v: tqdm.write(shortened(str(v))),
        **settings,
    )
    say(*detected.written)
    if detected.extraction:
        finish(detected.extraction)
