"""Write simulated features for real annotations, as a feature file.

    python benchmarks/simulate_features.py thumos14.json sim40.h5 --videos 40

Annotations can be had where videos cannot. For every annotated video this draws one row per
`--step` seconds. Timing is real: durations, lengths, gaps, overlaps, double labels. Content is
drawn: a scene for each class of the video that lasts all of it, a begin, middle and end of each
action, an amplitude per action, borders blurred over a second or so, distracting motions in the
background, white noise and slow noise, all cut at zero as features after a ReLU are.

Use it to compare heads on the same input and to try large files. An mAP on simulated features says
nothing about the mAP on the real videos.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tsatal.errors import InputError
from tsatal.formats.annotations import AMBIGUOUS, AnnotatedVideo, class_labels
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import VideoFeatures
from tsatal.formats.labels.find import load_annotations

Array = NDArray[np.float64]

SCENE = 0.6  # the share of each class present, in all rows of a video
BLUR_STEPS = 7  # width of the window that blurs borders
JITTER_SEC = 0.15  # deviation of a drawn border from the annotated one
SEC_PER_DISTRACTOR = 25.0
THIRDS = ((0.0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1.0001))  # begin, middle, end
WRONG_ORDER, RIGHT_ORDER = (2, 0, 1), (0, 1, 2)  # of a distractor, of an action
SLOW_NOISES, KEEPS, ADDS = 16, 0.97, 0.24  # slow noise: autoregressive sources, mixed


@dataclass(frozen=True)
class Classes:
    """What the classes look like.

    scene: (C, width), unit rows.
    motion: (C, 3, width), the begin, middle and end of each.
    """

    labels: Sequence[str]
    scene: Array
    motion: Array


@dataclass(frozen=True)
class Event:
    """Something that goes on in a video: an action, or a distractor with a negative amplitude."""

    label: int
    start_sec: float
    end_sec: float
    amplitude: float


def draw_classes(labels: Sequence[str], width: int, rng: np.random.Generator) -> Classes:
    """Return drawn classes, whose motions share a common part."""

    def unit(*shape: int) -> Array:
        drawn = rng.normal(size=(*shape, width))
        return np.asarray(drawn / np.linalg.norm(drawn, axis=-1, keepdims=True))

    common, scene, count = unit(1), unit(len(labels)), len(labels)
    return Classes(labels, scene, unit(count, 1) * 0.8 + unit(count, 3) * 0.8 + common[None] * 0.4)


def draw_events(
    video: AnnotatedVideo, labels: Sequence[str], rng: np.random.Generator
) -> list[Event]:
    """Return the actions of a video with drawn amplitudes, then its distractors."""
    events = [
        Event(labels.index(i.label), i.start_sec, i.end_sec, rng.lognormal(0.0, 0.35))
        for i in video.instances
        if i.label != AMBIGUOUS
    ]
    present = sorted({labels[e.label] for e in events})
    for _ in range(rng.poisson(duration(video) / SEC_PER_DISTRACTOR)):
        anyone = rng.random() < 0.3 or not present
        label = rng.integers(len(labels)) if anyone else labels.index(rng.choice(present))
        start = rng.uniform(0, duration(video))
        length = rng.lognormal(0.6, 0.6)
        events.append(Event(int(label), start, start + length, -0.45 * rng.lognormal(0, 0.3)))
    return events


def duration(video: AnnotatedVideo) -> float:
    """Return the annotated seconds of a video.

    Raises:
        InputError: the annotations do not say.
    """
    if video.duration_sec is None:
        raise InputError(f"{video.video_id}: has no duration, which sets its number of rows")
    return video.duration_sec


def blur(curve: Array) -> Array:
    """Return a curve (T,) smoothed by a Hann window."""
    window = np.hanning(BLUR_STEPS + 2)[1:-1]
    return np.convolve(curve, window / window.sum(), mode="same")


def simulate(
    video: AnnotatedVideo,
    classes: Classes,
    *,
    step_sec: float,
    noise: float,
    rng: np.random.Generator,
) -> NDArray[np.float16]:
    """Return the rows (T, width) of one annotated video."""
    width = classes.scene.shape[1]
    steps = max(1, int(np.ceil(duration(video) / step_sec)))
    middle = (np.arange(steps) + 0.5) * step_sec
    rows = np.zeros((steps, width))
    for label in sorted({i.label for i in video.instances} - {AMBIGUOUS}):
        rows += SCENE * classes.scene[classes.labels.index(label)]

    for event in draw_events(video, classes.labels, rng):
        jitter = rng.normal(0, JITTER_SEC, size=2)
        start = event.start_sec + jitter[0]
        end = max(event.end_sec + jitter[1], event.start_sec + 0.2)
        phase = (middle - start) / max(end - start, 1e-6)
        inside = ((middle >= start) & (middle < end)).astype(float)
        order = WRONG_ORDER if event.amplitude < 0 else RIGHT_ORDER
        for third, (low, high) in zip(order, THIRDS, strict=True):
            curve = blur(inside * ((phase >= low) & (phase < high)))
            rows += abs(event.amplitude) * curve[:, None] * classes.motion[event.label, third]

    slow, drive = np.zeros((steps, SLOW_NOISES)), rng.normal(size=(steps, SLOW_NOISES))
    for step in range(1, steps):
        slow[step] = KEEPS * slow[step - 1] + ADDS * drive[step]
    mix = rng.normal(size=(SLOW_NOISES, width)) / np.sqrt(width)
    rows += 0.8 * slow @ mix + noise * rng.normal(size=(steps, width)) / np.sqrt(width)
    return np.maximum(rows * np.sqrt(width) * 0.25 + 0.1, 0).astype(np.float16)


def choose(
    videos: Mapping[str, AnnotatedVideo], per_subset: int, rng: np.random.Generator
) -> tuple[list[str], Counter[str]]:
    """Return so many drawn videos of every subset (0: all), sorted, and how many of each."""
    kept: list[str] = []
    count: Counter[str] = Counter()
    for name in map(str, rng.permutation(sorted(videos))):
        subset = videos[name].subset
        if per_subset and count[subset] >= per_subset:
            continue
        count[subset] += 1
        kept.append(name)
    return kept, count


def write(args: argparse.Namespace) -> None:
    """Write the feature file that the command line asks for."""
    truth = load_annotations(args.annotations)
    labels = class_labels(truth.videos.values())
    classes = draw_classes(labels, args.dim, np.random.default_rng(args.seed))
    kept, count = choose(truth.videos, args.videos, np.random.default_rng(args.seed))
    database = json.loads(truth.text)["database"]
    text = {"version": "simulated", "database": {name: database[name] for name in kept}}

    def draw(number: int, name: str) -> VideoFeatures:
        video = truth.videos[name]
        rng = np.random.default_rng([args.seed, number, len(video.instances)])
        rows = simulate(video, classes, step_sec=args.step, noise=args.noise, rng=rng)
        return VideoFeatures(name, {"rgb": rows}, args.step / 2, args.step, duration(video))

    write_feature_file(
        args.out,
        (draw(number, name) for number, name in enumerate(sorted(kept))),
        provenance={"extractor": "simulated", "seed": args.seed, "noise": args.noise},
        annotations_text=json.dumps(text),
    )
    print(f"{len(kept)} videos {dict(count)} -> {args.out}")


def main() -> None:
    """Read the command line, draw, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("annotations", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--videos", type=int, default=0, help="so many of every subset (0: all)")
    parser.add_argument("--dim", type=int, default=512, help="numbers per row")
    parser.add_argument("--step", type=float, default=0.2, help="seconds between two rows")
    parser.add_argument("--noise", type=float, default=4.0, help="in units of a motion's norm")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        write(args)
    except InputError as e:
        raise SystemExit(f"error: {e}") from None


if __name__ == "__main__":
    main()
