"""Train ActionFormer, from a checkout of its repository, over folds and seeds on a feature file.

    python benchmarks/train_peer.py PATH FEATURES.h5 --folds 5 --seeds 0 1 --epochs 60 \\
        --lr 1e-3 --standardise --out peer.csv --keep peer/
    python benchmarks/compare_heads.py FEATURES.h5 strong --folds 5 --seeds 0 1 --beside peer.csv

PATH is its public repository (https://github.com/happyharrycn/actionformer_release; the figures in
docs/ are of commit 61ea7eb) with its NMS extension built as its INSTALL.md says. Its network, loss,
cropping, optimiser, schedule and suppression are its own code, in its recipe for THUMOS14
(configs/thumos_i3d.yaml), on the CPU, one thread. Changed are

* the width of the features, the classes, and the width of the network (--width);
* `max_seq_len`, the smallest that it allows and that holds the longest training video, at most the
  2304 of its recipe (--max-seq-len);
* the number of epochs (--epochs, warm-up among them in its proportion, 5 of 35);
* if asked for, the learning rate (--lr), and features standardised by mean and deviation of every
  channel over the training videos (--standardise).

Folds are those of compare_heads.py. Detections of every fold go to --keep as
ROW.foldN.seedN.json, which `tsatal evaluate --predictions` reads, and are measured by the same
code as ours. Its last weights are measured; with --averaged those that its own evaluation takes,
averaged with a decay of 0.999, which after a few hundred steps are mostly initialisation. Results
that are already in --out are not made again.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from tsatal.config import load_config
from tsatal.errors import InputError
from tsatal.formats.annotations import Detection
from tsatal.formats.features import FeatureFile
from tsatal.formats.labels.find import load_annotations
from tsatal.formats.predictions import predictions_json
from tsatal.formats.subsets import find_annotations
from tsatal.head.run import RunData, TrainingVideos, describe

if TYPE_CHECKING:  # the name by which mypy knows it
    from benchmarks.actionformer_peer import MAX_STEPS, Peer, as_video
    from benchmarks.head_results import (
        TEST,
        TRAIN,
        Fold,
        Result,
        append_result,
        deal_folds,
        kept_file,
        measure_fold,
        pooled_map,
        read_results,
        table,
        write_fold,
    )
else:
    from actionformer_peer import MAX_STEPS, Peer, as_video
    from head_results import (
        TEST,
        TRAIN,
        Fold,
        Result,
        append_result,
        deal_folds,
        kept_file,
        measure_fold,
        pooled_map,
        read_results,
        table,
        write_fold,
    )

WARMUP_SHARE = 5 / 35  # of all epochs, in its recipe


@dataclass(frozen=True)
class Setup:
    """How the peer is trained."""

    root: Path
    width: int
    epochs: int
    lr: float
    max_seq_len: int | None
    standardise: bool
    averaged: bool

    @property
    def row(self) -> str:
        """The name in tables, with all that may differ."""
        own = [f"ActionFormer width={self.width} epochs={self.epochs} lr={self.lr:g}"]
        own += [f"max-seq-len={self.max_seq_len}"] if self.max_seq_len else []
        own += ["standardised"] if self.standardise else []
        return " ".join([*own, "averaged"] if self.averaged else own)


@dataclass(frozen=True)
class Rows:
    """The rows of a fold's videos, standardised or not, as the peer's network takes them."""

    file: FeatureFile
    data: RunData
    mean: np.ndarray | float
    deviation: np.ndarray | float

    def video(self, video_id: str) -> dict[str, Any]:
        """Return one video in the form of the peer's data sets, without actions."""
        rows = (self.file.rows(video_id, self.data.streams) - self.mean) / self.deviation
        return as_video(torch.from_numpy(rows.astype(np.float32)), self.file.time_axis(video_id))

    def labelled(self, training: TrainingVideos) -> list[dict[str, Any]]:
        """Return the training videos that have actions, with these in steps."""
        return [
            {
                **self.video(video.video_id),
                "segments": torch.from_numpy(video.segments.astype(np.float32)),
                "labels": torch.from_numpy(video.labels),
            }
            for video in training.labelled
            if len(video.segments)
        ]


def prepare(setup: Setup, file: FeatureFile, data: RunData, training: TrainingVideos) -> Rows:
    """Return the rows of a fold, measured on its training videos where they are standardised."""
    if not setup.standardise:
        return Rows(file, data, 0.0, 1.0)
    rows = np.concatenate([file.rows(v.video_id, data.streams) for v in training.labelled])
    deviation = rows.std(axis=0)
    return Rows(file, data, rows.mean(axis=0), np.where(deviation > 0, deviation, 1.0))


def changed_recipe(
    setup: Setup, peer: Peer, data: RunData, *, longest_train: int, longest: int
) -> dict[str, Any]:
    """Return the peer's recipe with what the module's docstring says."""
    steps = setup.max_seq_len or min(longest_train, MAX_STEPS)
    recipe = peer.recipe(data, width=setup.width, steps=steps, longest=longest)
    warmup = max(1, round(WARMUP_SHARE * setup.epochs))
    recipe["opt"].update(
        learning_rate=setup.lr, warmup_epochs=warmup, epochs=max(setup.epochs - warmup, 0)
    )
    return recipe


def epoch_of(videos: Sequence[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the videos in a drawn order, as whole batches; a rest is left out, as its loader does.

    Fewer videos than a batch are one batch.
    """
    order = torch.randperm(len(videos)).tolist()
    size = min(size, len(videos))
    for first in range(0, len(order) - size + 1, size):
        yield [videos[n] for n in order[first : first + size]]


def train(
    setup: Setup, peer: Peer, recipe: dict[str, Any], videos: Sequence[dict[str, Any]], seed: int
) -> tuple[nn.Module, float]:
    """Return the trained network and the mean loss of its last epoch."""
    peer.tools.fix_random_seed(seed, include_cuda=False)
    model = peer.modeling.make_meta_arch(recipe["model_name"], **recipe["model"]).train()
    dataset, clip = recipe["dataset"], recipe["train_cfg"]["clip_grad_l2norm"]
    size, longest = recipe["loader"]["batch_size"], recipe["model"]["max_seq_len"]
    optimizer = peer.tools.make_optimizer(model, recipe["opt"])
    scheduler = peer.tools.make_scheduler(optimizer, recipe["opt"], max(1, len(videos) // size))
    average = peer.tools.ModelEma(model)
    losses: list[float] = []
    for _ in range(setup.epochs):
        losses.clear()
        for batch in epoch_of(videos, size):
            cropped = [
                peer.truncate_feats(
                    video, longest, dataset["trunc_thresh"],
                    0.5 * video["feat_num_frames"] / video["feat_stride"], dataset["crop_ratio"],
                )
                for video in batch
            ]  # fmt: skip
            optimizer.zero_grad(set_to_none=True)
            loss: Tensor = model(cropped)["final_loss"]
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            scheduler.step()
            average.update(model)
            losses.append(loss.item())
    final = statistics.mean(losses)
    return (average.module if setup.averaged else model), final if final == final else math.inf


@torch.no_grad()
def detect(model: nn.Module, rows: Rows, video_ids: Sequence[str]) -> dict[str, list[Detection]]:
    """Return the peer's detections, best first, by its own suppression."""
    model.eval()
    found = {}
    for video_id in video_ids:
        result = model([rows.video(video_id)])[0]
        each = zip(
            result["segments"].tolist(), result["labels"].tolist(), result["scores"].tolist(),
            strict=True,
        )  # fmt: skip
        labels = rows.data.labels
        detections = [Detection(labels[k], start, end, score) for (start, end), k, score in each]
        found[video_id] = sorted(detections, key=lambda d: -d.score)
    return found


def measure(
    setup: Setup, features: Path, keep: Path, folds: Sequence[Fold], fold: int, seed: int
) -> Result:
    """Train the peer on one fold and return its mAP there; its detections are kept."""
    torch.set_num_threads(1)
    peer = Peer(setup.root)
    subsets = [f"data.train_subset={TRAIN}", f"data.validation_subset={TEST}"]
    config = load_config("paper", [*subsets, f"data.test_subset={TEST}"])
    with tempfile.TemporaryDirectory() as scratch, FeatureFile(features) as file:
        whole, annotations = find_annotations(file, None), Path(scratch) / "annotations.json"
        write_fold(whole, folds[fold], annotations)
        data, training = describe(file, load_annotations(annotations), config)
        rows = prepare(setup, file, data, training)
        longest = max(file.time_axis(v).num_steps for v in folds[fold].train + folds[fold].test)
        longest_train = max(v.axis.num_steps for v in training.labelled)
        recipe = changed_recipe(setup, peer, data, longest_train=longest_train, longest=longest)
        started = time.process_time()
        model, loss = train(setup, peer, recipe, rows.labelled(training), seed)
        seconds = time.process_time() - started
        found = detect(model, rows, folds[fold].test)
    text = predictions_json(found)
    kept_file(keep, setup.row, fold, seed).write_text(text, encoding="utf-8")
    return Result(setup.row, fold, seed, measure_fold(whole, folds[fold], found), seconds, loss)


def run(args: argparse.Namespace) -> list[str]:
    """Make the results that are not there yet, and return the lines of the table."""
    setup = Setup(
        root=args.actionformer, width=args.width, epochs=args.epochs, lr=args.lr,
        max_seq_len=args.max_seq_len, standardise=args.standardise, averaged=args.averaged,
    )  # fmt: skip
    Peer(setup.root)  # complains before anything is trained
    with FeatureFile(args.features) as file:
        truth = find_annotations(file, None)
        folds = deal_folds(truth, file, args.folds, deal=args.deal)
    results = read_results(args.out)
    done = {r.pair for r in results if r.row == setup.row}
    chosen = args.only if args.only is not None else range(len(folds))
    wanted = [(f, s) for s in args.seeds for f in chosen if (f, s) not in done]
    with contextlib.ExitStack() as stack:
        keep = args.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        keep.mkdir(parents=True, exist_ok=True)
        pool = stack.enter_context(ProcessPoolExecutor(args.jobs))
        one = partial(measure, setup, args.features, keep, folds)
        for result in pool.map(one, *zip(*wanted, strict=True)) if wanted else []:
            results.append(result)
            if args.out:
                append_result(args.out, result)
            print(result.line, flush=True)
        seeds = (pooled_map(truth, folds, setup.row, seed, keep) for seed in args.seeds)
        pooled = {setup.row: [value for value in seeds if value is not None]}
    return table(results, [setup.row], pooled)


def main() -> None:
    """Read the command line, train, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("actionformer", type=Path, metavar="PATH")
    parser.add_argument("features", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--deal", type=int, default=0, help="another number, other folds")
    parser.add_argument("--only", type=int, nargs="+", metavar="FOLD", help="these folds alone")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=35, help="warm-up among them")
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--max-seq-len", type=int)
    parser.add_argument("--standardise", action="store_true")
    parser.add_argument("--averaged", action="store_true", help="measure the averaged weights")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, a thread each")
    parser.add_argument("--out", type=Path, help="CSV of all results, added to")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for detections of every fold")
    args = parser.parse_args()
    try:
        print("\n".join(run(args)))
    except InputError as e:
        raise SystemExit(f"error: {e}") from None


if __name__ == "__main__":
    main()
