"""`tsatal annotate`: a page to mark actions in videos, and to correct what a run suggests."""

from __future__ import annotations

import contextlib
from pathlib import Path
from shlex import quote
from typing import Any

import click

from ..extract.settings import ExtractSettings
from .detect import class_names
from .options import A_RUN, ANY, DEVICE, FILE, RUN, say, settings_options, when_stopped


@click.command("annotate")
@click.argument("videos", type=ANY)
@click.option("--run", type=RUN, help=f"Suggest what this head detects. {A_RUN}")
@click.option("--predictions", type=ANY, help="Suggest these detections, or labels.")
@click.option(
    "--classes",
    metavar="kinetics|NAME[,NAME]",
    help="Suggest what a first look sees, without a run: classes of Kinetics.",
)
@click.option(
    "--order",
    type=click.Choice(["name", "useful"]),
    default="name",
    show_default=True,
    help="Which video first; useful: of what the head is least sure.",
)
@click.option(
    "--annotations",
    type=FILE,
    help="The file to save into.  [default: annotations.json beside the videos]",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="[default: any free one]")
@DEVICE
@settings_options(ExtractSettings, only=("time_zero", "track", "assume_fps"))
def command(
    videos: Path,
    run: Path | None,
    predictions: Path | None,
    classes: str | None,
    **settings: Any,
) -> None:
    """Mark actions in VIDEOS, a folder, a list or one video, in a page of your browser.

    Every change is saved at once. Only this machine can open the page, and only by its address,
    which has a new token each time. Ctrl-C ends it, and says what is saved.
    """
    when_stopped("every change is saved; give the same command again to go on")
    from .. import pipeline

    def on_open(address: str) -> None:
        say(f"Open {address}", "in a browser on this machine. Ctrl-C ends it.")

    given = [flag for flag, value in (("--run", run), ("--predictions", predictions)) if value]
    given += ["--classes"] if classes is not None else []
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)}: suggestions come from one of these")
    names = None if classes is None else class_names(classes)
    saved = pipeline.annotate(
        videos, run, predictions=predictions, classes=names, on_open=on_open, **settings
    )
    with contextlib.suppress(OSError):  # the terminal may be closed
        say("", *_next(saved, videos, settings["annotations"]))


def _next(saved: str, videos: Path, annotations: Path | None) -> tuple[str, ...]:
    """Return what is saved, and how to go on: with the labels, or with marking."""
    if not saved:
        return "Nothing was marked, so there is no file of labels", "Mark: the same command again"
    given = f" --annotations {quote(str(annotations))}" if annotations else ""
    return (
        saved,
        f"Train on it: tsatal extract {quote(str(videos))} out.h5{given}, then "
        "tsatal train --features out.h5",
        "Mark more: the same command again",
    )
