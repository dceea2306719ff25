"""Pairs, their error, runs that did not converge, and other programs in the same table."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tsatal.errors import InputError
from tsatal.formats.annotations import parse_annotations
from tsatal.formats.features import FeatureFile
from tsatal.formats.subsets import find_annotations


@pytest.fixture(scope="module")
def results(program: Callable[[str], ModuleType]) -> Any:
    return program("head_results")


def made(results: Any, row: str, maps: list[float], losses: list[float] | None = None) -> list[Any]:
    """Return results of folds 0, 1, ... with seed 0."""
    losses = losses or [0.1] * len(maps)
    return [
        results.Result(row, n, 0, m, 10.0, loss)
        for n, (m, loss) in enumerate(zip(maps, losses, strict=True))
    ]


def test_a_difference_is_of_pairs_with_its_error_and_number(results: Any) -> None:
    ours, theirs = made(results, "a", [60.0, 50.0, 70.0]), made(results, "b", [50.0, 46.0])
    # 10 and 4: mean 7, deviation sqrt(18), over sqrt(2) pairs 3
    assert results.difference(ours, theirs) == "+7.0 +- 3.0 (2)"
    assert results.difference(ours, made(results, "b", [50.0])) == "+10.0 +- nan (1)"
    assert results.difference(ours, []) == ""


def test_runs_that_end_far_above_the_others_did_not_converge(results: Any) -> None:
    runs = made(results, "a", [80.0] * 5, [0.04, 0.05, 0.04, 0.59, math.inf])
    assert [r.fold for r in results.unconverged(runs)] == [3, 4]
    assert results.unconverged(made(results, "a", [1.0] * 3, [0.1, 0.2, 0.3])) == []
    assert results.unconverged(made(results, "a", [1.0] * 3, [math.nan] * 3)) == []


def test_the_table_names_what_did_not_converge_and_gives_the_difference_without(
    results: Any,
) -> None:
    first = made(results, "ours", [90.0, 91.0, 92.0])
    peer = made(results, "peer", [80.0, 81.0, 40.0], [0.04, 0.04, 0.6])
    lines = results.table([*first, *peer], ["ours", "peer"], {})
    assert "-24.0" in lines[2] and lines[2].endswith("peer")
    assert lines[3:] == [
        "did not converge (final loss): peer: fold 2 seed 0 (0.60)",
        "  the difference without these: -10.0 +- 0.0 (2)",
    ]


def test_results_are_read_back_and_other_columns_refused(results: Any, tmp_path: Path) -> None:
    path, runs = tmp_path / "r.csv", made(results, "a b=1", [60.5, 50.25])
    for run in runs:
        results.append_result(path, run)
    assert results.read_results(path) == runs
    path.write_text("row,fold,seed,average_map,train_sec\na,0,0,1.0,2.0\n")
    with pytest.raises(InputError, match="its columns are not row, fold"):
        results.read_results(path)


def test_detections_of_any_program_are_measured_by_fold(
    results: Any, write_toy: Callable[..., Path], tmp_path: Path
) -> None:
    with FeatureFile(write_toy(tmp_path / "f.h5")) as file:
        truth = find_annotations(file, None)
        folds = results.deal_folds(truth, file, 2)
    perfect = {
        k: [
            {"label": i.label, "segment": [i.start_sec, i.end_sec], "score": 1.0}
            for i in truth.videos[k].instances
        ]
        for k in folds[1].test
    }
    kept = results.kept_file(tmp_path, "some one", 1, 7)
    kept.write_text(json.dumps({"results": perfect}))
    (result,) = results.measure_kept(truth, folds, tmp_path)
    assert (result.row, result.fold, result.seed) == ("some one", 1, 7)
    assert result.average_map == pytest.approx(100.0) and math.isnan(result.final_loss)
    kept.rename(tmp_path / "x.fold2.seed0.json")
    with pytest.raises(InputError, match="there are 2 folds"):
        results.measure_kept(truth, folds, tmp_path)


def test_folds_test_every_annotated_video_once(
    results: Any, write_toy: Callable[..., Path], tmp_path: Path
) -> None:
    with FeatureFile(write_toy(tmp_path / "f.h5", videos=7)) as file:
        truth = find_annotations(file, None)
        folds = results.deal_folds(truth, file, 3)
        (whole,) = results.deal_folds(truth, file, 0)
    assert sorted(v for f in folds for v in f.test) == sorted(truth.videos)
    assert all(sorted(f.train + f.test) == sorted(truth.videos) for f in folds)
    assert {truth.videos[v].subset for v in whole.test} == {"validation"}
    results.write_fold(truth, folds[0], tmp_path / "fold.json")
    written = parse_annotations((tmp_path / "fold.json").read_text(), source="fold")
    assert set(written.subset("validation")) == set(folds[0].test)


def test_videos_without_actions_are_dealt_too_unless_their_subset_may_lack_annotations(
    results: Any, write_toy: Callable[..., Path], tmp_path: Path
) -> None:
    with FeatureFile(write_toy(tmp_path / "f.h5", videos=9)) as file:
        database = json.loads(find_annotations(file, None).text)["database"]
        subsets = {f"video_{n}": "training" for n in range(7)}
        subsets |= {"video_7": "testing", "video_8": "testing"}
        for video_id, subset in subsets.items():
            database[video_id]["subset"] = subset
        for number in (1, 2, 5, 7, 8):
            database[f"video_{number}"]["annotations"] = []
        truth = parse_annotations(json.dumps({"database": database}), source="t")
        folds = results.deal_folds(truth, file, 3)
    empty = {"video_1", "video_2", "video_5"}
    assert sorted(v for f in folds for v in f.test) == [f"video_{n}" for n in range(7)]
    assert [len(empty & set(f.test)) for f in folds] == [1, 1, 1]
    assert all(len(set(f.train) & empty) == 2 for f in folds)
