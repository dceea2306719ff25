"""Results of heads over folds and seeds: dealing folds, keeping results, and the table of them.

compare_heads.py (our heads) and train_peer.py (another program's) write them; both print the table.

A run **did not converge** when its final training loss is more than three times the median of the
runs of its row. Such runs count like all others; the table names them, and gives the difference
without them too.
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from tsatal.errors import InputError
from tsatal.evaluation.average_precision import evaluate
from tsatal.evaluation.matching import Measure
from tsatal.formats.annotations import Annotations, Detection
from tsatal.formats.features import FeatureFile
from tsatal.formats.predictions import load_predictions
from tsatal.formats.subsets import choose_subsets

TRAIN, TEST = "training", "validation"
PROTOCOL, TIOUS = "anet", (0.3, 0.4, 0.5, 0.6, 0.7)
UNCONVERGED = 3.0  # times the median final loss of a row's runs


@dataclass(frozen=True)
class Fold:
    """Which videos train and which test."""

    train: list[str]
    test: list[str]


@dataclass(frozen=True)
class Result:
    """One training.

    average_map: in %.
    processor_sec: seconds of the processor that the training took; NaN where nobody measured.
    final_loss: of the training, at its end; NaN where nobody wrote it down.
    """

    row: str
    fold: int
    seed: int
    average_map: float
    processor_sec: float
    final_loss: float

    @property
    def pair(self) -> tuple[int, int]:
        """Fold and seed: what results of two rows must share to be compared."""
        return self.fold, self.seed

    @property
    def line(self) -> str:
        """Say it in a line."""
        return (
            f"fold {self.fold} seed {self.seed}: {self.average_map:5.1f} in "
            f"{self.processor_sec:.0f} s, loss {self.final_loss:.3f}  {self.row}"
        )


def deal_folds(
    truth: Annotations, features: FeatureFile, count: int, *, deal: int = 0
) -> list[Fold]:
    """Return `count` folds over all annotated videos; for 0, the one that the subsets make.

    Videos without actions are in them, dealt by themselves: what is found there is wrong. Those of
    a subset in which no video has an action may only lack annotations, and are left out.

    Args:
        deal: seeds how they are dealt.
    """
    there = set(features.video_ids)
    annotated = Counter(v.subset for v in truth.videos.values() if v.instances)
    videos = {k: v for k, v in truth.videos.items() if k in there and annotated[v.subset]}
    if count == 0:
        subsets = choose_subsets(annotated, train="", validation="", test="")
        chosen = (
            [k for k, v in videos.items() if v.subset == s] for s in (subsets.train, subsets.test)
        )
        return [Fold(*chosen)]
    groups: list[list[str]] = [[] for _ in range(count)]
    for has_actions in (True, False):
        alike = sorted(k for k, v in videos.items() if bool(v.instances) == has_actions)
        order = [str(k) for k in np.random.default_rng(deal).permutation(alike)]
        for n, group in enumerate(groups):
            group += order[n::count]
    return [Fold(sorted(set(videos) - set(g)), sorted(g)) for g in groups]


def write_fold(truth: Annotations, fold: Fold, path: Path) -> None:
    """Write the annotations with the fold as their subsets."""
    database = json.loads(truth.text)["database"]
    subset = {**dict.fromkeys(fold.train, TRAIN), **dict.fromkeys(fold.test, TEST)}
    chosen = {k: {**database[k], "subset": s} for k, s in subset.items()}
    path.write_text(json.dumps({"database": chosen}), encoding="utf-8")


def kept_file(keep: Path, row: str, fold: int, seed: int) -> Path:
    """Return where the detections of one training are kept."""
    return keep / f"{row.replace(' ', '_')}.fold{fold}.seed{seed}.json"


def measure_fold(truth: Annotations, fold: Fold, found: Mapping[str, Sequence[Detection]]) -> float:
    """Return the average mAP in % of detections in a fold's test videos."""
    videos = {k: truth.videos[k] for k in fold.test}
    ours = {k: v for k, v in found.items() if k in videos}
    return 100 * evaluate(videos, ours, Measure(PROTOCOL, TIOUS), subset=TEST).average_map


def measure_kept(truth: Annotations, folds: Sequence[Fold], keep: Path) -> list[Result]:
    """Return the results of a folder of detections, whichever program made them.

    Raises:
        InputError: there are none, or a file is of a fold that was not dealt.
    """
    results = []
    for path in sorted(keep.glob("*.fold*.seed*.json")):
        row, fold, seed = path.stem.rsplit(".", 2)
        number = int(fold.removeprefix("fold"))
        if number >= len(folds):
            raise InputError(f"{path}: there are {len(folds)} folds; check --folds")
        value = measure_fold(truth, folds[number], load_predictions(path))
        seed_number = int(seed.removeprefix("seed"))
        results.append(
            Result(row.replace("_", " "), number, seed_number, value, math.nan, math.nan)
        )
    if not results:
        raise InputError(f"{keep}: has no detections named ROW.foldN.seedN.json")
    return results


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
    every = Fold([], [k for fold in folds for k in fold.test])
    return measure_fold(truth, every, found)


def read_results(path: Path | None) -> list[Result]:
    """Return the results of an earlier call; none without a file.

    Raises:
        InputError: the file has other columns.
    """
    if path is None or not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        wanted = [f.name for f in fields(Result)]
        if reader.fieldnames != wanted:
            raise InputError(f"{path}: its columns are not {', '.join(wanted)}; take a new file")
        return [
            Result(r["row"], int(r["fold"]), int(r["seed"]), float(r["average_map"]),
                   float(r["processor_sec"]), float(r["final_loss"]))
            for r in reader
        ]  # fmt: skip


def append_result(path: Path, result: Result) -> None:
    """Add a line to the file of results."""
    new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(f.name for f in fields(Result))
        writer.writerow(astuple(result))


def unconverged(results: Sequence[Result]) -> list[Result]:
    """Return the runs of one row that did not converge, by the rule in the module's docstring."""
    losses = [r.final_loss for r in results if math.isfinite(r.final_loss)]
    if not losses:
        return []
    limit = UNCONVERGED * float(np.median(losses))
    return [r for r in results if r.final_loss > limit]


def difference(row: Sequence[Result], other: Sequence[Result]) -> str:
    """Return the mean paired difference of two rows, its standard error, and the pairs' number."""
    against = {r.pair: r.average_map for r in other}
    both = [r.average_map - against[r.pair] for r in row if r.pair in against]
    if not both:
        return ""
    error = np.std(both, ddof=1) / math.sqrt(len(both)) if len(both) > 1 else math.nan
    return f"{np.mean(both):+.1f} +- {error:.1f} ({len(both)})"


def table(
    results: Sequence[Result], rows: Sequence[str], pooled: Mapping[str, Sequence[float]]
) -> list[str]:
    """Return the lines of the comparison, and after them what did not converge.

    Args:
        pooled: by row, the pooled average mAP of every seed that has one.
    """
    by_row = {row: [r for r in results if r.row == row] for row in rows}
    by_row = {row: mine for row, mine in by_row.items() if mine}
    if not by_row:
        return []
    first = by_row.get(rows[0], [])
    lines = [
        f"{'mean':>6} {'seeds':>6} {'difference (n)':>19} {'pooled':>6} {'runs':>5} "
        f"{'s/run':>6}  row"
    ]
    notes = []
    for row, mine in by_row.items():
        together = np.mean(pooled[row]) if pooled.get(row) else math.nan
        seconds = np.mean([r.processor_sec for r in mine])
        against = "" if row == rows[0] else difference(mine, first)
        lines.append(
            f"{np.mean([r.average_map for r in mine]):6.1f} {_between_seeds(mine):6.1f} "
            f"{against:>19} {together:6.1f} {len(mine):5d} {seconds:6.0f}  {row}"
        )
        if failed := unconverged(mine):
            runs = ", ".join(f"fold {r.fold} seed {r.seed} ({r.final_loss:.2f})" for r in failed)
            notes.append(f"did not converge (final loss): {row}: {runs}")
            converged = [r for r in mine if r not in failed]
            if row != rows[0] and (without := difference(converged, first)):
                notes.append(f"  the difference without these: {without}")
    return lines + notes


def _between_seeds(results: Sequence[Result]) -> float:
    """Return the deviation between seeds of the mean over folds."""
    seeds = {r.seed for r in results}
    means = [np.mean([r.average_map for r in results if r.seed == seed]) for seed in seeds]
    return float(np.std(means, ddof=1)) if len(means) > 1 else math.nan
