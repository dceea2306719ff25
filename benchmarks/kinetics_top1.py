"""How often a backbone's own classifier names the class of a clip, without any training.

    python benchmarks/kinetics_top1.py VIDEOS --expect push-ups="push up" --expect squats=squat

A video counts whose file name begins with one of the prefixes; its class is the one of the highest
mean score. It tells whether a network and its weights do here what they did where they were
trained: wrong colours, a wrong range or shuffled classes give guesses at random.
"""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from tsatal import pipeline
from tsatal.extract.sources import find_videos
from tsatal.formats.features import FeatureFile


@click.command()
@click.argument("videos", type=click.Path(path_type=Path, exists=True))
@click.option("--expect", multiple=True, required=True, metavar="PREFIX=CLASS")
@click.option("--backbone", default="i3d", show_default=True)
@click.option("--fps", type=float)
@click.option("--resize", type=int)
@click.option("--crop", type=int)
@click.option("--stride", type=int)
@click.option("--weights")
def main(videos: Path, expect: tuple[str, ...], **settings: Any) -> None:
    """Print the share of VIDEOS whose class is guessed, and every wrong guess."""
    expected = dict(pair.split("=", 1) for pair in expect)
    classes = {
        path.stem: name
        for path in find_videos(videos)
        for prefix, name in expected.items()
        if path.name.startswith(prefix)
    }
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with tempfile.TemporaryDirectory() as folder:
        listed, out = Path(folder) / "videos.txt", Path(folder) / "out.h5"
        chosen = [str(p.resolve()) for p in find_videos(videos) if p.stem in classes]
        listed.write_text("\n".join(chosen))
        began = time.monotonic()
        done = pipeline.extract(listed, out, scores=True, **settings)
        took = time.monotonic() - began
        right = 0
        with FeatureFile(out) as file:
            for video_id in file.video_ids:
                scores = file.class_scores(video_id)
                assert scores is not None
                best = scores.best(3)
                if best[0][0] == classes[video_id]:
                    right += 1
                else:
                    guesses = ", ".join(f"{name} {score:.2f}" for name, score in best)
                    print(f"{video_id}: {classes[video_id]!r} is taken for {guesses}")
            print(f"{right} of {len(file.video_ids)} right, in {took:.0f} s: {done!r}")


if __name__ == "__main__":
    main()
