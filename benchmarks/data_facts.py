"""Say of a data set what makes it easier or harder than it looks.

    python benchmarks/data_facts.py ANNOTATIONS.json [--videos FOLDER] [--folds 5] [--deal 0]

Prints how many classes a video has; how many neighbouring actions touch; what share of the time is
action; which classes the folds of compare_heads.py test; and, with the videos, how many borders of
actions are cuts, which any detector sees. A cut is where a picture differs from the one before it
by more than `--levels` of 256 grey levels in the mean, at 64 x 64 pixels; a border is one where
that is so within a picture to either side.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from tsatal.errors import InputError
from tsatal.formats.annotations import AnnotatedVideo, Instance, class_labels
from tsatal.formats.labels.find import load_annotations

SIDE = 64  # pixels
TOUCH_SEC = 0.001
LEVELS = 10.0

Videos = Mapping[str, AnnotatedVideo]


def by_time(video: AnnotatedVideo) -> list[Instance]:
    """Return a video's actions by their start."""
    return sorted(video.instances, key=lambda i: (i.start_sec, i.end_sec))


def about_annotations(videos: Videos) -> Iterator[str]:
    """Yield what the annotations say."""
    actions = sum(len(v.instances) for v in videos.values())
    yield f"{len(videos)} videos, {actions} actions, {len(class_labels(videos.values()))} classes"
    counts = Counter(len({i.label for i in v.instances}) for v in videos.values())
    said = ", ".join(f"{n} in {counts[n]} videos" for n in sorted(counts))
    yield f"classes in a video: {said}"
    pairs = [pair for v in videos.values() for pair in pairwise(by_time(v))]
    touching = sum(abs(b.start_sec - a.end_sec) <= TOUCH_SEC for a, b in pairs)
    yield f"neighbouring actions that touch: {touching} of {len(pairs)}"
    seconds = [v.duration_sec for v in videos.values() if v.duration_sec]
    acting = sum(i.end_sec - i.start_sec for v in videos.values() for i in v.instances)
    yield (
        f"durations: {min(seconds):.1f} to {max(seconds):.1f} s, {sum(seconds):.0f} s in all, "
        f"{100 * acting / sum(seconds):.0f} % of it action"
    )


def about_folds(videos: Videos, count: int, deal: int) -> Iterator[str]:
    """Yield which classes each fold tests, dealt as compare_heads.py deals them."""
    annotated = sorted(k for k, v in videos.items() if v.instances)
    order = [str(k) for k in np.random.default_rng(deal).permutation(annotated)]
    for fold in range(count):
        group = order[fold::count]
        tested = Counter(i.label for k in group for i in videos[k].instances)
        said = ", ".join(f"{label} {n}" for label, n in tested.most_common())
        yield f"fold {fold}: {len(group)} videos test {len(tested)} classes: {said}"


def jumps(path: Path) -> tuple[np.ndarray, float]:
    """Return how far each picture is from the one before it, and the pictures per second."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        pictures = [
            frame.reformat(SIDE, SIDE, "gray").to_ndarray().astype(np.int16)
            for frame in container.decode(stream)
        ]
        rate = float(stream.average_rate or 0)
    apart = [float(np.abs(b - a).mean()) for a, b in pairwise(pictures)]
    return np.array([0.0, *apart]), rate


def about_cuts(videos: Videos, folder: Path, levels: float) -> Iterator[str]:
    """Yield how many borders of actions are cuts, and how many pictures elsewhere are."""
    borders, cuts, elsewhere, pictures = 0, 0, 0, 0
    for name, video in videos.items():
        path = next(iter(sorted(folder.glob(f"{name}.*"))), None)
        if path is None:
            raise InputError(f"{folder}: has no video {name}")
        apart, rate = jumps(path)
        at_border = np.zeros(len(apart), dtype=bool)
        for second in (s for i in video.instances for s in (i.start_sec, i.end_sec)):
            near = slice(max(round(second * rate) - 1, 0), round(second * rate) + 2)
            at_border[near] = True
            borders += 1
            cuts += bool((apart[near] > levels).any())
        elsewhere += int(((apart > levels) & ~at_border).sum())
        pictures += int((~at_border).sum())
    yield f"borders of actions that are cuts: {cuts} of {borders} ({100 * cuts / borders:.0f} %)"
    yield f"pictures elsewhere that are cuts: {elsewhere} of {pictures}"


def main() -> None:
    """Read the command line, look, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--videos", type=Path, metavar="FOLDER")
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument("--deal", type=int, default=0)
    parser.add_argument("--levels", type=float, default=LEVELS)
    args = parser.parse_args()
    try:
        videos = load_annotations(args.annotations).videos
        for line in about_annotations(videos):
            print(line)
        for line in about_folds(videos, args.folds, args.deal):
            print(line)
        for line in about_cuts(videos, args.videos, args.levels) if args.videos else ():
            print(line)
    except InputError as e:
        raise SystemExit(f"error: {e}") from None


if __name__ == "__main__":
    main()
