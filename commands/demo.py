"""`tsatal demo`: the whole pipeline on a small data set that it makes itself.

A disc on a textured ground stands or drifts; now and then it performs an action. Every action
looks the same in a still picture, so only a detector that uses time can tell them apart.

The network that looks is DeepMind's I3D, trained on Kinetics, where its weights are on this
machine. Otherwise it has random weights, which shows that the pipeline works, and no more.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..formats.annotations import AnnotatedVideo, Instance, annotations_json
from ..formats.atomic import check_place, write_text
from .options import DEVICE, FOLDER, MOST, say, when_stopped

logger = logging.getLogger(__name__)

FPS = 20.0
SIZE = 128  # pixels, width and height
RADIUS = 20.0  # pixels, of the disc
# How the trained network looks: at the videos' own size, a row every 0.32 s, class scores kept.
TRAINED = {"backbone": "i3d", "fps": 12.5, "resize": 112, "crop": 112, "stride": 4, "scores": True}
UNTRAINED = {"weights": "random"}

Pose = tuple[float, float, float]  # offset right, offset down, in pixels; scale of the radius


def _circle(t: float) -> Pose:
    turn = 2 * math.pi * 0.8 * t
    return 24 * math.sin(turn), 24 * (1 - math.cos(turn)), 1.0


def _bounce(t: float) -> Pose:
    return 0.0, -34 * abs(math.sin(math.pi * 1.2 * t)), 1.0


def _sweep(t: float) -> Pose:
    return 34 * math.sin(2 * math.pi * 0.8 * t), 0.0, 1.0


def _pulse(t: float) -> Pose:
    return 0.0, 0.0, 1 + 0.45 * math.sin(2 * math.pi * 1.0 * t)


ACTIONS: dict[str, Callable[[float], Pose]] = {
    "bounce": _bounce,
    "circle": _circle,
    "pulse": _pulse,
    "sweep": _sweep,
}


def write_demo_videos(
    folder: Path, *, training: int = 16, validation: int = 4, duration_sec: float = 16.0, seed: int
) -> list[Path]:
    """Write encoded videos and their `annotations.json` into `folder`; return the videos' paths.

    The annotations come last: where they are, all videos are whole.

    Raises:
        OSError: this OpenCV cannot encode MPEG-4.
    """
    folder.mkdir(parents=True, exist_ok=True)
    videos, paths = [], []
    subsets = ["training"] * training + ["validation"] * validation
    for number, subset in enumerate(subsets):
        rng = np.random.default_rng([seed, number])
        actions = _schedule(duration_sec, rng)
        path = folder / f"{subset}_{number:02d}.mp4"
        _encode(path, actions, duration_sec, rng)
        instances = tuple(Instance(*action) for action in actions)
        videos.append(AnnotatedVideo(path.stem, subset, duration_sec, instances))
        paths.append(path)
    write_text(folder / "annotations.json", annotations_json(videos))
    return paths


def _schedule(duration_sec: float, rng: np.random.Generator) -> list[tuple[str, float, float]]:
    """Return actions (label, start, end) with pauses between them."""
    actions = []
    now = float(rng.uniform(0.6, 1.8))
    while now < duration_sec - 2.5:
        end = min(now + float(rng.uniform(2.0, 4.0)), duration_sec - 0.5)
        actions.append((str(rng.choice(sorted(ACTIONS))), round(now, 2), round(end, 2)))
        now = end + float(rng.uniform(0.8, 1.8))
    return actions


def _encode(
    path: Path,
    actions: list[tuple[str, float, float]],
    duration_sec: float,
    rng: np.random.Generator,
) -> None:
    from ..extract.opencv import cv2  # here, so that `tsatal --help` need not load it

    ground = _texture(rng)
    colour = tuple(int(c) for c in rng.integers(120, 256, size=3))
    home = rng.uniform(SIZE * 0.42, SIZE * 0.58, size=2) + np.array([0, 8])
    drift = rng.uniform(-0.6, 0.6, size=2)  # pixels per second
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (SIZE, SIZE))
    if not writer.isOpened():
        raise OSError(f"{path}: OpenCV cannot write MPEG-4 video here; install it from PyPI")
    for n in range(round(duration_sec * FPS)):
        t = n / FPS
        dx, dy, scale = next((ACTIONS[a](t - s) for a, s, e in actions if s <= t < e), (0, 0, 1))
        frame = ground.copy()
        x, y = home + drift * t + (dx, dy)
        cv2.circle(frame, (round(x), round(y)), round(RADIUS * scale), colour, -1, cv2.LINE_AA)
        noisy = frame + rng.normal(0, 3, size=frame.shape)
        writer.write(noisy.clip(0, 255).astype(np.uint8))
    writer.release()


def _texture(rng: np.random.Generator) -> np.ndarray:
    """Return a smooth random ground, (SIZE, SIZE, 3) float in [30, 110]."""
    from ..extract.opencv import cv2

    coarse = rng.uniform(30, 110, size=(9, 9, 3)).astype(np.float32)
    return cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)


def network() -> dict[str, Any]:
    """Return how to look at the videos, by what is on this machine: `TRAINED` or `UNTRAINED`."""
    from ..extract.backbones.table import find_family, is_here

    return TRAINED if is_here(find_family("i3d")) else UNTRAINED


def first_look(features: Path, video_ids: list[str]) -> list[str]:
    """Return what the network's own classes say of some videos, in lines; nothing was trained."""
    from ..extract.first_look import look
    from ..formats.features import FeatureFile

    lines = ["What the network makes of the same videos by its own 400 classes, untaught:"]
    with FeatureFile(features) as file:
        for video_id in video_ids:
            if scores := file.class_scores(video_id):
                seen = look(scores, file.time_axis(video_id)).detections
                parts = [
                    f"{d.label} {d.start_sec:.1f} to {d.end_sec:.1f} s ({d.score:.2f})"
                    for d in sorted(seen, key=lambda d: d.start_sec)
                ]
                lines.append(f"{video_id}: {', '.join(parts) or 'nothing it is sure of'}")
    return lines


@click.command("demo")
@click.option(
    "--out", type=FOLDER, default="demo", show_default=True, help="Folder for everything it makes."
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, MOST),
    help="Of the videos and the training.",
)
@DEVICE
def command(out: Path, seed: int, device: str) -> None:
    """Make small videos, extract, train and evaluate, in a few minutes, with nothing else.

    All of it stays in OUT; a second call finds videos and features and trains again.
    """
    when_stopped(
        f"the finished videos and features are kept in {out}, and the same command goes on"
    )
    check_place(out, folder=True)
    from .. import pipeline
    from ..extract.backbones.dense import INSTALL
    from ..formats.predictions import load_predictions
    from ..head.run import new_run_dir
    from ..reports.viewer import view_predictions

    videos, features = out / "videos", out / "features.h5"
    annotations = videos / "annotations.json"
    if not annotations.exists():
        logger.info("writing videos of moving shapes into %s", videos)
        write_demo_videos(videos, seed=seed)
    looked = network()
    extraction = pipeline.extract(videos, features, device=device, **looked)
    if extraction.stopped_by:
        raise extraction.stopped_by
    run = pipeline.train(
        features, "demo", overrides=[f"optim.seed={seed}"], device=device,
        run=new_run_dir("demo", root=out / "runs"),
    )  # fmt: skip
    report = pipeline.evaluate(run, device=device)
    predictions, pages = run / "predictions.json", run / "pages"
    for video_id in load_predictions(predictions):
        video, page = videos / f"{video_id}.mp4", pages / f"{video_id}.html"
        view_predictions(video, predictions, page, annotations=annotations)
    say(report)
    if looked == TRAINED:
        say(*first_look(features, list(load_predictions(predictions))))
    else:
        say(f"Features came from a network with random weights. For a trained one: {INSTALL}")
    for path in (*report.written, pages):
        say(path)
