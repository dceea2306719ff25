"""Hold thresholds and calibrated scores to videos that a run never saw.

    python benchmarks/calibration.py FEATURES.h5 --folds 3 --keep FOLDER

All annotated videos are dealt into folds. Each fold is tested once; of the other videos every
fourth is validation, on which thresholds and calibration are chosen, and a head (`--config`,
`--set`) is trained on the rest. The heads' own detections stay in FOLDER: a second call trains
nothing.

With `--inner K`, a second line: thresholds and calibration as `tsatal train --folds K --final`
gives them. The videos of a fold that are not tested are dealt into K inner folds; what the inner
heads find in the videos that they held out is chosen on, and the head is trained on all of them.
Where it is stopped, it goes on. `--only N` does one of the folds, so that several can be done at
once; the call without it prints the table of all.

Calibration error: of ten bins, see `calibration_error`; of the detections of all folds together,
before and after. That of *all* is small in any case, since most detections are faint and wrong, so
it stands beside that of the *best*, so many of a class as three times its instances.

F1 is of all classes together, the mean over folds: at the stored thresholds, at the best single
threshold, which only the tested videos can tell, and the mean difference. `precision` is what
thresholds for a precision of 90 % have on the tested videos.

*By half* is what F1 loses on one half of the tested videos, against the best single threshold of
that half: first at the stored thresholds, then at thresholds chosen on the other half of the same
tested videos, mean over 20 draws. The second is what choosing on so few actions costs, however
alike the videos are: a best threshold that only the measured videos tell is always ahead of any
that was chosen before.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tsatal import pipeline
from tsatal.config import load_config
from tsatal.evaluation.calibration import calibration_error
from tsatal.evaluation.events import outcome
from tsatal.evaluation.matching import ANET, Matches, Measure, Predictions, match
from tsatal.evaluation.operating_point import OperatingPoint, learn_operating_point
from tsatal.formats.annotations import AnnotatedVideo, Annotations
from tsatal.formats.features import FeatureFile
from tsatal.formats.labels.find import load_annotations
from tsatal.formats.predictions import load_predictions, predictions_json
from tsatal.formats.subsets import find_annotations, videos_in_subset
from tsatal.head.detector import load_detector
from tsatal.head.final import learn_final
from tsatal.head.run import FINAL

if TYPE_CHECKING:  # the name by which mypy knows it
    from benchmarks.head_results import Fold, deal_folds
else:
    from head_results import Fold, deal_folds

TRAIN, VALIDATION, TEST = "training", "validation", "testing"
MEASURE = Measure(ANET, (0.5,))
BEST = 3  # times the instances of a class
WISHED = 0.9  # precision
DRAWS = 20  # of halves


@dataclass(frozen=True)
class Judged:
    """What one fold's tested videos say.

    before, after, right: scores, calibrated scores and hits of its detections; best: among them.
    """

    before: np.ndarray
    after: np.ndarray
    right: np.ndarray
    best: np.ndarray
    f1: float
    best_f1: float
    precision: float
    recall: float
    half: tuple[float, float]


def detections(
    features: Path, truth: Annotations, fold: Fold, config: str, changes: Sequence[str], kept: Path
) -> tuple[Annotations, dict[str, Predictions]]:
    """Return a fold's annotations, and a head's own detections by subset; trains if need be."""
    annotations, files = kept / "annotations.json", {s: kept / f"{s}.json" for s in SUBSETS}
    if not all(path.exists() for path in files.values()):
        kept.mkdir(parents=True, exist_ok=True)
        roles = {v: VALIDATION if n % 4 == 0 else TRAIN for n, v in enumerate(fold.train)}
        _write_annotations(truth, {**roles, **dict.fromkeys(fold.test, TEST)}, annotations)
        settings = load_config(config, [*changes, "optim.validate_every=1000000"])
        with tempfile.TemporaryDirectory() as run, FeatureFile(features) as file:
            pipeline.train(features, settings, run=run, annotations=annotations)
            detector = load_detector(run, own_scores=True)
            own = load_annotations(annotations)
            for subset, path in files.items():
                videos = videos_in_subset(file, own, subset)
                found = {v: detector.in_file(file, v).detections for v in videos}
                path.write_text(predictions_json(found), encoding="utf-8")
    return load_annotations(annotations), {s: load_predictions(p) for s, p in files.items()}


SUBSETS = (VALIDATION, TEST)


def by_a_quarter(
    features: Path, truth: Annotations, fold: Fold, config: str, changes: Sequence[str], kept: Path
) -> Judged:
    """Choose on every fourth video of those that are not tested, and measure on the tested ones."""
    truth, found = detections(features, truth, fold, config, changes, kept)
    videos, own = truth.subset(VALIDATION), found[VALIDATION]
    point = learn_operating_point(videos, own, subset=VALIDATION)
    sure = learn_operating_point(videos, own, subset=VALIDATION, precision=WISHED)
    return judge(truth, found[TEST], point, sure)


def by_inner_folds(
    features: Path, truth: Annotations, fold: Fold, config: str, changes: Sequence[str], kept: Path,
    *, inner: int,
) -> Judged:  # fmt: skip
    """Choose on inner folds, measure the head of all of their videos on the tested ones."""
    folder = kept / f"inner{inner}"
    annotations, tested = kept / "all_of_it.json", folder / f"{TEST}.json"
    if not tested.exists():
        kept.mkdir(parents=True, exist_ok=True)
        roles = {**dict.fromkeys(fold.train, TRAIN), **dict.fromkeys(fold.test, TEST)}
        _write_annotations(truth, roles, annotations)
        settings = load_config(config, [*changes, "optim.validate_every=1000000"])
        pipeline.train_folds(
            features, settings, folds=inner, out=folder, annotations=annotations, final=True
        )
        detector = load_detector(folder / FINAL, own_scores=True)
        with FeatureFile(features) as file:
            videos = videos_in_subset(file, load_annotations(annotations), TEST)
            found = {v: detector.in_file(file, v).detections for v in videos}
        tested.write_text(predictions_json(found), encoding="utf-8")
        for weights in folder.glob("*/*.pt"):  # what they have found is enough
            weights.unlink()
    points = (learn_final(folder, None), learn_final(folder, WISHED))
    return judge(load_annotations(annotations), load_predictions(tested), *points)


def _write_annotations(truth: Annotations, roles: Mapping[str, str], path: Path) -> None:
    """Write the annotations of videos with these subsets."""
    database = json.loads(truth.text)["database"]
    dealt = {k: {**database[k], "subset": subset} for k, subset in roles.items()}
    path.write_text(json.dumps({"database": dealt}), encoding="utf-8")


def judge(
    truth: Annotations, found: Predictions, point: OperatingPoint, sure: OperatingPoint
) -> Judged:
    """Measure an operating point on the tested videos of a fold, and one for a precision."""
    tested = truth.subset(TEST)
    assert point.calibration
    calibrated = point.calibration.apply_to_all(found)
    before = match(tested, found, MEASURE, subset=TEST)
    after = match(tested, calibrated, MEASURE, subset=TEST)
    probability = np.empty(len(before.score))
    for number, (label, ranked) in enumerate(zip(before.labels, before.rankings, strict=True)):
        probability[ranked] = point.calibration.of(label)(before.score[ranked])
        # The calibration changes no ranking.
        assert np.array_equal(before.hit[0, ranked], after.hit[0, after.rankings[number]]), label
    above = outcome(tested, calibrated, point, subset=TEST).all
    surely = outcome(tested, calibrated, sure, subset=TEST).all
    return Judged(
        before.score, probability, before.hit[0], _best(before),
        above.f1, _best_f1(after), surely.precision, surely.recall,
        lost_by_half(tested, found, point),
    )  # fmt: skip


def lost_by_half(
    tested: Mapping[str, AnnotatedVideo], found: Predictions, stored: OperatingPoint
) -> tuple[float, float]:
    """Return what F1 loses on half of the videos: at a stored point, at one of the other half."""
    rng, lost = np.random.default_rng(0), []
    for _ in range(DRAWS):
        videos = [str(v) for v in rng.permutation(sorted(tested))]
        half, other = (
            {v: tested[v] for v in videos[k :: 2]} for k in (0, 1)
        )  # fmt: skip
        if not any(video.instances for video in other.values()):
            continue  # nothing to choose on
        chosen = learn_operating_point(other, _of(found, other), subset=TEST)
        lost.append([_lost(half, _of(found, half), point) for point in (stored, chosen)])
    mean = np.mean(lost, axis=0) if lost else (np.nan, np.nan)
    return float(mean[0]), float(mean[1])


def _of(found: Predictions, videos: Mapping[str, AnnotatedVideo]) -> Predictions:
    """Return the detections in some videos."""
    return {v: found.get(v, []) for v in videos}


def _lost(videos: Mapping[str, AnnotatedVideo], found: Predictions, point: OperatingPoint) -> float:
    """Return the F1 at a point less that at the best single threshold."""
    assert point.calibration
    calibrated = point.calibration.apply_to_all(found)
    above = outcome(videos, calibrated, point, subset=TEST).all
    return above.f1 - _best_f1(match(videos, calibrated, MEASURE, subset=TEST))


def _best(matches: Matches) -> np.ndarray:
    """Return which detections are the best of their class, (N,) bool."""
    chosen = np.zeros(len(matches.score), dtype=bool)
    for ranked, count in zip(matches.rankings, matches.instances_per_class, strict=True):
        chosen[ranked[: BEST * count]] = True
    return chosen


def _best_f1(matches: Matches) -> float:
    """Return the F1 at the best single threshold of all classes."""
    right = np.cumsum(matches.hit[0])
    made = np.arange(1, len(right) + 1)
    values: np.ndarray = 2 * right / (made + len(matches.instances))
    return float(values.max(initial=0.0))


def line(name: str, judged: Sequence[Judged]) -> str:
    """Return a line of the table."""
    before, after, right, best = (
        np.concatenate([getattr(j, column) for j in judged])
        for column in ("before", "after", "right", "best")
    )
    errors = [
        100 * calibration_error(scores[chosen], right[chosen])
        for chosen in (np.ones(len(best), dtype=bool), best)
        for scores in (before, after)
    ]
    f1, most, precision, recall = (
        100 * float(np.mean([getattr(j, column) for j in judged]))
        for column in ("f1", "best_f1", "precision", "recall")
    )
    stored, other = (100 * float(np.nanmean([j.half[k] for j in judged])) for k in (0, 1))
    return (
        f"{name:<28} {len(judged):5d} {errors[0]:8.2f} {errors[1]:6.2f} {errors[2]:9.1f} "
        f"{errors[3]:6.1f} {f1:7.1f} {most:6.1f} {f1 - most:+6.1f} {precision:10.1f} {recall:7.1f} "
        f"{stored:+8.1f} {other:+6.1f}"
    )


HEADER = (
    f"{'features':<28} {'folds':>5} {'ECE all':>8} {'after':>6} {'ECE best':>9} {'after':>6} "
    f"{'F1':>7} {'best':>6} {'lost':>6} {'precision':>10} {'recall':>7} "
    f"{'by half':>8} {'other':>6}"
)


def main() -> None:
    """Read the command line, train what is not kept, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("features", type=Path, nargs="+")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--first", type=int, default=1000, help="test so many of the folds alone")
    parser.add_argument("--only", type=int, help="test this fold alone, counted from 0")
    parser.add_argument("--inner", type=int, metavar="K", help="choose on K inner folds, too")
    parser.add_argument("--keep", type=Path, required=True, help="for detections of every fold")
    parser.add_argument("--config", default="strong")
    parser.add_argument("--set", dest="changes", action="append", default=[])
    given = parser.parse_args()
    print(HEADER)
    for features in given.features:
        name = f"{features.parent.name}/{features.stem}"
        with FeatureFile(features) as file:
            truth = find_annotations(file, None)
            folds = deal_folds(truth, file, given.folds)[: given.first]
        quarter, inner = list[Judged](), list[Judged]()
        for n, fold in enumerate(folds):
            if given.only in (None, n):
                kept = given.keep / name.replace("/", "-") / f"fold{n}"
                options = (features, truth, fold, given.config, given.changes, kept)
                quarter.append(by_a_quarter(*options))
                if given.inner:
                    inner.append(by_inner_folds(*options, inner=given.inner))
        print(line(name, quarter), flush=True)
        if inner:
            print(line(f"  chosen on {given.inner} inner folds", inner), flush=True)


if __name__ == "__main__":
    main()
