"""What is said of the inside of TSA, on cases worked by hand, and on a small run."""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tsatal.formats.features import FeatureFile, TimeAxis
from tsatal.formats.subsets import find_annotations, videos_with_features
from tsatal.head.dataset import label_videos
from tsatal.head.windows import LabelledVideo


@pytest.fixture(scope="module")
def facts(program: Callable[[str], ModuleType]) -> Any:
    return program("tsa_facts")


def video() -> LabelledVideo:
    """Rows 0-2 and 6-7 are of class 0, rows 4 and 5 of class 1, row 3 of none."""
    segments = np.array([[-0.5, 2.5], [5.6, 7.5], [3.6, 5.4]])
    return LabelledVideo("v", TimeAxis(8, 0.0, 1.0, 8.0), segments, np.array([0, 0, 1]))


def test_rows_belong_to_the_shortest_action(facts: Any) -> None:
    assert facts.owners(video()).tolist() == [0, 0, 0, -1, 2, 2, 1, 1]


def test_every_pair_is_of_one_kind(facts: Any) -> None:
    owner = facts.owners(video())
    kinds = facts.pairs_by_kind(video(), owner)
    assert (sum(k.astype(int) for k in kinds.values()) == 1).all()
    of_first_row = {name: np.flatnonzero(k[0]).tolist() for name, k in kinds.items()}
    assert of_first_row == {
        "same": [0, 1, 2], "repetition": [6, 7], "other class": [4, 5], "background": [3],
    }  # fmt: skip


def test_a_repetition_is_in_reach_from_end_to_start(facts: Any) -> None:
    # From 2.5 to 5.6 are 3.1 rows; the action of class 1 has none.
    assert facts.within_reach(video(), 3) == [False, False]
    assert facts.within_reach(video(), 4) == [True, True]
    assert facts.within_reach(video(), None) == [True, True]


def test_average_precision_of_rows(facts: Any) -> None:
    # Right are the first and the third: (1/1 + 2/3) / 2.
    right = np.array([False, True, True])
    assert facts.average_precision(np.array([0.5, 0.1, 0.9]), right) == pytest.approx(5 / 6)
    assert math.isnan(facts.average_precision(np.zeros(3), np.zeros(3, bool)))


def test_it_trains_looks_and_finds_its_runs_again(
    facts: Any,
    write_toy: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = "strong model.width=16 optim.epochs=1 data.least_steps=2"
    command = ["tsa_facts.py", write_toy(tmp_path / "f.h5"), row, "--folds", "2"]
    monkeypatch.setattr(sys, "argv", [str(c) for c in [*command, "--runs", tmp_path / "runs"]])
    facts.main()
    told = capsys.readouterr().out
    monkeypatch.setattr(facts.pipeline, "train", None)  # is not called again
    facts.main()
    assert capsys.readouterr().out == told
    values = {line.split("  ")[-1]: float(line.split()[0]) for line in told.splitlines()}
    for name in ("G", "M", "rows"):
        shares = [values[f"{name} takes from {kind}"] for kind in facts.KINDS]
        assert sum(shares) == pytest.approx(1, abs=2e-3)
    assert values["added, of the row's norm, actions"] >= 0
    assert 0 < values["chance"] < values["entropy of M"] <= 1
    assert -1 <= values["cosine of gradients, pre and final"] <= 1


def test_the_actionness_that_was_kept_is_measured_and_paired(
    facts: Any, write_toy: Callable[..., Path], tmp_path: Path
) -> None:
    features, keep = write_toy(tmp_path / "f.h5"), tmp_path / "keep"
    keep.mkdir()
    with FeatureFile(features) as file:
        truth = find_annotations(file, None)
        folds = facts.deal_folds(truth, file, 2)
        labelled = label_videos(file, videos_with_features(file, truth), ["jump", "run"])
    inside = {v.video_id: (facts.owners(v) >= 0).astype(float) for v in labelled}
    for row, sign in (("strong", 1.0), ("strong_model.tsa=none", -1.0)):
        for n, fold in enumerate(folds):
            curves = {
                v: {
                    "start_sec": 0.0,
                    "step_sec": 0.5,
                    "values": (0.5 + sign * inside[v] / 4).tolist(),
                }
                for v in fold.test
            }
            kept = {"results": {v: [] for v in fold.test}, "actionness": curves}
            (keep / f"{row}.fold{n}.seed0.json").write_text(json.dumps(kept))
    plain, without = facts.kept_actionness(features, 2, keep)
    assert plain.split() == ["100.0", "(2)", "+0.0", "+-", "0.0", "strong"]
    assert without.endswith("strong_model.tsa=none") and "(2)" in without
    assert float(without.split()[0]) < 40 and float(without.split()[2]) < -60


def test_a_mask_weighs_a_detection_by_the_rows_that_it_meets(facts: Any) -> None:
    curve = facts.ActionnessCurve(0.0, 1.0, (0.2, 0.4, 0.9, 0.1))
    whole, between = (
        facts.Detection("run", start, end, 0.5) for start, end in ((0.0, 3.0), (1.9, 2.0))
    )
    masked = facts.with_mask([whole, between], curve)
    assert [d.start_sec for d in masked] == [1.9, 0.0]
    assert [d.score for d in masked] == pytest.approx([0.45, 0.2])
