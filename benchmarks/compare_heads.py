"""Train presets over folds and seeds on one feature file; print mean and spread of the mAP.

    python benchmarks/compare_heads.py FEATURES.h5 strong paper "strong model.tsa=none" \\
        --folds 5 --seeds 0 1 --jobs 2 --out results.csv --beside peer.csv

A row is a preset, or a preset with changes as for `tsatal train --set`. Folds: all annotated
videos of the file, whatever their subset, dealt at random (in the same way for the same `--deal`)
into as many groups; each group is tested once by a head trained on the others. `--folds 0` keeps
the subsets of the file. Every training is measured with its last weights: nothing is chosen by its
mAP. Results that are already in `--out` are not made again, so an interrupted comparison goes on.

Another program stands in the table too: `--beside` takes the results of train_peer.py, or a folder
of detections in the form of `tsatal evaluate --predictions`, named ROW.foldN.seedN.json, which are
measured here. It may be given without rows of our own.

The table gives the mean average mAP over folds and seeds, the standard deviation between seeds of
the mean over folds, and the difference to the first row: the mean over pairs of same fold and seed,
its standard error, and the number of pairs. Folds of the same videos are not independent, so the
error is rather too small. `s/run` is seconds of the processor per training. Runs that did not
converge are named; head_results.py has the rule.

`pooled` is the average mAP of all folds' detections measured together, mean over seeds: where a
fold tests three actions of a class, each of them moves its AP by a third, and the mean over folds
with it; measured together all actions of a class weigh alike. It needs the detections of every
fold, which `--keep FOLDER` keeps for a comparison that goes on. A file of results and a folder of
detections are of one feature file, `--folds` and `--deal`: take new ones for others.
`--write-folds FILE` writes the groups, for other programs to train on the same.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tsatal import pipeline
from tsatal.config import load_config
from tsatal.errors import InputError
from tsatal.formats.annotations import Annotations
from tsatal.formats.features import FeatureFile
from tsatal.formats.subsets import find_annotations
from tsatal.head.decode import AGREEMENT
from tsatal.head.log import read_log
from tsatal.head.run import POINT_FILE

if TYPE_CHECKING:  # the name by which mypy knows it
    from benchmarks.head_results import (
        PROTOCOL,
        TEST,
        TIOUS,
        TRAIN,
        Fold,
        Result,
        append_result,
        deal_folds,
        kept_file,
        measure_kept,
        pooled_map,
        read_results,
        table,
        write_fold,
    )
else:
    from head_results import (
        PROTOCOL,
        TEST,
        TIOUS,
        TRAIN,
        Fold,
        Result,
        append_result,
        deal_folds,
        kept_file,
        measure_kept,
        pooled_map,
        read_results,
        table,
        write_fold,
    )

LAST_LOSSES = 5  # of the log; their median is a training's final loss


def measure(
    features: Path, row: str, folds: Sequence[Fold], fold: int, seed: int, keep: Path
) -> Result:
    """Train one head and return its mAP on the fold's test videos, whose detections are kept."""
    preset, *changes = row.split()
    own = [f"optim.seed={seed}", "optim.validate_every=1000000", f"data.train_subset={TRAIN}"]
    own += [f"data.{s}_subset={TEST}" for s in ("validation", "test")]
    config = load_config(preset, [*changes, *own])
    if config.decode.class_agreement == "auto":  # nothing is chosen on the fold's test videos
        own += [f"decode.class_agreement={AGREEMENT}"]
        config = load_config(preset, [*changes, *own])
    with tempfile.TemporaryDirectory() as scratch, FeatureFile(features) as file:
        annotations, run = Path(scratch) / "annotations.json", Path(scratch) / "run"
        write_fold(find_annotations(file, None), folds[fold], annotations)
        started = time.process_time()
        pipeline.train(features, config, run=run, annotations=annotations)
        seconds = time.process_time() - started
        # Calibrated on the tested videos, scores of all folds would fit together too well.
        (run / POINT_FILE).unlink(missing_ok=True)
        measured = pipeline.evaluate(run, protocol=PROTOCOL, tious=TIOUS, exclude=(), timelines=0)
        shutil.copyfile(run / "predictions.json", kept_file(keep, row, fold, seed))
        losses = [float(r["loss"]) for r in read_log(run / "log.csv") if r.get("loss")]
    value = 100 * measured.evaluation.average_map
    return Result(row, fold, seed, value, seconds, statistics.median(losses[-LAST_LOSSES:]))


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


def read_beside(paths: Sequence[Path], truth: Annotations, folds: Sequence[Fold]) -> list[Result]:
    """Return the results of other programs: files of results, or folders of detections.

    Raises:
        InputError: a path is not there, or holds nothing of the kind.
    """
    results: list[Result] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        results += measure_kept(truth, folds, path) if path.is_dir() else read_results(path)
    return results


def run(args: argparse.Namespace) -> list[str]:
    """Make the results that are not there yet, and return the lines of the table."""
    with FeatureFile(args.features) as file:
        truth = find_annotations(file, None)
        folds = deal_folds(truth, file, args.folds, deal=args.deal)
    if args.write_folds:
        args.write_folds.write_text(json.dumps([asdict(f) for f in folds], indent=1))
    results, beside = read_results(args.out), read_beside(args.beside, truth, folds)
    with contextlib.ExitStack() as stack:
        keep = args.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        keep.mkdir(parents=True, exist_ok=True)
        for result in compare(
            args.features, args.rows, folds, args.seeds, jobs=args.jobs, known=results, keep=keep
        ):
            results.append(result)
            if args.out:
                append_result(args.out, result)
            print(result.line, flush=True)
        folders = [keep, *(p for p in args.beside if p.is_dir())]
        rows = list(dict.fromkeys([*args.rows, *(r.row for r in beside)]))
        pooled = {
            row: [
                value
                for seed in args.seeds
                for folder in folders
                if (value := pooled_map(truth, folds, row, seed, folder)) is not None
            ]
            for row in rows
        }
    return table([*results, *beside], rows, pooled)


def main() -> None:
    """Read the command line, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("features", type=Path)
    parser.add_argument("rows", nargs="*", help='presets; "PRESET key=value ..." with changes')
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--deal", type=int, default=0, help="another number, other folds")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, a thread each")
    parser.add_argument("--out", type=Path, help="CSV of all results, added to")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for detections of every fold")
    parser.add_argument("--beside", type=Path, nargs="+", default=[], metavar="CSV|FOLDER")
    parser.add_argument("--write-folds", type=Path, metavar="JSON")
    args = parser.parse_intermixed_args()
    try:
        print("\n".join(run(args)))
    except InputError as e:
        raise SystemExit(f"error: {e}") from None


if __name__ == "__main__":
    main()
