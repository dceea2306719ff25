"""`tsatal explain`: a picture of what TSA does in one video."""

from __future__ import annotations

from pathlib import Path

import click

from .options import ANY, DEVICE, FILE, RUN, WHOLE, Number, say, when_stopped


@click.command("explain")
@click.argument("run", type=RUN)
@click.argument("video")
@click.option(
    "--from", "start_sec", type=Number(0, 1e9), default=0.0, metavar="SEC",
    help="Where to begin; as much is drawn as the head sees at once, at most 1000 rows.",
)  # fmt: skip
@click.option("--features", type=ANY, help="Where the video is, if not in the run's own file.")
@click.option("--annotations", type=FILE, help="Ground truth; the run finds its own.")
@click.option("--checkpoint", type=click.Choice(["last", "best"]), default="last")
@click.option("--out", type=FILE, help="The picture.  [default: RUN/explained/VIDEO.png]")
@DEVICE
def command(
    run: Path,
    video: str,
    start_sec: float,
    features: Path | None,
    annotations: Path | None,
    checkpoint: str,
    out: Path | None,
    device: str,
) -> None:
    """Draw what TSA does in VIDEO, whose rows are in the run's feature file, as a PNG.

    Over one time line: ground truth, the classes that are pre-judged, detections, actionness before
    and after TSA, and the matrices A, B and G. A head without TSA is refused.
    """
    when_stopped(WHOLE)
    from .. import pipeline

    say(
        pipeline.explain(
            run, video, start_sec=start_sec, features=features, annotations=annotations,
            checkpoint=checkpoint, out=out, device=device,
        )
    )  # fmt: skip
