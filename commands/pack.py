"""`tsatal pack`: a run as one file to give away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import FILE, RUN, WHOLE, say, when_stopped


@click.command("pack")
@click.argument("run", type=RUN)
@click.argument("out", type=FILE)
@click.option(
    "--checkpoint", type=click.Choice(["last", "best"]), default="last", show_default=True
)
@click.option(
    "--with-backbone",
    is_flag=True,
    help="Put the backbone's weights in, if their licence allows: raw videos then need no network.",
)
@click.option("--weights", type=FILE, help="The backbone's, where they are a file of yours.")
@click.option("--flow-weights", type=FILE, help="Those of the second stream.")
@click.option("--features", type=FILE, help="The feature file of a run that keeps no projection.")
@click.option("--licence", metavar="TEXT", help="Licence of the model, for its card.")
@click.option("--note", metavar="TEXT", help="A sentence for the card: what it is for, its limits.")
def command(run: Path, out: Path, **options: Any) -> None:
    """Write RUN as one file, OUT.tsatal, that needs neither its features nor its folder.

    `detect`, `evaluate` and `export-onnx` take the file wherever they take a run; `info` prints
    its card. A changed file is refused. See docs/sharing.md.
    """
    when_stopped(WHOLE)
    from .. import pipeline

    packed = pipeline.pack(run, out, **options)
    say(packed)
