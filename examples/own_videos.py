"""Videos of your own: features, a trained head, its mAP, and the actions that it finds.

    python examples/own_videos.py VIDEOS WORK [--weights random] [--config strong]

VIDEOS is a folder with `annotations.json` in it, as docs/own_videos.md describes; WORK is where
everything is written. Random weights need no download, and are for trying this out only.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tsatal


def main(
    videos: str | Path,
    work: str | Path,
    *,
    config: str = "strong",
    overrides: Sequence[str] = (),
    **settings: Any,
) -> None:
    """Extract, train, evaluate and detect.

    Args:
        videos: folder of annotated videos.
        work: folder for everything that is written.
        config: a preset, or a YAML file.
        overrides: changes of it, such as "optim.epochs=40".
        settings: of the extraction, such as `weights="random"` or `fps=20`.
    """
    features = Path(work) / "features.h5"

    # Once: videos that are in the file already are left alone.
    tsatal.extract(videos, features, **settings)

    run = tsatal.train(features, config, run=Path(work) / "run", overrides=overrides)

    # mAP on the held-out subset; predictions, pictures and a report are in the run's folder.
    result = tsatal.evaluate(run)
    print(result)
    print(f"average mAP {100 * result.evaluation.average_map:.1f} %")

    # These are the videos again; give new ones to find actions in them.
    found = tsatal.detect(videos, run=run, out=Path(work) / "found")
    for video_id, video in found.items():
        for detection in video.detections[:3]:  # best first
            print(
                f"{video_id}: {detection.label} from {detection.start_sec:.1f} "
                f"to {detection.end_sec:.1f} s ({detection.score:.2f})"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--weights", default="kinetics", help="kinetics, random, or a checkpoint")
    parser.add_argument("--config", default="strong")
    main(**vars(parser.parse_args()))
