"""Train on the same rows in three shapes: one long recording, videos as they are, short clips.

    python benchmarks/shapes.py FEATURES.h5 --minutes 30 --seeds 0 1 2

What a head learns should hang on how much there is to learn from, not on how it is cut into files.
Training videos of the file are taken until there are so many minutes, and laid end to end as one;
taken as they are; or cut in the background between actions into clips of `--clip` seconds or a
little more: `--only one videos clips` names them. All are measured on the same test videos, with
the classes that were trained.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tsatal import pipeline
from tsatal.config import load_config
from tsatal.evaluation.significance import spread
from tsatal.formats.annotations import (
    AnnotatedVideo,
    Instance,
    annotations_json,
    class_labels,
    parse_annotations,
)
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import FeatureFile, VideoFeatures
from tsatal.formats.subsets import choose_subsets, find_annotations

SHAPES = ["one", "videos", "clips"]
Sample = tuple[AnnotatedVideo, VideoFeatures]


def end_to_end(videos: Sequence[Sample]) -> list[Sample]:
    """Return all videos as one."""
    first, features = videos[0]
    instances, start = list[Instance](), 0.0
    for video, rows in videos:
        instances += [
            replace(i, start_sec=i.start_sec + start, end_sec=i.end_sec + start)
            for i in video.instances
        ]
        start += rows.axis.num_steps * rows.step_sec
    together = {
        name: np.concatenate([rows.streams[name] for _, rows in videos])
        for name in features.streams
    }
    whole = replace(first, video_id="long", duration_sec=start, instances=tuple(instances))
    return [(whole, replace(features, video_id="long", streams=together, duration_sec=start))]


def in_clips(videos: Iterable[Sample], clip_sec: float) -> list[Sample]:
    """Return the videos in clips, cut where no action is."""
    clips = []
    for video, rows in videos:
        first, steps = 0, rows.axis.num_steps
        for last in range(1, steps + 1):
            at = rows.start_sec + (last - 0.5) * rows.step_sec
            inside = any(i.start_sec < at < i.end_sec for i in video.instances)
            if last < steps and (inside or (last - first) * rows.step_sec < clip_sec):
                continue
            begin = first * rows.step_sec
            kept = [
                replace(i, start_sec=i.start_sec - begin, end_sec=i.end_sec - begin)
                for i in video.instances
                if begin <= i.start_sec < at
            ]
            name, seconds = f"{video.video_id}.{first}", (last - first) * rows.step_sec
            parts = {stream: table[first:last] for stream, table in rows.streams.items()}
            clips.append(
                (
                    replace(video, video_id=name, duration_sec=seconds, instances=tuple(kept)),
                    replace(rows, video_id=name, streams=parts, duration_sec=seconds),
                )
            )
            first = last
    return clips


def measured(shape: Sequence[Sample], test: Sequence[Sample], *, seed: int, config: str) -> float:
    """Return the mAP in % on the test videos of a head that was trained on a shape."""
    labels = class_labels(video for video, _ in shape)
    videos = [replace(video, subset="training") for video, _ in shape]
    for video, _ in test:
        kept = tuple(i for i in video.instances if i.label in labels)
        videos.append(replace(video, subset="testing", instances=kept))
    text = annotations_json(videos)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f.h5"
        truth = parse_annotations(text, source=str(path))
        rows = (rows for _, rows in (*shape, *test))
        write_feature_file(path, rows, provenance={}, annotations_text=truth.text)
        changes = [f"optim.seed={seed}", "optim.validate_every=1000000"]
        run = pipeline.train(path, load_config(config, changes), run=Path(folder) / "run")
        return 100 * pipeline.evaluate(run, timelines=0).evaluation.average_map


def main() -> None:
    """Read the command line, train every shape, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("features", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--clip", type=float, default=10.0, metavar="SEC")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=SHAPES, choices=SHAPES, metavar="SHAPE")
    parser.add_argument("--config", default="strong")
    given = parser.parse_args()
    with FeatureFile(given.features) as file:
        truth = find_annotations(file, None)
        there = set(file.video_ids)
        subsets = choose_subsets(truth.subset_counts())
        train, seconds = list[Sample](), 0.0
        for video_id, video in truth.subset(subsets.train).items():
            if video_id in there and seconds < 60 * given.minutes:
                train.append((video, file.video(video_id)))
                seconds += train[-1][1].duration_sec
        test = [(v, file.video(k)) for k, v in truth.subset(subsets.test).items() if k in there]
    shapes = {
        "one": end_to_end(train),
        "videos": train,
        "clips": in_clips(train, given.clip),
    }
    print(f"{seconds / 60:.0f} minutes, {sum(len(v.instances) for v, _ in train)} actions")
    for name in given.only:
        shape = shapes[name]
        maps = [measured(shape, test, seed=s, config=given.config) for s in given.seeds]
        mean, error = spread(maps)
        each = ", ".join(f"{m:.1f}" for m in maps)
        print(f"{name} ({len(shape)}): {mean:.1f} +- {error:.1f} ({each})", flush=True)


if __name__ == "__main__":
    main()
