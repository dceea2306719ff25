"""Measure how far a trained head's loss depends on the other sequences of its batch.

    python benchmarks/norms.py RUN [RUN ...]

Batch norms take mean and variance from the batch in training and are constants in detection. Prints
the class loss of the final heads, without dropout, both ways, on the run's own training videos and
on its test videos.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from tsatal.formats.features import FeatureFile
from tsatal.formats.subsets import find_annotations, videos_in_subset
from tsatal.head.dataset import label_videos
from tsatal.head.detector import Detector, load_detector
from tsatal.head.losses import HeadLoss
from tsatal.head.training import epoch_batches
from tsatal.head.windows import LabelledVideo, plan_windows

EPOCHS = 4


@torch.no_grad()
def class_loss(
    detector: Detector, file: FeatureFile, videos: Sequence[LabelledVideo], *, by_batch: bool
) -> float:
    """Return the mean class loss of the final heads over batches drawn as in training."""
    every_batch = {"positives_momentum": 0.0}  # by its own number of positives
    loss = detector.config.loss.model_copy(update=every_batch)
    criterion = HeadLoss(loss)
    for module in detector.head.eval().modules():
        if isinstance(module, nn.BatchNorm1d):
            module.train(by_batch)
            module.momentum = 0.0  # running statistics stay
    losses = []
    plan = plan_windows(videos, detector.config.data, epochs=EPOCHS, batch_size=1)
    for epoch in range(EPOCHS):
        for batch in epoch_batches(
            file, videos, plan, detector.config, detector.data.streams, epoch=epoch
        ):
            output = detector.head(batch.features, batch.valid)
            _, parts = criterion(output, batch.truth, num_steps=batch.features.shape[1])
            losses.append(float(parts["final_classes"]))
    return statistics.mean(losses)


def main() -> None:
    """Read the command line, measure every run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    for run in parser.parse_args().runs:
        detector = load_detector(run)
        data = detector.data
        with FeatureFile(Path(data.features)) as file:
            truth = find_annotations(file, data.annotations_for(None, None))
            for subset in (data.subsets.train, data.subsets.test):
                chosen = label_videos(file, videos_in_subset(file, truth, subset), data.labels)
                batch, constant = (
                    class_loss(detector, file, chosen, by_batch=way) for way in (True, False)
                )
                print(f"{run} {subset}: by batch {batch:.3f}, constants {constant:.3f}")


if __name__ == "__main__":
    main()
