"""Commands that write a page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import FILE, FOLDER, TIOUS


@click.command()
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
def view(
    video: Path,
    predictions: Path,
    annotations: Path | None,
    video_id: str | None,
    out: Path | None,
    embed: bool | None,
) -> None:
    """Write one HTML page: VIDEO, and on a time line what PREDICTIONS found in it.

    Open it in any browser; it needs no network. A video that browsers do not play is copied into
    one that they do.
    """
    from ..pages.viewer import view_predictions

    written = view_predictions(
        video,
        predictions,
        out or Path(f"{video.stem}.html"),
        annotations=annotations,
        video_id=video_id,
        embed=embed,
    )
    click.echo(f"{written.path}: {written.words}")


@click.command()
@click.argument("run", required=False, type=FOLDER)
@click.option("--predictions", type=FILE, help="Explain this file of detections instead of a run.")
@click.option("--annotations", type=FILE, help="Ground truth; a run finds its own.")
@click.option("--subset", help="Videos to look at.  [default: as evaluated]")
@click.option("--protocol", type=click.Choice(["anet", "thumos14"]), help="[default: as evaluated]")
@TIOUS
@click.option("--exclude", multiple=True, metavar="VIDEO", help="Leave a video out; repeatable.")
@click.option("--features", type=FILE, help="Where the run's ground truth is, if not in its own.")
@click.option("--out", type=FOLDER, help="Folder to write into.  [default: that of the detections]")
def report(
    run: Path | None,
    predictions: Path | None,
    annotations: Path | None,
    features: Path | None,
    **settings: Any,
) -> None:
    """Write a page that says why the mAP is what it is: report.html, and report.json.

    Of RUN (the newest where none is named), as it was evaluated, or of a file of detections: what
    each kind of error costs, which instances are missed, the best and the worst videos.
    """
    from ..report import report_predictions, report_run
    from ..runs import newest_run

    if predictions is None:
        made = report_run(
            run or newest_run(), features=features, annotations=annotations, **settings
        )
    elif run is not None or features is not None or annotations is None:
        raise click.UsageError("--predictions needs --annotations, and no RUN or --features")
    else:
        made = report_predictions(predictions, annotations=annotations, **settings)
    click.echo(made.evaluation.headline)
    for path in made.written:
        click.echo(path)
