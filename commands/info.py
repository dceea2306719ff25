"""`tsatal info`: what a file or a folder is and holds."""

from __future__ import annotations

from pathlib import Path

import click

from .options import ANY, JSON, READS, tell, when_stopped


@click.command("info")
@click.argument("file", type=ANY)
@JSON
def command(file: Path, json_path: str | None) -> None:
    """Say what FILE is and holds: features, annotations, detections, a checkpoint, a run.

    Of a packed model, here or on the hub (hf:OWNER/NAME), it prints the card.
    """
    when_stopped(READS)
    from ..checks.info import as_text, describe
    from ..head.packed import model_file

    described = describe(model_file(file))
    tell(as_text(described), described, json_path)
