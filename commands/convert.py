"""`tsatal convert`: labels and detections from any tool's form to any other's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..extract.settings import ExtractSettings
from ..formats.labels.write import FORMS
from .options import (
    ANY,
    LABEL_FPS,
    SPLIT,
    WHOLE,
    Number,
    say,
    settings_options,
    split_seed,
    when_stopped,
)


@click.command("convert")
@click.argument("source", metavar="FROM", type=ANY)
@click.argument("to", metavar="TO", type=ANY)
@click.option(
    "--to", "form", type=click.Choice(list(FORMS)), help="Form of TO.  [default: by its ending]"
)
@click.option("--min-score", type=Number(0, 1e6), metavar="P", help="Leave out what scores less.")
@click.option("--labels", "as_labels", is_flag=True, help="Write detections as labels, no scores.")
@SPLIT
@split_seed("--seed")
@click.option("--videos", type=ANY, help="Videos whose own clocks turn frames into seconds.")
@LABEL_FPS
@click.option(
    "--tier", "tiers", multiple=True, metavar="NAME", help="ELAN tier to take; repeatable."
)
@settings_options(ExtractSettings, only=("time_zero", "track", "assume_fps"))
def command(source: Path, to: Path, **options: Any) -> None:
    """Write the labels or detections in FROM as TO, in another program's form.

    FROM is a file, or a folder with a file for each video; its form is found by its content. What
    TO's form cannot hold is named.
    """
    when_stopped(WHOLE)
    from .. import pipeline

    say(str(pipeline.convert(source, to, **options)))
