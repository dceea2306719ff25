"""Labels made up at random, for round trips through every form."""

import random
from pathlib import Path

from tsatal.formats.annotations import FOREVER_SEC, Detection, Instance
from tsatal.formats.labels.find import HowToRead, parse_labels
from tsatal.formats.labels.record import Action, FrameClock, Labels, VideoLabels

LABELS = ("run", "pick up", "Öffnen", "a,b;c", 'say "hi"', "<b> & co", "1", "Ambiguous", "走る")
IDS = ("v1", "kitchen 02", "vidéo_3", "a.b", "x-y", "0007")


def labels_of(text: str, name: str = "v.txt", how: HowToRead | None = None) -> Labels:
    """Return what is read of a text, found by its content."""
    return parse_labels(text, Path(name), how or HowToRead())


def at_random(
    seed: int,
    *,
    scores: bool = False,
    subsets: bool = False,
    durations: bool = False,
    step: float | None = None,
    negative: bool = False,
    ignored: bool = False,
    groups: bool = False,
) -> Labels:
    """Return random labels: overlapping, touching, of no length, and a video without any.

    step: of the clock that times lie on; None for numbers with all their digits.
    """
    rng = random.Random(seed)

    def on_clock(seconds: float) -> float:
        return seconds if step is None else round(round(seconds / step) * step, 6)

    videos = {}
    for n, video_id in enumerate(IDS):
        spans: list[tuple[str, float, float]] = []
        for _ in range(0 if n == 3 else rng.randrange(1, 15)):
            start = on_clock(rng.uniform(-5 if negative else 0, 90))
            length = rng.choice([0.0, rng.uniform(0.1, 3), rng.uniform(0, 40)])
            label = rng.choice(LABELS)
            spans.append((label, start, max(start, on_clock(start + length))))
            if rng.random() < 0.2:  # one that begins where that ends
                end = spans[-1][2]
                spans.append((label, end, on_clock(end + 1)))
        actions: list[Action] = [
            Detection(*span, round(rng.random(), 4)) if scores else Instance(*span)
            for span in spans
        ]
        subset = rng.choice(["training", "validation"]) if subsets else ""
        lasts = round(rng.uniform(100, 200), 3) if durations else None
        aside = ((0.0, rng.random()), (rng.uniform(50, 60), FOREVER_SEC))[: rng.randrange(3)]
        videos[video_id] = VideoLabels(
            video_id,
            tuple(actions),
            subset,
            lasts,
            ignored=aside if ignored else (),
            group=rng.choice(["", "anna", "Öl & co"]) if groups else "",
        )
    return Labels("made up", videos)


def content(labels: Labels) -> dict[str, tuple[object, ...]]:
    """Return what labels hold, whatever the order of a video's actions."""
    return {
        v.video_id: (
            sorted(v.actions, key=lambda a: (a.start_sec, a.end_sec, a.label)),
            v.subset,
            v.duration_sec,
            sorted(v.ignored),
            v.group,
        )
        for v in labels.videos.values()
    }


def spans(labels: Labels, video_id: str) -> list[tuple[str, float, float]]:
    """Return the actions of a video as label, start and end, in the order of the file."""
    return [(a.label, a.start_sec, a.end_sec) for a in labels.videos[video_id].actions]


def at_rate(fps: float) -> HowToRead:
    """Return the way to read labels that count frames."""
    return HowToRead(FrameClock(fps))
