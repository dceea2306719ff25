"""Train presets over folds and seeds on one feature file; print mean and spread of the mAP.

    python benchmarks/compare_heads.py FEATURES.h5 paper strong "strong model.tsa=none" \\
        --folds 5 --seeds 0 1 --jobs 2 --out results.csv

A row is a preset, or a preset with changes as for `tsatal train --set`. Folds: all annotated
videos of the file, whatever their subset, dealt at random (in the same way for the same `--deal`)
into as many groups; each group is tested once by a head trained on the others. `--folds 0` keeps
the subsets of the file. Every training is measured with its last weights: nothing is chosen by its
mAP. Results that are already in `--out` are not made again, so an interrupted comparison goes on.

The table gives the mean average mAP over folds and seeds, the standard deviation between seeds of
the mean over folds, and the difference to the first row with its standard error over the pairs of
same fold and seed. `pooled` is the average mAP of all folds' detections measured together, mean
over seeds: where a fold tests three actions of a class, each of them moves its AP by a third, and
the mean over folds with it; measured together all actions of a class weigh alike. It needs the
detections of every fold, which `--keep FOLDER` keeps for a comparison that goes on. A file of
results and a folder of detections are of one feature file, `--folds` and `--deal`: take new ones
for others. `--write-folds FILE` writes the groups, for other programs to train on the same.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import logging
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

import numpy as np
import torch

from tsatal import pipeline
from tsatal.config import load_config
from tsatal.errors import InputError
from tsatal.evaluation.average_precision import evaluate
from tsatal.evaluation.matching import Measure
from tsatal.formats.annotations import Annotations, Detection, load_predictions
from tsatal.formats.features import FeatureFile
from tsatal.formats.subsets import choose_subsets, find_annotations

TRAIN, TEST = "training", "validation"
PROTOCOL, TIOUS = "anet", (0.3, 0.4, 0.5, 0.6, 0.7)


@dataclass(frozen=True)
class Fold:
    """Which videos train and which test."""

    train: list[str]
    test: list[str]


@dataclass(frozen=True)
class Result:
    """One training: mAP in %, seconds of training."""

    row: str
    fold: int
    seed: int
    average_map: float
    train_sec: float


def deal_folds(
    truth: Annotations, features: FeatureFile, count: int, *, deal: int = 0
) -> list[Fold]:
    """Return `count` folds over all annotated videos; for 0, the one that the subsets make.

    Args:
        deal: seeds how they are dealt.
    """
    there = set(features.video_ids)
    videos = {k: v for k, v in truth.videos.items() if v.instances and k in there}
    if count == 0:
        annotated = Counter(v.subset for v in videos.values())
        subsets = choose_subsets(annotated, train="", validation="", test="")
        chosen = (
            [k for k, v in videos.items() if v.subset == s] for s in (subsets.train, subsets.test)
        )
        return [Fold(*chosen)]
    order = [str(k) for k in np.random.default_rng(deal).permutation(sorted(videos))]
    groups = [order[n::count] for n in range(count)]
    return [Fold(sorted(set(order) - set(g)), sorted(g)) for g in groups]


def write_fold(truth: Annotations, fold: Fold, path: Path) -> None:
    """Write the annotations with the fold as their subsets."""
    database = json.loads(truth.text)["database"]
    subset = {**dict.fromkeys(fold.train, TRAIN), **dict.fromkeys(fold.test, TEST)}
    chosen = {k: {**database[k], "subset": s} for k, s in subset.items()}
    path.write_text(json.dumps({"database": chosen}), encoding="utf-8")


def kept_file(keep: Path, row: str, fold: int, seed: int) -> Path:
    """Return where the detections of one training are kept."""
    return keep / f"{row.replace(' ', '_')}.fold{fold}.seed{seed}.json"


def measure(
    features: Path, row: str, folds: Sequence[Fold], fold: int, seed: int, keep: Path
) -> Result:
    """Train one head and return its mAP on the fold's test videos, whose detections are kept."""
    preset, *changes = row.split()
    own = [f"optim.seed={seed}", "optim.validate_every=1000000", f"data.train_subset={TRAIN}"]
    own += [f"data.{s}_subset={TEST}" for s in ("validation", "test")]
    config = load_config(preset, [*changes, *own])
    with tempfile.TemporaryDirectory() as scratch, FeatureFile(features) as file:
        annotations, run = Path(scratch) / "annotations.json", Path(scratch) / "run"
        write_fold(find_annotations(file, None), folds[fold], annotations)
        started = time.monotonic()
        pipeline.train(features, config, run=run, annotations=annotations)
        seconds = time.monotonic() - started
        measured = pipeline.evaluate(run, protocol=PROTOCOL, tious=TIOUS, exclude=(), timelines=0)
        shutil.copyfile(run / "predictions.json", kept_file(keep, row, fold, seed))
    return Result(row, fold, seed, 100 * measured.evaluation.average_map, seconds)


def compare(
    features: Path,
    rows: Sequence[str],
    folds: Sequence[Fold],
    seeds: Sequence[int],
    *,
    jobs: int,
    known: Sequence[Result],
    keep: Path,
) -> Iterator[Result]:
    """Yield the results that are not known yet, as they come; seed by seed, so that an early stop
    leaves whole comparisons."""
    done = {(r.row, r.fold, r.seed) for r in known}
    wanted = [(row, f, s) for s in seeds for f in range(len(folds)) for row in rows]
    with ProcessPoolExecutor(jobs, initializer=quiet_and_single) as pool:
        futures = [
            pool.submit(measure, features, row, folds, fold, seed, keep)
            for row, fold, seed in wanted
            if (row, fold, seed) not in done
        ]
        for future in futures:
            yield future.result()


def quiet_and_single() -> None:
    """Make a worker use one thread and say only what is wrong."""
    torch.set_num_threads(1)
    logging.getLogger("tsatal").setLevel(logging.ERROR)


def pooled_map(
    truth: Annotations, folds: Sequence[Fold], row: str, seed: int, keep: Path
) -> float | None:
    """Return the average mAP in % of the detections of all folds together; None if some are not
    there."""
    files = [kept_file(keep, row, n, seed) for n in range(len(folds))]
    if not all(file.exists() for file in files):
        return None
    found: dict[str, list[Detection]] = {}
    for file in files:
        found |= load_predictions(file)
    videos = {k: truth.videos[k] for fold in folds for k in fold.test}
    measure = Measure(PROTOCOL, TIOUS)
    return 100 * evaluate(videos, found, measure, subset=TEST).average_map


def table(
    results: Sequence[Result], rows: Sequence[str], pooled: Mapping[str, Sequence[float]]
) -> list[str]:
    """Return the lines of the comparison.

    Args:
        pooled: by row, the pooled average mAP of every seed that has one.
    """
    by_row = {row: {(r.fold, r.seed): r for r in results if r.row == row} for row in rows}
    first = by_row[rows[0]]
    heads = f"{'mean':>6} {'seeds':>6} {'difference':>14} {'pooled':>6} {'runs':>5} {'sec/run':>8}"
    lines = [f"{heads}  row"]
    for row in rows:
        mine = by_row[row]
        if not mine:
            continue
        maps = np.array([r.average_map for r in mine.values()])
        seeds = {s for _, s in mine}
        of_seed = [np.mean([r.average_map for (_, t), r in mine.items() if t == s]) for s in seeds]
        both = [mine[k].average_map - first[k].average_map for k in mine if k in first]
        error = np.std(both, ddof=1) / np.sqrt(len(both)) if len(both) > 1 else float("nan")
        seconds = np.mean([r.train_sec for r in mine.values()])
        spread = np.std(of_seed, ddof=1) if len(of_seed) > 1 else float("nan")
        against = f"{np.mean(both):+.1f} +- {error:.1f}" if both and row != rows[0] else ""
        together = np.mean(pooled[row]) if pooled[row] else float("nan")
        lines.append(
            f"{maps.mean():6.1f} {spread:6.1f} {against:>14} {together:6.1f} "
            f"{len(maps):5d} {seconds:8.0f}  {row}"
        )
    return lines


def read_results(path: Path | None) -> list[Result]:
    """Return the results of an earlier call; none without a file."""
    if path is None or not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [
            Result(r["row"], int(r["fold"]), int(r["seed"]), float(r["average_map"]),
                   float(r["train_sec"]))
            for r in csv.DictReader(file)
        ]  # fmt: skip


def append_result(path: Path, result: Result) -> None:
    """Add a line to the file of results."""
    new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(f.name for f in fields(Result))
        writer.writerow(astuple(result))


def main() -> None:
    """Read the command line, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("features", type=Path)
    parser.add_argument("rows", nargs="+", help='presets; "PRESET key=value ..." with changes')
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--deal", type=int, default=0, help="another number, other folds")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, a thread each")
    parser.add_argument("--out", type=Path, help="CSV of all results, added to")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for detections of every fold")
    parser.add_argument("--write-folds", type=Path, metavar="JSON")
    args = parser.parse_args()
    try:
        with FeatureFile(args.features) as file:
            truth = find_annotations(file, None)
            folds = deal_folds(truth, file, args.folds, deal=args.deal)
        if args.write_folds:
            args.write_folds.write_text(json.dumps([asdict(f) for f in folds], indent=1))
        results = read_results(args.out)
        with contextlib.ExitStack() as stack:
            keep = args.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            keep.mkdir(parents=True, exist_ok=True)
            for result in compare(
                args.features, args.rows, folds, args.seeds,
                jobs=args.jobs, known=results, keep=keep,
            ):  # fmt: skip
                results.append(result)
                if args.out:
                    append_result(args.out, result)
                print(
                    f"fold {result.fold} seed {result.seed}: {result.average_map:5.1f} "
                    f"in {result.train_sec:.0f} s  {result.row}",
                    flush=True,
                )
            pooled = {
                row: [
                    m
                    for s in args.seeds
                    if (m := pooled_map(truth, folds, row, s, keep)) is not None
                ]
                for row in args.rows
            }
    except InputError as e:
        raise SystemExit(f"error: {e}") from None
    print("\n".join(table(results, args.rows, pooled)))


if __name__ == "__main__":
    main()
