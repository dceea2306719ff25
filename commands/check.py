"""`tsatal check`: what would silently ruin a training or an evaluation."""

from __future__ import annotations

from pathlib import Path

import click

from .options import ANY, FILE, JSON, MOST, READS, tell, when_stopped


@click.command("check")
@click.argument("file", type=ANY)
@click.option("--annotations", type=FILE, help="Of detections, or instead of those in FILE.")
@click.option("--train-subset", default="", metavar="NAME", help="Subset that is trained on.")
@click.option("--test-subset", default="", metavar="NAME", help="Subset that is tested on.")
@click.option("--exclude", multiple=True, metavar="VIDEO", help="Leave a video out; repeatable.")
@click.option(
    "--examples",
    type=click.IntRange(0, MOST),
    default=3,
    show_default=True,
    help="Places to name of each kind; JSON names all.",
)
@JSON
@click.pass_context
def command(
    context: click.Context,
    file: Path,
    annotations: Path | None,
    train_subset: str,
    test_subset: str,
    exclude: tuple[str, ...],
    examples: int,
    json_path: str | None,
) -> None:
    """Look for what would ruin a training or an evaluation of FILE.

    FILE holds features, annotations or detections.

    The exit status is 0 if there is nothing worse than a note, and 1 otherwise; what each finding
    means stands in docs/checking.md.
    """
    when_stopped(READS)
    from ..checks.check import check_file
    from ..formats.subsets import Subsets

    report = check_file(
        file,
        annotations=annotations,
        named=Subsets(train_subset, "", test_subset),
        exclude=exclude,
    )
    tell(report.table(examples=examples), report.to_json(), json_path)
    context.exit(0 if report.clean else 1)
