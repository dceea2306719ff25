"""`tsatal export`: a feature file in ActionFormer's layout."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import quantity
from .options import ANY, FOLDER, named, say, when_stopped


@click.command("export")
@click.argument("features", type=ANY)
@click.argument("out", type=FOLDER)
@click.option("--annotations", type=ANY, help="Instead of those inside the feature file.")
def command(features: Path, out: Path, annotations: Path | None) -> None:
    """Write FEATURES as .npy files and JSON in ActionFormer's layout into the folder OUT."""
    when_stopped("OUT is filled whole or not at all; give the same command again")
    from ..exchange.exporter import export_features

    summary = export_features(features, out, annotations=annotations)
    lines = [f"failed: {reason}" for reason in summary.failed.values()]
    shifted = [f"{name} ({off:.2f} s)" for name, off in summary.shifted.items()]
    lines += named("warning: ActionFormer has one num_frames for all and takes these off by",
                    shifted)  # fmt: skip
    if summary.ambiguous:
        lines.append(f"{summary.ambiguous} ambiguous stretches are left out of the annotations")
    lines += named("unlabelled", summary.unlabelled)
    lines.append(f"{summary.out}: {quantity(len(summary.exported), 'video')} exported")
    say(*lines)
    if summary.failed:
        click.get_current_context().exit(1)
