"""`tsatal detect`: find actions in new videos with a trained head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..errors import shortened
from ..extract.settings import ExtractSettings
from ..formats.bundle import MODEL_SUFFIX
from ..head.packed import HUB
from ..head.run import DATA_FILE, LAST, RUNS
from .extract import finish
from .options import (
    A_RUN,
    ANY,
    DECODING,
    DEVICE,
    FOLDER,
    MOST,
    RUN,
    VIDEO_SCORES,
    WEIGHTS,
    Number,
    say,
    settings_options,
    when_stopped,
)

ALL_CLASSES = "kinetics"
OF_A_LOOK = ("min_score", "top", "weights", "track", "assume_fps", "device")  # without a run


@click.command("detect")
@click.argument("videos", nargs=-1, required=True, type=ANY)
@click.option("--run", type=RUN, help=f"{A_RUN}  [default: the newest]")
@click.option(
    "--classes",
    metavar="kinetics|NAME[,NAME]",
    help="A first look without a run: classes of Kinetics that the backbone i3d knows.",
)
@click.option(
    "--out",
    type=FOLDER,
    help="Folder for what is found.  [default: detections in the run's, or here]",
)
@click.option(
    "--min-score",
    type=Number(0, 1),
    help="Leave out what scores less.  [default: the run's own threshold of each class; 0: none]",
)
@click.option("--top", type=click.IntRange(1, MOST), help="Keep the best so many of each video.")
@click.option("--annotations", type=ANY, help="Ground truth, drawn above the detections.")
@click.option("--view", is_flag=True, help="Write a page per video to look at in a browser.")
@click.option(
    "--weights",
    type=WEIGHTS,
    metavar="PATH",
    help="The backbone's, where they are neither published nor random.",
)
@click.option("--flow-weights", type=WEIGHTS, metavar="PATH", help="Those of the second stream.")
@settings_options(ExtractSettings, only=("track", "assume_fps"))
@click.option(
    "--features", type=ANY, help="A feature file with the run's projection; for older runs."
)
@click.option(
    "--checkpoint", type=click.Choice(["last", "best"]), default="last", show_default=True
)
@VIDEO_SCORES
@DECODING
@DEVICE
def command(
    videos: tuple[Path, ...],
    run: Path | None,
    out: Path | None,
    view: bool,
    classes: str | None,
    **settings: Any,
) -> None:
    """Find actions in VIDEOS: files, folders, .txt lists, or feature files.

    Raw videos are extracted as the run's features were, once: the rows are kept in
    OUT/features.h5. Without a run it is a first look, for the 400 classes of Kinetics.
    """
    when_stopped(
        "the features of finished videos are kept, and the same command goes on with the others"
    )
    _only_videos(videos)
    from tqdm import tqdm

    from .. import pipeline

    def on_video(video: object) -> None:
        tqdm.write(shortened(str(video)))

    if classes is None and (run or list(RUNS.glob(f"*/{LAST}"))):
        detected = pipeline.detect(videos, run, out=out, pages=view, on_video=on_video, **settings)
    else:
        if run:
            raise click.UsageError("--classes is a look without a run: leave out one of the two")
        _only_of_a_look()
        names = () if classes is None else class_names(classes)
        say(
            ("" if classes is not None else f"no run in {RUNS.resolve()}: ")
            + "a first look, by the classes of Kinetics-400 that the network i3d was trained on, "
            "one at a time; for your own classes, train a run"
        )
        wanted = {name: settings[name] for name in OF_A_LOOK if settings[name] is not None}
        detected = pipeline.first_look(
            videos, out=out or pipeline.FIRST_LOOK, classes=names, pages=view,
            on_video=on_video, **wanted,
        )  # fmt: skip
    say(*detected.written)
    if detected.extraction:
        finish(detected.extraction)


def _only_videos(given: tuple[Path, ...]) -> None:
    """Refuse what finds actions where it is given in place of what they are found in."""
    for path in given:
        if path.suffix == MODEL_SUFFIX or str(path).startswith(HUB) or (path / DATA_FILE).exists():
            raise click.UsageError(f"{path} is a model, not a video: give it by --run")


def class_names(given: str) -> tuple[str, ...]:
    """Return the names in `--classes`, separated by commas; none stands for all classes."""
    names = tuple(filter(None, map(str.strip, given.split(","))))
    if not names:
        raise click.UsageError(f"--classes: {given!r} names no class; {ALL_CLASSES} takes all")
    return () if ALL_CLASSES in map(str.casefold, names) else names


def _only_of_a_look() -> None:
    """Refuse options that need a run."""
    context = click.get_current_context()
    known = {*OF_A_LOOK, "videos", "run", "out", "view", "classes"}
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in known and source is ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}".replace("--changes", "--set")
            raise click.UsageError(f"{option} needs a run: train one, or name it with --run")
