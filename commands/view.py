"""`tsatal view`: one video and its detections as a page."""

from __future__ import annotations

from pathlib import Path

import click

from .options import FILE, WHOLE, say, when_stopped


@click.command("view")
@click.argument("video", type=FILE)
@click.argument("predictions", type=FILE)
@click.option("--annotations", type=FILE, help="Ground truth to show below the detections.")
@click.option("--id", "video_id", help="The video in PREDICTIONS.  [default: VIDEO's name]")
@click.option("--out", type=FILE, help="The page.  [default: VIDEO's name, .html, in this folder]")
@click.option(
    "--embed/--link",
    default=None,
    help="Put the video into the page, or play it from beside it.  [default: inside up to 50 MB]",
)
def command(
    video: Path,
    predictions: Path,
    annotations: Path | None,
    video_id: str | None,
    out: Path | None,
    embed: bool | None,
) -> None:
    """Write one HTML page: VIDEO, and on a time line its detections from PREDICTIONS.

    Open it in any browser; it needs no network. A video that browsers do not play is copied into
    one that they do.
    """
    when_stopped(WHOLE)
    from ..reports.viewer import view_predictions

    out = out or Path(f"{video.stem}.html")
    where = view_predictions(
        video, predictions, out, annotations=annotations, video_id=video_id, embed=embed
    )
    say(f"{out}: {where}")
