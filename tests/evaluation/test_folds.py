"""Figures of folds: each fold's own, pooled, their spread, and thresholds of the other folds."""

import json

import numpy as np
import pytest

from tsatal.evaluation.average_precision import evaluate
from tsatal.evaluation.folds import FoldFigures, deviation, held_out_outcome, measure_folds
from tsatal.evaluation.matching import Measure
from tsatal.evaluation.operating_point import learn_operating_point
from tsatal.formats.annotations import AnnotatedVideo, Detection, Instance

VIDEOS = {
    f"v{n:02d}": AnnotatedVideo(f"v{n:02d}", "fold", 100.0, (Instance("ab"[n % 2], 10, 20),))
    for n in range(12)
}
FOLDS = [[f"v{n:02d}" for n in range(k, 12, 3)] for k in range(3)]


def found(good: float = 0.9, seed: int = 0) -> dict[str, list[Detection]]:
    """Return a right detection of each video, and a wrong one of less or more than its score."""
    rng = np.random.default_rng(seed)
    return {
        k: [
            Detection(v.instances[0].label, 10, 20, good),
            Detection(v.instances[0].label, 50, 60, float(rng.uniform(0, 1))),
        ]
        for k, v in VIDEOS.items()
    }


def figures(**seeds: float) -> FoldFigures:
    by_seed = {n: found(good, seed=n) for n, good in enumerate(seeds.values())}
    return measure_folds(VIDEOS, by_seed, FOLDS, Measure())


def test_a_folds_own_map_is_that_of_its_videos_and_the_pooled_that_of_all() -> None:
    got = figures(first=0.5, second=0.8)
    own = {k: VIDEOS[k] for k in FOLDS[1]}
    one = evaluate(own, {k: found(0.5)[k] for k in own}, subset="fold").average_map
    assert got.by_fold[1, 0] == pytest.approx(one) and got.by_fold.shape == (3, 2)
    pooled = [
        evaluate(VIDEOS, found(g, s), subset="x").average_map for s, g in ((0, 0.5), (1, 0.8))
    ]
    assert [e.average_map for e in got.pooled] == pooled
    assert got.pooled_map == pytest.approx(np.mean(pooled))
    assert got.interval is not None
    assert got.interval.low <= got.pooled_map <= got.interval.high
    assert got.between_folds == pytest.approx(np.std(got.by_fold.mean(axis=1), ddof=1))
    assert got.between_seeds == pytest.approx(np.std(got.by_fold.mean(axis=0), ddof=1))
    assert json.loads(json.dumps(got.to_json()))["pooled"] == pooled
    first, second = got.notes
    assert first.startswith("mean over 3 folds, 2 seeds: mAP ") and "between seeds" in first
    assert "bootstrap over 12 videos" in second


def test_of_few_videos_no_interval_is_given() -> None:
    few = {k: VIDEOS[k] for k in list(VIDEOS)[:6]}
    got = measure_folds(few, {0: {k: found()[k] for k in few}}, [list(few)[:3], list(few)[3:]],
                        Measure())  # fmt: skip
    assert got.interval is None and "too few videos (6)" in got.notes[1]
    assert np.isnan(got.between_seeds) and got.to_json()["interval_95"] is None


def test_a_fold_without_an_instance_has_no_figure() -> None:
    nothing = VIDEOS | {"w": AnnotatedVideo("w", "fold", 9.0, ())}
    got = measure_folds(nothing, {0: found()}, [*FOLDS, ["w"]], Measure())
    assert np.isnan(got.by_fold[3, 0]) and not np.isnan(got.mean)
    assert got.to_json()["folds"][3]["average_mAP"] == [None]


def test_thresholds_are_those_of_the_other_folds() -> None:
    """Fold 0 scores low: thresholds of its own would keep what is right, the others' keep none."""
    low = {k: [Detection(d.label, d.start_sec, d.end_sec, d.score / 100) for d in v]
           for k, v in found(0.99).items() if k in FOLDS[0]}  # fmt: skip
    got = held_out_outcome(VIDEOS, found(0.99) | low, FOLDS, subset="all").all
    assert got.instances == 12
    high = held_out_outcome(VIDEOS, found(0.99), FOLDS, subset="all")
    assert high.all.right == 12 and got.right < 12 - len(FOLDS[0]) + 1
    assert high.point.subset == "the other folds" and set(high.point.thresholds) == {"a", "b"}


@pytest.mark.parametrize("precision", [None, 0.9])
def test_what_counts_is_chosen_as_for_a_head_of_all_videos(precision: float | None) -> None:
    """By calibrated scores; on the other folds, and for a precision where one is asked for."""
    expected = 0
    for fold in FOLDS:
        others = {k: v for k, v in VIDEOS.items() if k not in fold}
        known = {k: v for k, v in found().items() if k in others}
        point = learn_operating_point(others, known, subset="others", precision=precision)
        assert point.calibration
        own = point.calibration.apply_to_all({k: found()[k] for k in fold})
        expected += sum(d.score >= point.of(d.label) for ds in own.values() for d in ds)
    got = held_out_outcome(VIDEOS, found(), FOLDS, subset="all", precision=precision)
    assert got.all.detections == expected
    assert got.to_json()["rule"] == ("f1" if precision is None else precision)


def test_the_deviation_is_of_what_is_known() -> None:
    assert deviation(np.array([1.0, np.nan, 3.0])) == pytest.approx(np.sqrt(2))
    assert np.isnan(deviation(np.array([1.0])))
