"""Rows that another program made: write them into a feature file, train on it, and evaluate.

    python examples/cached_features.py WORK

Here the rows are drawn: number `n` of a row rises while action `n` goes on. Replace `my_videos` by
what reads yours. (For layouts in which features are published, `tsatal import` does all of this.)
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tsatal
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import VideoFeatures

FPS = 25.0  # of the frames that the network saw
STRIDE_FRAMES = 8  # from one row to the next
WINDOW_FRAMES = 16  # that one row saw
LABELS = ("jump", "run", "wave")


def main(work: str | Path, *, overrides: Sequence[str] = ("optim.epochs=30",)) -> float:
    """Write `features.h5`, train on it and return the average mAP, in [0, 1]."""
    work = Path(work)
    work.mkdir(parents=True, exist_ok=True)
    features = work / "features.h5"
    rows_by_id, database = {}, {}
    for video_id, rows, entry in my_videos():
        rows_by_id[video_id], database[video_id] = rows, entry

    # What decides whether actions are found where they are: row 0 stands for the middle of the
    # frames that it saw, and rows are one stride apart.
    start_sec, step_sec = (WINDOW_FRAMES - 1) / 2 / FPS, STRIDE_FRAMES / FPS
    write_feature_file(
        features,
        (
            VideoFeatures(
                video_id,
                {"rgb": rows},
                start_sec=start_sec,
                step_sec=step_sec,
                duration_sec=database[video_id]["duration"],
            )
            for video_id, rows in rows_by_id.items()
        ),
        provenance={"extractor": "mine", "stride_frames": STRIDE_FRAMES},
        annotations_text=json.dumps({"database": database}),
    )

    # What was written can be looked at.
    with tsatal.FeatureFile(features) as file:
        first = file.video_ids[0]
        print(f"{len(file.video_ids)} videos; {first} has {file.time_axis(first).num_steps} rows")

    run = tsatal.train(features, "paper", run=work / "run", overrides=overrides)
    result = tsatal.evaluate(run)
    print(result)
    return float(result.evaluation.average_map)


def my_videos(
    count: int = 12, num_rows: int = 120
) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
    """Yield id, rows (T, D) float32 and annotation of each video; every third is held out."""
    rng = np.random.default_rng(0)
    for number in range(count):
        rows = rng.normal(0, 0.1, (num_rows, 16)).astype(np.float32)
        actions = []
        for place, first in enumerate(range(10, num_rows - 20, 25)):
            action = (number + place) % len(LABELS)
            rows[first : first + 12, action] += 1
            seconds = [first * STRIDE_FRAMES / FPS, (first + 12) * STRIDE_FRAMES / FPS]
            actions.append({"label": LABELS[action], "segment": seconds})
        entry = {
            "subset": "validation" if number % 3 == 2 else "training",
            "duration": num_rows * STRIDE_FRAMES / FPS,
            "annotations": actions,
        }
        yield f"video_{number:02d}", rows, entry


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    main(**vars(parser.parse_args()))
