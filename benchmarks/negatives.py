"""Train with and without windows of background; count false alarms where nothing happens.

    python benchmarks/negatives.py FEATURES.h5 --shares 0 0.2 --seeds 0 1 2

Measured are the average mAP on the test subset, and in its videos without any action the detections
above a threshold, per hour. The threshold is the one that keeps `--recall` of the test's actions
(found at tIoU 0.5), so that both trainings are compared at the same recall.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from tsatal import pipeline
from tsatal.config import load_config
from tsatal.evaluation.matching import ANET, Measure, match
from tsatal.evaluation.significance import spread
from tsatal.formats.features import FeatureFile
from tsatal.formats.predictions import load_predictions
from tsatal.formats.subsets import find_annotations, videos_in_subset
from tsatal.head.run import POINT_FILE


def measured(features: Path, share: float, seed: int, recall: float) -> tuple[float, float]:
    """Return the mAP in % and the false alarms per hour where nothing happens."""
    changes = [f"data.background_share={share}", f"optim.seed={seed}"]
    changes.append("optim.validate_every=1000000")
    with tempfile.TemporaryDirectory() as folder:
        run = pipeline.train(features, load_config("strong", changes), run=Path(folder))
        (run / POINT_FILE).unlink(missing_ok=True)  # one threshold for the head's own scores
        evaluation = pipeline.evaluate(run, timelines=0).evaluation
        found = load_predictions(run / "predictions.json")
    with FeatureFile(features) as file:
        videos = videos_in_subset(file, find_annotations(file, None), evaluation.subset)
        hours = {v: file.time_axis(v).duration_sec / 3600 for v in videos}
    matches = match(videos, found, Measure(ANET, (0.5,)), subset=evaluation.subset)
    right = np.sort(matches.score[matches.hit[0]])[::-1]
    wanted = int(np.ceil(recall * len(matches.instances)))
    threshold = right[wanted - 1] if wanted <= len(right) else 0.0
    empty = [v for v, video in videos.items() if not video.instances]
    alarms = sum(d.score >= threshold for v in empty for d in found.get(v, []))
    return 100 * evaluation.average_map, alarms / sum(hours[v] for v in empty)


def main() -> None:
    """Read the command line, train, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("features", type=Path)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.2])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recall", type=float, default=0.8)
    given = parser.parse_args()
    for share in given.shares:
        rows = [measured(given.features, share, seed, given.recall) for seed in given.seeds]
        maps, alarms = (spread(column) for column in zip(*rows, strict=True))
        each = ", ".join(f"{m:.1f}/{a:.0f}" for m, a in rows)
        print(
            f"background {share:.0%}: mAP {maps[0]:.1f} +- {maps[1]:.1f}, false alarms per hour "
            f"at {given.recall:.0%} recall {alarms[0]:.0f} +- {alarms[1]:.0f} ({each})",
            flush=True,
        )


if __name__ == "__main__":
    main()
