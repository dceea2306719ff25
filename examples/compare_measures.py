"""One file of detections measured in two ways: the two protocols of the field do not agree.

    python examples/compare_measures.py PREDICTIONS.json ANNOTATIONS.json [--subset test]

The detections may be another program's: `{"results": {VIDEO: [{"label", "segment", "score"}]}}`,
times in seconds. docs/evaluation.md says what the protocols do.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import tsatal
from tsatal import pipeline

PROTOCOLS = ("anet", "thumos14")
TIOUS = (0.3, 0.4, 0.5, 0.6, 0.7)


def main(
    predictions: str | Path, annotations: str | Path, *, subset: str | None = None
) -> dict[str, float]:
    """Print the mAP at each threshold and return the average mAP, in [0, 1], by protocol."""
    truth = tsatal.load_annotations(annotations)
    print(f"{len(truth.videos)} annotated videos")
    averages = {}
    print("protocol  " + "".join(f"{tiou:>8}" for tiou in (*TIOUS, "mean")))
    for protocol in PROTOCOLS:
        evaluation = pipeline.evaluate_predictions(
            Path(predictions),
            annotations=Path(annotations),
            subset=subset,
            protocol=protocol,
            tious=TIOUS,
        ).evaluation
        averages[protocol] = float(evaluation.average_map)
        figures = (*evaluation.mean_ap, evaluation.average_map)
        print(f"{protocol:10}" + "".join(f"{100 * figure:8.2f}" for figure in figures))
    return averages


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("predictions", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--subset", help="videos to measure on; found by name where not given")
    main(**vars(parser.parse_args()))
