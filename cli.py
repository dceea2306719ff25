"""The command line: options in, one call of `pipeline`, text out; no logic."""

from __future__ import annotations

import io
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import __version__
from .commands.exchange import export, import_features
from .commands.files import check, info
from .commands.heads import export_onnx
from .commands.measure import evaluate
from .commands.options import ANY, DECODING, DEVICE, FILE, FOLDER
from .commands.pages import report, view
from .errors import InputError, is_out_of_memory, one_line

if TYPE_CHECKING:
    from .extract.work import Summary


class _Group(click.Group):
    """Turns a user's mistake into one clear line, and an interruption into a clean end."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (InputError, OSError) as error:
            if ctx.params.get("debug"):
                raise
            raise click.ClickException(one_line(error)) from error
        except Exception as error:
            if ctx.params.get("debug") or not is_out_of_memory(error):
                raise
            raise click.ClickException(f"out of memory ({one_line(error)})") from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tsatal")
@click.option("--debug", is_flag=True, help="Show where an error came from.")
@click.option("-q", "--quiet", is_flag=True, help="Show warnings and results only.")
def main(debug: bool, quiet: bool) -> None:
    """Find actions in untrimmed video: label, start, end, score.

    \b
    tsatal extract videos/ out.h5        videos to features, once
    tsatal train --features out.h5       features to a trained head
    tsatal evaluate                      mAP, detections and pictures of the newest run
    """
    for stream in (sys.stdout, sys.stderr):  # names may hold what a terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    quiet = quiet or not _first_process()
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO, format="%(message)s", stream=sys.stderr
    )


@main.command()
@click.argument("videos", type=ANY)
@click.argument("out", type=FILE)
@click.option(
    "--annotations",
    type=FILE,
    help="ActivityNet-style JSON to embed.  [default: annotations.json inside VIDEOS]",
)
@click.option(
    "--weights",
    default="kinetics",
    show_default=True,
    metavar="kinetics|random|PATH",
    help="Downloaded once; random is for tests: its features are untrained.",
)
@click.option("--weights-sha256", metavar="HEX", help="Refuse weights with another digest.")
@click.option("--fps", default=10.0, show_default=True, help="Frames per second to look at.")
@click.option("--resize", default=128, show_default=True, help="Shorter side of a frame, pixels.")
@click.option("--crop", default=112, show_default=True, help="Side of the centred square, pixels.")
@click.option(
    "--segment",
    type=int,
    help="Frames per pass of the network.  [default: 64, on CUDA 256; without context 128]",
)
@click.option(
    "--context",
    default=18,
    show_default=True,
    help="Frames seen beyond a segment; 18 is exact, 0 the paper's cut.",
)
@click.option(
    "--projection",
    default="orthogonal",
    show_default=True,
    metavar="orthogonal|pca|FILE",
    help="From 2048 to 512; pca is fitted on a sample of VIDEOS; FILE is .npy, or a feature "
    "file to share the matrix of.",
)
@click.option("--flow", is_flag=True, help="Extract a second stream, of optical flow.")
@click.option(
    "--flow-method",
    type=click.Choice(["dis", "tvl1"]),
    default="dis",
    show_default=True,
    help="tvl1 needs opencv-contrib-python, and over a hundred times as long.",
)
@click.option(
    "--flow-weights",
    metavar="random|PATH",
    help="For the second stream.  [default: the first one's, averaged over colour]",
)
@click.option("--seed", default=0, show_default=True, help="Of random weights and projection.")
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="What the network computes in; auto is bfloat16 on CUDA, float32 on CPU.",
)
@click.option(
    "--store",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="What rows are stored in.",
)
@click.option(
    "--at-once",
    type=int,
    metavar="N",
    help="Videos that pass through the network by turns, each decoded by a thread of its own.  "
    "[default: 1, on CUDA one per core, at most 16]",
)
@click.option("--overwrite", is_flag=True, help="Start the file anew.")
@click.option("--strict", is_flag=True, help="Stop at the first video that fails.")
@click.option(
    "--ray",
    metavar="local|auto|ADDRESS",
    help="Run on a Ray cluster: one of this machine's own, the one it is part of, or another.",
)
@DEVICE
def extract(
    videos: Path,
    out: Path,
    annotations: Path | None,
    overwrite: bool,
    strict: bool,
    ray: str | None,
    **settings: Any,
) -> None:
    """Turn VIDEOS (a file, a folder, or a .txt list) into features in OUT.

    Run it again to add new videos: those already in OUT are left alone. Interrupted, it keeps
    the finished ones. Started several times at once, here or on other machines that share OUT's
    folder, the processes share the videos.
    """
    from . import pipeline
    from .extract.settings import ExtractSettings

    summary = pipeline.extract(
        videos,
        out,
        ExtractSettings(**settings),
        annotations=annotations,
        overwrite=overwrite,
        strict=strict,
        ray=ray,
    )
    _finish(summary)


@main.command()
@click.option(
    "--features",
    type=FILE,
    help="Feature file that `tsatal extract` wrote; with --resume, where it is now.",
)
@click.option(
    "--config",
    "config_name",
    default="paper",
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
@click.option("--annotations", type=FILE, help="Instead of those inside the feature file.")
@click.option("--out", type=FOLDER, help="Folder of the run.  [default: runs/CONFIG-DATE-TIME]")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, or with the newest one.")
@DEVICE
def train(
    features: Path | None,
    config_name: str,
    overrides: tuple[str, ...],
    streams: str | None,
    annotations: Path | None,
    out: Path | None,
    resume: bool,
    device: str,
) -> None:
    """Train a TSA + TPP head on cached features.

    On several GPUs: torchrun --nproc-per-node N -m tsatal train ...
    """
    from . import pipeline
    from .config import load_config
    from .runs import DATA_FILE, new_run_dir, newest_run

    if streams:
        overrides = (*overrides, f"data.streams=[{streams}]")
    if resume and (overrides or _given("config_name")):
        raise click.UsageError("--resume goes on under the run's own settings")
    if not resume and features is None:
        raise click.UsageError("give --features FILE.h5 (or --resume)")
    run_dir = out or (newest_run(needs=DATA_FILE) if resume else new_run_dir(config_name))
    common: dict[str, Any] = {"run_dir": run_dir, "annotations": annotations, "device": device}
    try:
        if resume or features is None:
            run_dir = pipeline.resume(features=features, **common)
        else:
            run_dir = pipeline.train(features, load_config(config_name, overrides), **common)
    except KeyboardInterrupt:
        raise click.ClickException(
            f"stopped; go on with: tsatal train --resume --out {run_dir}"
        ) from None
    if _first_process():
        click.echo(f"{run_dir}\nmeasure it with: tsatal evaluate {run_dir}")


@main.command()
@click.argument("videos", nargs=-1, required=True, type=ANY)
@click.option("--run", type=FOLDER, help="Folder of the run.  [default: the newest]")
@click.option(
    "--out", type=FOLDER, help="Folder for what is found.  [default: detections in the run's]"
)
@click.option("--min-score", default=0.0, show_default=True, help="Leave out what scores less.")
@click.option("--top", type=click.IntRange(min=1), help="Keep the best so many of each video.")
@click.option("--annotations", type=FILE, help="Ground truth, drawn above the detections.")
@click.option("--view", is_flag=True, help="Write a page per video to look at in a browser.")
@click.option(
    "--weights", metavar="PATH", help="The backbone's, where they are neither published nor random."
)
@click.option("--flow-weights", metavar="PATH", help="Those of the second stream.")
@click.option("--features", type=FILE, help="Where the run's feature file is now, if it has moved.")
@click.option(
    "--checkpoint", type=click.Choice(["last", "best"]), default="last", show_default=True
)
@DECODING
@DEVICE
def detect(
    videos: tuple[Path, ...], run: Path | None, out: Path | None, view: bool, **settings: Any
) -> None:
    """Find actions in VIDEOS: files, folders, .txt lists, or feature files.

    Raw videos are extracted as the run's features were, once: the rows are kept in
    OUT/features.h5.
    """
    from tqdm import tqdm

    from . import pipeline
    from .runs import newest_run

    run = run or newest_run()
    detected = pipeline.detect(
        videos, run, out=out, pages=view, tell=lambda seen: tqdm.write(seen.line()), **settings
    )
    for path in detected.written:
        click.echo(path)
    if detected.extraction:
        _finish(detected.extraction)


@main.command()
@click.option(
    "--out", type=FOLDER, default="demo", show_default=True, help="Folder for everything it makes."
)
@click.option("--seed", default=0, show_default=True, help="Of the videos and the training.")
@DEVICE
def demo(out: Path, seed: int, device: str) -> None:
    """Make small videos, extract, train and evaluate, in a few minutes, with nothing else."""
    from . import pipeline

    measured = pipeline.demo(out, seed=seed, device=device)
    click.echo(measured.evaluation.table())
    click.echo(
        "Features came from a network with random weights: real ones need --weights kinetics."
    )
    for path in measured.written:
        click.echo(path)


@main.command()
@click.argument("name", required=False)
def configs(name: str | None) -> None:
    """List the shipped configurations, or print one with all its settings."""
    from .config import dump_config, load_config, shipped_configs

    click.echo(dump_config(load_config(name)) if name else "\n".join(shipped_configs()))


main.add_command(check)
main.add_command(info)
main.add_command(view)
main.add_command(report)


main.add_command(evaluate)
main.add_command(export_onnx)
main.add_command(import_features)
main.add_command(export)


def _finish(summary: Summary) -> None:
    """Say what became of the videos, and end with the exit code that says the same."""
    click.echo(_account(summary))
    if summary.interrupted:
        click.get_current_context().exit(130)
    if summary.failed:
        click.get_current_context().exit(1)


def _account(summary: Summary) -> str:
    """Return what became of the videos, a line each for those that want attention."""
    elsewhere = f"{len(summary.elsewhere)} by other processes, " if summary.elsewhere else ""
    counts = (
        f"{summary.out}: {len(summary.done)} done ({summary.video_sec:.0f} s of video), "
        f"{len(summary.already)} already there, {elsewhere}{len(summary.failed)} failed, "
        f"{len(summary.partial)} partial"
    )
    lines = [f"failed: {reason}" for reason in summary.failed.values()]
    lines += [f"partial: {reason}" for reason in summary.partial.values()]
    if summary.failed:
        lines.append(f"failures are listed in {summary.out}.failed.json")
    if summary.interrupted:
        lines.append("interrupted; the finished videos are kept, and the same command goes on")
    return "\n".join([*lines, counts])


def _first_process() -> bool:
    """Return whether this is the only process, or the one of several that speaks."""
    return os.environ.get("RANK", "0") == "0"


def _given(parameter: str) -> bool:
    """Whether the user wrote this option, rather than leaving it at its default."""
    source = click.get_current_context().get_parameter_source(parameter)
    return source is click.core.ParameterSource.COMMANDLINE
