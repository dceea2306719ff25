"""`tsatal view`: one video and its detections as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..extract.settings import ExtractSettings
from .options import ANY, FILE, WHOLE, Number, say, settings_options, when_stopped


@click.command("view")
@click.argument("video", type=ANY)
@click.argument("predictions", type=ANY)
@click.option("--annotations", type=ANY, help="Ground truth to show below the detections.")
@click.option("--id", "video_id", help="The video in PREDICTIONS.  [default: VIDEO's name]")
@click.option(
    "--min-score",
    type=Number(0, 1e6),
    help="What the page shows at first; 0 shows all.  [default: what counts for the run]",
)
@click.option("--out", type=FILE, help="The page.  [default: VIDEO's name, .html, in this folder]")
@click.option(
    "--embed/--link",
    default=None,
    help="Put the video into the page, or play it from beside it.  [default: inside up to 50 MB]",
)
@settings_options(ExtractSettings, only=("time_zero", "track", "assume_fps"))
def command(
    video: Path,
    predictions: Path,
    annotations: Path | None,
    video_id: str | None,
    out: Path | None,
    embed: bool | None,
    min_score: float | None,
    **reading: Any,
) -> None:
    """Write one HTML page: VIDEO, and on a time line its detections from PREDICTIONS.

    It shows what reaches the run's thresholds, where PREDICTIONS holds them; a slider shows the
    rest. Open it in any browser; it needs no network. A video that browsers do not play is copied
    into one that they do.
    """
    when_stopped(WHOLE)
    from ..reports.viewer import view_predictions

    asked = ExtractSettings(**reading).reading
    out = out or Path(f"{video.stem}.html")
    where = view_predictions(
        video,
        predictions,
        out,
        annotations=annotations,
        video_id=video_id,
        embed=embed,
        reading=asked,
        min_score=min_score,
    )
    say(f"{out}: {where}")
