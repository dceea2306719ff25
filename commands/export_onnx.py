"""`tsatal export-onnx`: a trained head for programs without tsatal."""

from __future__ import annotations

from pathlib import Path

import click

from .options import FILE, RUN, WHOLE, say, when_stopped


@click.command("export-onnx")
@click.argument("run", type=RUN)
@click.argument("out", type=FILE)
@click.option(
    "--steps",
    type=click.IntRange(2, 1_000_000),
    help="Rows it takes at once.  [default: as in training]",
)
@click.option(
    "--checkpoint", type=click.Choice(["last", "best"]), default="last", show_default=True
)
@click.option("--whole", is_flag=True, help="Backbone, head and scores: frames in, segments out.")
@click.option("--weights", type=FILE, help="The backbone's, where they are a file of yours.")
def command(
    run: Path, out: Path, steps: int | None, checkpoint: str, whole: bool, weights: Path | None
) -> None:
    """Write the head of RUN to OUT.onnx (or OUT.pt2, for torch.export.load).

    It takes features (1, STEPS, D) and which rows are valid (1, STEPS), and gives scores,
    intervals in steps, which points are valid, and actionness. With --whole it takes the frames of
    a clip of up to STEPS rows (128 where not given), RGB alone, for the backbone i3d_r50. See
    docs/api.md.
    """
    when_stopped(WHOLE)
    if weights and not whole:
        raise click.UsageError("--weights goes with --whole")
    from ..head.packed import run_folder
    from ..head.run import load_run_description

    load_run_description(run_folder(run))  # a wrong folder is told before torch is loaded
    if whole:
        from .. import pipeline

        say(pipeline.export_whole(run, out, steps=steps, checkpoint=checkpoint, weights=weights))
        return
    from ..head.export import export_head

    say(export_head(run, out, steps=steps, checkpoint=checkpoint))
