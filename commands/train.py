"""`tsatal train`: features to a trained head."""

from __future__ import annotations

import os
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

FEWEST_FOLDS, MOST_FOLDS = 2, 1000


class _Train(click.Command):
    """A command whose `--seeds` takes several numbers."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words; "--seeds 0 1 2" is "--seeds 0,1,2"."""
        joined: list[str] = []
        for word in args:
            numbers = joined and joined[-1].replace(",", "").isdigit()
            if word.isdigit() and numbers and joined[-2:-1] == ["--seeds"]:
                joined[-1] += f",{word}"
            else:
                joined.append(word)
        return super().parse_args(ctx, joined)


def _numbers(ctx: click.Context, option: click.Parameter, value: str | None) -> tuple[int, ...]:
    """Return the seeds in "0,1,2"."""
    parts = [part.strip() for part in value.split(",")] if value else []
    if not all(part.isdigit() and len(part) < 19 for part in parts):
        raise click.BadParameter(f"{value!r} is no list of whole numbers, such as 0 1 2")
    return tuple(map(int, parts))


def _folds(
    ctx: click.Context, option: click.Parameter, value: str | None
) -> int | str | Path | None:
    """Return a number of folds, `groups`, or the path of a file that has them."""
    if value is None or value == "groups":
        return value
    if value.isdecimal() and len(value) < 19:
        if not FEWEST_FOLDS <= int(value) <= MOST_FOLDS:
            raise click.BadParameter(f"{value} is not in the range {FEWEST_FOLDS} to {MOST_FOLDS}")
        return int(value)
    if not Path(value).is_file():
        raise click.BadParameter(
            f"{value!r} is neither a number of folds, nor `groups`, nor a file that is there"
        )
    return Path(value)


@click.command("train", cls=_Train)
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
@click.option(
    "--folds",
    callback=_folds,
    is_eager=True,
    metavar="K|groups|FILE.json",
    help="Train K heads, each without its share of the videos, and measure each on these; or one "
    "without each group; or one without each list of video ids in a file.",
)
@click.option(
    "--final",
    is_flag=True,
    help="After --folds, train a head on all of these videos, to use and to give away.",
)
@click.option(
    "--learning-curve",
    "curve",
    is_flag=True,
    help="Train on a quarter, half and all of the training videos: what would twice as many bring?",
)
@click.option(
    "--seeds",
    callback=_numbers,
    metavar="N...",
    help="Seeds of the trainings; each trains all folds, or is a draw of the learning curve.  "
    "[default: optim.seed; of --learning-curve: 0 1 2]",
)
@click.option(
    "--group-by",
    metavar="video|KEY[,KEY]",
    help="What stays together: a video, or all videos with the same value of a member of the "
    "annotations, such as person or day; of several members, with any of them the same.  "
    "[default: group, if they have some]",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    metavar="N",
    help="Trainings at once, each in a process with its share of the threads.",
)
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
    **more: Any,
) -> None:
    """Train a TSA + TPP head on cached features.

    On several GPUs: torchrun --nproc-per-node N -m tsatal train ...
    """
    if precision is not None:
        overrides = (*overrides, f"eval.precision={precision}")
    if more["final"] and not more["folds"]:
        raise click.UsageError("--final goes with --folds: without, every head is the final one")
    labels = {name: more.pop(name) for name in ("split", "split_seed", "label_fps")}
    if more["folds"] or more["curve"]:
        if resume:
            raise click.UsageError(
                "--folds and --learning-curve go on by themselves: the same command, no --resume"
            )
        overrides = (*overrides, f"data.streams=[{streams}]") if streams else overrides
        more |= {"annotations": annotations, "device": device}
        _train_several(features, config_name, overrides, out, labels=labels, **more)
        return
    for name in ("seeds", "group_by", "jobs"):
        if _given(name):
            flag = "--" + name.replace("_", "-")
            raise click.UsageError(f"{flag} goes with --folds or --learning-curve")
    from .. import pipeline
    from ..head.run import DATA_FILE, load_operating_point, new_run_dir, newest_run
    from ..head.training_words import chosen_on_few

    if streams:
        overrides = (*overrides, f"data.streams=[{streams}]")
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
        point = load_operating_point(run)
        few = chosen_on_few(point.instances) if point else ""
        say(f"{run}\nmeasure it with: tsatal evaluate {run}", *([few] if few else []))


def _train_several(
    features: Path | None,
    config_name: str,
    overrides: tuple[str, ...],
    out: Path | None,
    *,
    folds: int | str | Path | None,
    final: bool,
    curve: bool,
    seeds: tuple[int, ...],
    labels: dict[str, Any],
    **common: Any,
) -> None:
    """Train all folds, or a learning curve, and print what came out."""
    if folds and curve:
        raise click.UsageError("--folds or --learning-curve, not both")
    if folds and labels.pop("split"):
        raise click.UsageError("--folds divides the videos by itself; leave out --split")
    if folds and not isinstance(folds, int) and _given("split_seed"):
        raise click.UsageError("--seed deals a number of folds; others are as they are")
    if features is None:
        raise click.UsageError("give --features FILE.h5")
    if "WORLD_SIZE" in os.environ:
        raise click.UsageError(
            "--folds and --learning-curve share a machine by --jobs, not torchrun"
        )
    from .. import pipeline

    common |= {"overrides": overrides, "out": out, "command": typed_command()}
    when_stopped("finished epochs and trainings are kept; the same command goes on")
    report: Any
    if folds:
        common |= {"deal": labels["split_seed"], "label_fps": labels["label_fps"]}
        common |= {"folds": folds, "final": final}
        report = pipeline.train_folds(features, config_name, seeds=seeds, **common)
    else:
        common |= labels
        report = pipeline.learning_curve(features, config_name, seeds=seeds or (0, 1, 2), **common)
    say(report, *report.written)
    if folds:
        say(_what_next(report.final))


def _what_next(final: Path | None) -> str:
    """Return the commands that folds are for."""
    if final is None:
        return "a head that learns from all of these videos: the same command with --final"
    return (
        f"{final}\nuse it with: tsatal detect VIDEO --run {final}\n"
        f"give it away with: tsatal pack {final} model.tsatal"
    )


def _given(parameter: str) -> bool:
    """Whether the user wrote this option, rather than leaving it at its default."""
    source = click.get_current_context().get_parameter_source(parameter)
    return source is click.core.ParameterSource.COMMANDLINE
