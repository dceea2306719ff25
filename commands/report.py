"""`tsatal report`: a page that says why the mAP is what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import ANY, FOLDER, LABEL_FPS, RUN, TIOUS, WHOLE, say, when_stopped


@click.command("report")
@click.argument("run", required=False, type=RUN)
@click.option("--predictions", type=ANY, help="Explain these detections instead of a run.")
@click.option("--annotations", type=ANY, help="Ground truth; a run finds its own.")
@click.option("--subset", help="Videos to look at.  [default: as evaluated]")
@click.option("--protocol", type=click.Choice(["anet", "thumos14"]), help="[default: as evaluated]")
@TIOUS
@click.option("--exclude", multiple=True, metavar="VIDEO", help="Leave a video out; repeatable.")
@click.option("--features", type=ANY, help="Where the run's ground truth is, if not in its own.")
@LABEL_FPS
@click.option("--out", type=FOLDER, help="Folder to write into.  [default: that of the detections]")
def command(
    run: Path | None,
    predictions: Path | None,
    annotations: Path | None,
    features: Path | None,
    out: Path | None,
    label_fps: float | None,
    **settings: Any,
) -> None:
    """Write a page that says why the mAP is what it is: report.html, and report.json.

    It is about RUN (the newest where none is named), as it was evaluated, or about a file of
    detections. It shows what each kind of error costs, which instances are missed, and the best
    and the worst videos.
    """
    when_stopped(WHOLE)
    from .. import pipeline

    if predictions is None and label_fps:
        raise click.UsageError("--label-fps goes with --predictions")
    if predictions is None:
        made = pipeline.report(run, features=features, annotations=annotations, out=out, **settings)
    elif run is not None or features is not None or annotations is None:
        raise click.UsageError("--predictions needs --annotations, and no RUN or --features")
    else:
        made = pipeline.evaluate_predictions(
            predictions,
            annotations,
            timelines=None,
            out=out or predictions.parent,
            label_fps=label_fps,
            **settings,
        )
    say(made.evaluation.headline, *made.written)
