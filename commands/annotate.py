"""`tsatal annotate`: a page to mark actions in videos, and to correct what a run suggests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..extract.settings import ExtractSettings
from .options import ANY, FILE, say, settings_options, when_stopped


@click.command("annotate")
@click.argument("videos", type=ANY)
@click.option(
    "--annotations",
    type=FILE,
    help="The file to save into.  [default: annotations.json beside the videos]",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="[default: any free one]")
@settings_options(ExtractSettings, only=("time_zero", "track", "assume_fps"))
def command(videos: Path, **settings: Any) -> None:
    """Mark actions in VIDEOS, a folder, a list or one video, in a page of your browser.

    Every change is saved at once. Only this machine can open the page, and only by its address,
    which has a new token each time. Ctrl-C ends it.
    """
    when_stopped("every change is saved; give the same command again to go on")
    from .. import pipeline

    def on_open(address: str) -> None:
        say(f"Open {address}", "in a browser on this machine. Ctrl-C ends it.")

    pipeline.annotate(videos, on_open=on_open, **settings)
