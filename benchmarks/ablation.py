"""The paper's ablation: what each part of `paper` and `strong` is worth, on any feature files.

    python benchmarks/ablation.py WORKOUT.h5 UT.h5 --folds 4 5 --seeds 0 1 --out FOLDER

For every file and preset a head is trained as it is, and with one thing changed: without TSA,
without TPP, without both; A of Eq. 1 from all probabilities or from the likeliest classes (the one
that the preset does not have); B or B < 0.5 in place of 1 - B; queries, keys and values without the
sigmoid of Eq. 3. Without TPP the levels of `strong` stay, unfused; of TPP in `paper` nothing stays,
nor the heads after it, nor the mask. `--added` adds what the preset `paper` has over `paper-0.1`,
one by one.

Each difference is to the preset as it is: the mean over pairs of same fold and seed, its standard
error, and the number of pairs. Folds, measure and what is kept are those of compare_heads.py, which
does the work: an interrupted call goes on, `--only WORD` takes some of the rows, and `--table`
prints what is there without training. Runs that did not converge (see head_results.py) are named.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tsatal.config import load_config
from tsatal.errors import InputError
from tsatal.formats.features import FeatureFile
from tsatal.formats.subsets import find_annotations

if TYPE_CHECKING:  # the name by which mypy knows it
    from benchmarks.compare_heads import compare
    from benchmarks.head_results import (
        Result,
        append_result,
        deal_folds,
        difference,
        read_results,
        unconverged,
    )
else:
    from compare_heads import compare
    from head_results import (
        Result,
        append_result,
        deal_folds,
        difference,
        read_results,
        unconverged,
    )

# What is changed, by what the table calls it.
PARTS = {
    "as it is": "",
    "without TSA": "model.tsa=none",
    "without TPP": "model.tpp=false",
    "without both": "model.tsa=none model.tpp=false",
    "soft A": "model.tsa=soft",
    "hard A": "model.tsa=hard",
    "B in place of 1 - B": "model.tsa_same=true",
    "B < 0.5 in place of 1 - B": "model.tsa_threshold=0.5",
    "Q, K, V without sigmoid": "model.tsa_sigmoid=false",
}
ADDED = {  # by `paper` to `paper-0.1`
    "as it is": "",
    "+ learned fully connected layer": "model.fully_connected=512",
    "+ convolutions shared by outputs and stages": "model.shared_heads=stages",
    "+ stacked dilated convolutions": "model.stacked=true",
    "+ mask and aggregation": "model.aggregate=true",
}


def rows_of(preset: str, parts: dict[str, str], only: Sequence[str]) -> dict[str, str]:
    """Return rows for compare_heads.py by name; what the preset has anyway is left out."""
    rows, plain = {}, load_config(preset)
    for name, changes in parts.items():
        chosen = not only or name == "as it is" or any(word in name for word in only)
        if chosen and (not changes or load_config(preset, changes.split()) != plain):
            rows[name] = f"{preset} {changes}".strip()
    return rows


def table(rows: dict[str, str], results: Sequence[Result], title: str) -> list[str]:
    """Return the lines of a table in Markdown."""
    lines = [f"| {title} | average mAP | difference (pairs) |", "|---|---|---|"]
    by_row = {row: [r for r in results if r.row == row] for row in rows.values()}
    first = by_row[rows["as it is"]]
    for name, row in rows.items():
        runs = by_row[row]
        mean = f"{sum(r.average_map for r in runs) / len(runs):.1f}" if runs else ""
        said = "" if name == "as it is" else difference(runs, first).replace("+-", "±")
        lines.append(f"| {name} | {mean} | {said} |")
    every = [(name, run) for name, row in rows.items() for run in unconverged(by_row[row])]
    return lines + [
        f"did not converge: {name}, fold {run.fold}, seed {run.seed} ({run.final_loss:.2f})"
        for name, run in every
    ]


def ablate(
    features: Path, rows: dict[str, dict[str, str]], count: int, given: argparse.Namespace
) -> None:
    """Train what is not in the file of results yet, and print a table for each preset."""
    with FeatureFile(features) as file:
        truth = find_annotations(file, None)
        folds = deal_folds(truth, file, count)
    kept = given.out / f"{features.stem}.folds{count}.csv"
    results = read_results(kept)
    wanted = [row for of_preset in rows.values() for row in of_preset.values()]
    wanted = [] if given.table else wanted
    with contextlib.ExitStack() as stack:
        keep = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for result in compare(
            features, wanted, folds, given.seeds, jobs=given.jobs, known=results, keep=keep
        ):
            results.append(result)
            append_result(kept, result)
            print(result.line, flush=True)
    for preset, of_preset in rows.items():
        print("\n".join(["", *table(of_preset, results, f"{features.stem}, `{preset}`")]))


def main() -> None:
    """Read the command line, ablate each file, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("features", type=Path, nargs="+")
    parser.add_argument("--presets", nargs="+", default=["paper", "strong"])
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="rows with a word")
    parser.add_argument("--added", action="store_true")
    parser.add_argument("--folds", type=int, nargs="+", default=[5], help="one, or one for each")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, a thread each")
    parser.add_argument("--table", action="store_true", help="train nothing")
    parser.add_argument("--out", type=Path, default=Path("ablation"), help="folder of results")
    given = parser.parse_args()
    counts = given.folds * len(given.features) if len(given.folds) == 1 else given.folds
    if len(counts) != len(given.features):
        parser.error(f"--folds: {len(counts)} numbers for {len(given.features)} files")
    rows = {preset: rows_of(preset, PARTS, given.only) for preset in given.presets}
    if given.added:
        rows["paper-0.1"] = rows_of("paper-0.1", ADDED, [])
    try:
        given.out.mkdir(parents=True, exist_ok=True)
        for features, count in zip(given.features, counts, strict=True):
            ablate(features, rows, count, given)
    except (InputError, OSError) as e:
        raise SystemExit(f"error: {e}") from None


if __name__ == "__main__":
    main()
