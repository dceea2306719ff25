"""`tsatal evaluate`: mAP, detections and pictures of runs, or of a file of detections."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..formats.atomic import check_place, write_text
from .options import (
    ANY,
    DECODING,
    DEVICE,
    FOLDER,
    JSON,
    LABEL_FPS,
    MOST,
    RUN,
    TIOUS,
    VIDEO_SCORES,
    WHOLE,
    LeastPrecision,
    say,
    when_stopped,
)

if TYPE_CHECKING:
    from ..reports.report import Report


@click.command("evaluate")
@click.argument("runs", nargs=-1, type=RUN)
@click.option("--predictions", type=ANY, help="Measure these detections instead of a run.")
@click.option("--annotations", type=ANY, help="Ground truth; a run finds its own.")
@click.option("--strict", is_flag=True, help="Refuse --predictions with entries to leave out.")
@click.option("--subset", help="Videos to measure on.  [default: the test subset]")
@click.option("--protocol", type=click.Choice(["anet", "thumos14"]), help="See docs/evaluation.md.")
@TIOUS
@click.option("--exclude", multiple=True, metavar="VIDEO", help="Leave a video out; repeatable.")
@JSON
@click.option(
    "--checkpoint",
    type=click.Choice(["last", "best"]),
    default="last",
    show_default=True,
    help="best was chosen by validation mAP, and flatters it on that subset.",
)
@click.option(
    "--precision",
    type=LeastPrecision(0, 1, min_open=True, max_open=True),
    metavar="P|f1",
    help="First choose the run's thresholds anew, on validation: of this precision, or best F1.",
)
@click.option("--features", type=ANY, help="Other features for the run, made in the same way.")
@click.option(
    "--timelines",
    type=click.IntRange(0, MOST),
    default=8,
    show_default=True,
    help="Videos to draw; 0 for none.",
)
@click.option("--out", type=FOLDER, help="Folder for files and pictures.  [default: the run's]")
@LABEL_FPS
@VIDEO_SCORES
@DECODING
@DEVICE
def command(
    runs: tuple[Path, ...],
    predictions: Path | None,
    strict: bool,
    label_fps: float | None,
    annotations: Path | None,
    json_path: str | None,
    checkpoint: str,
    precision: float | str | None,
    features: Path | None,
    out: Path | None,
    changes: tuple[str, ...],
    device: str,
    **common: Any,
) -> None:
    """Measure a run (the newest where none is named), folds, or a file of detections.

    A run is its folder, a packed model, or hf:OWNER/NAME[@REVISION]; packed models need --features.
    Several RUNS are measured alike and compared in one table; several folders of folds, too.
    """
    when_stopped(WHOLE)
    if json_path and json_path != "-":
        check_place(json_path, device=True)
    from .. import pipeline
    from ..head.run import newest_run

    if predictions is not None:
        if runs or changes or precision or annotations is None:
            raise click.UsageError(
                "--predictions needs --annotations, and no RUN, no --set and no --precision"
            )
        report = pipeline.evaluate_predictions(
            predictions, annotations, strict=strict, out=out, label_fps=label_fps, **common
        )
        reports = {"": report}
    else:
        if strict or label_fps:
            flag = "--strict" if strict else "--label-fps"
            raise click.UsageError(f"{flag} goes with --predictions")
        if len(runs) > 1 and out:
            raise click.UsageError("several runs are written into their own folders: no --out")
        if precision and (changes or checkpoint != "last" or common["video_scores"]):
            raise click.UsageError(
                "--precision chooses thresholds for the run as it is: "
                "leave out --set, --checkpoint and --video-scores"
            )
        reports = pipeline.evaluate_runs(
            runs or [newest_run()],
            annotations=annotations,
            features=features,
            checkpoint=checkpoint,
            precision=precision,
            out=out,
            device=device,
            changes=changes,
            **common,
        )
    # Where the figures go to standard output, all else goes beside it, so that pipes stay JSON.
    to_stdout = json_path == "-"
    first, *others = reports.values()
    say(*(_compared(reports) if others else [first]), err=to_stdout)
    for path in (p for report in reports.values() for p in report.written):
        say(path, err=to_stdout)
    if json_path:
        figures = {name: report.to_json() for name, report in reports.items()}
        text = json.dumps(figures if others else first.to_json(), indent=1)
        if to_stdout:
            click.echo(text)
        else:
            write_text(json_path, text + "\n")


def _compared(reports: Mapping[str, Report]) -> Iterator[object]:
    """Yield tables that have a line for each of several runs."""
    from ..reports.tables import comparison_table, outcomes_table

    evaluations = {name: report.evaluation for name, report in reports.items()}
    configs = {name: report.config for name, report in reports.items() if report.config}
    trained = {name: report.epochs.short for name, report in reports.items() if report.epochs}
    seeds = {name: list(getattr(r, "seeds", ())) for name, r in reports.items()}
    yield comparison_table(evaluations, configs, trained, seeds)
    if outcomes := {name: r.outcome for name, r in reports.items() if r.outcome}:
        yield ""
        yield from outcomes_table(outcomes)
