"""`tsatal train`: features to a trained head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import (
    ANY,
    DEVICE,
    FOLDER,
    LABEL_FPS,
    NOTHING,
    SPLIT,
    Number,
    is_first_process,
    say,
    split_seed,
    typed_command,
    when_stopped,
)


@click.command("train")
@click.option(
    "--features",
    type=ANY,
    help="Feature file that `tsatal extract` wrote; with --resume, where it is now.",
)
@click.option(
    "--config",
    "config_name",
    default="strong",
    show_default=True,
    metavar="NAME|FILE",
    help="A shipped configuration (see `tsatal configs`) or a YAML file; several: A+B.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Change one setting; may be repeated.",
)
@click.option(
    "--streams",
    metavar="rgb|flow|rgb,flow",
    help="Same as --set data.streams=[...].  [default: all in the file]",
)
@click.option(
    "--precision",
    type=Number(0, 1, min_open=True, max_open=True),
    help="Least precision of what counts, on validation.  [default: the best F1]",
)
@click.option("--annotations", type=ANY, help="Instead of those inside the feature file.")
@SPLIT
@split_seed("--seed")
@LABEL_FPS
@click.option("--out", type=FOLDER, help="Folder of the run.  [default: runs/CONFIG-DATE-TIME]")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, or with the newest one.")
@DEVICE
def command(
    features: Path | None,
    config_name: str,
    overrides: tuple[str, ...],
    streams: str | None,
    precision: float | None,
    annotations: Path | None,
    out: Path | None,
    resume: bool,
    device: str,
    **labels: Any,
) -> None:
    """Train a TSA + TPP head on cached features.

    On several GPUs: torchrun --nproc-per-node N -m tsatal train ...
    """
    from .. import pipeline
    from ..head.run import DATA_FILE, new_run_dir, newest_run

    if streams:
        overrides = (*overrides, f"data.streams=[{streams}]")
    if precision is not None:
        overrides = (*overrides, f"eval.precision={precision}")
    if resume and (overrides or _given("config_name") or labels["split"] or labels["label_fps"]):
        raise click.UsageError(
            "--resume goes on under the run's own settings; leave out --config, --streams, "
            "--precision, --split, --label-fps and --set"
        )
    if not resume and features is None:
        raise click.UsageError("give --features FILE.h5 (or --resume)")
    run = out or (newest_run(needs=DATA_FILE) if resume else new_run_dir(config_name))
    common: dict[str, Any] = {
        "run": run, "annotations": annotations, "device": device, "command": typed_command(),
    }  # fmt: skip
    when_stopped(
        lambda: (
            f"finished epochs are kept; go on with: tsatal train --resume --out {run}"
            if (run / DATA_FILE).exists()
            else NOTHING
        )
    )
    if resume or features is None:
        pipeline.resume(features=features, **common)
    else:
        run = pipeline.train(features, config_name, overrides=overrides, **common, **labels)
    if is_first_process():
        say(f"{run}\nmeasure it with: tsatal evaluate {run}")


def _given(parameter: str) -> bool:
    """Whether the user wrote this option, rather than leaving it at its default."""
    source = click.get_current_context().get_parameter_source(parameter)
    return source is click.core.ParameterSource.COMMANDLINE
