"""Commands about files: is this what it should be, and what is it?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..files import write_text
from .options import ANY, FILE

JSON = click.option(
    "--json", "json_path", metavar="PATH", help="Write it as JSON there; - prints it."
)


@click.command()
@click.argument("file", type=FILE)
@click.option("--annotations", type=FILE, help="Instead of those inside the feature file.")
@click.option("--train-subset", default="", metavar="NAME", help="Subset that is trained on.")
@click.option("--test-subset", default="", metavar="NAME", help="Subset that is tested on.")
@click.option("--exclude", multiple=True, metavar="VIDEO", help="Leave a video out; repeatable.")
@click.option(
    "--examples",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="Places to name of each kind; JSON names all.",
)
@JSON
@click.pass_context
def check(
    context: click.Context,
    file: Path,
    annotations: Path | None,
    train_subset: str,
    test_subset: str,
    exclude: tuple[str, ...],
    examples: int,
    json_path: str | None,
) -> None:
    """Look for what would ruin a training or an evaluation of FILE (features or annotations).

    The exit status is 0 if there is nothing worse than a note, and 1 otherwise; what each finding
    means stands in docs/checking.md.
    """
    from ..checks.check import check_file
    from ..subsets import Subsets

    report = check_file(
        file,
        annotations=annotations,
        named=Subsets(train_subset, "", test_subset),
        exclude=exclude,
    )
    _tell(report.table(examples=examples), report.to_json(), json_path)
    context.exit(0 if report.clean else 1)


@click.command()
@click.argument("file", type=ANY)
@JSON
def info(file: Path, json_path: str | None) -> None:
    """Say what FILE is and holds: features, annotations, detections, a checkpoint, a run."""
    from ..info import as_text, describe

    described = describe(file)
    _tell(as_text(described), described, json_path)


def _tell(text: str, values: dict[str, Any], json_path: str | None) -> None:
    """Print the text, and write the values where they are asked for."""
    to_stdout = json_path == "-"
    click.echo(text, err=to_stdout)
    if json_path:
        written = json.dumps(values, indent=1)
        if to_stdout:
            click.echo(written)
        else:
            write_text(json_path, written + "\n")
