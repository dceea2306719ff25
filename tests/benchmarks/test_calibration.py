"""Thresholds chosen on a quarter, and on inner folds, beside each other in one table."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from tsatal import pipeline
from tsatal.evaluation.operating_point import learn_operating_point
from tsatal.formats.annotations import AnnotatedVideo, Detection, Instance

SMALL = (
    "model.width=8", "data.window_steps=16", "data.least_steps=1", "optim.epochs=1",
    "optim.batch_size=8", "data.windows_per_video=1",
)  # fmt: skip


def test_inner_folds_stand_beside_the_quarter_and_are_kept(
    program: Callable[[str], ModuleType],
    write_toy: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    features, keep = write_toy(tmp_path / "f.h5"), tmp_path / "keep"
    words = [str(features), "--folds", "2", "--inner", "2", "--only", "1", "--keep", str(keep)]
    words += [word for change in SMALL for word in ("--set", change)]
    monkeypatch.setattr(sys, "argv", ["calibration.py", *words])
    program("calibration").main()
    first = capsys.readouterr().out
    assert "chosen on 2 inner folds        1 " in first
    (inner,) = keep.glob("*/fold1/inner2")
    assert not list(keep.glob("*/fold0")) and not list(inner.glob("*/*.pt"))

    def refused(*arguments: object, **options: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(pipeline, "train", refused)
    monkeypatch.setattr(pipeline, "train_folds", refused)
    program("calibration").main()
    assert capsys.readouterr().out == first


def test_what_few_actions_cost_is_held_to_the_best_threshold_of_each_half(
    program: Callable[[str], ModuleType],
) -> None:
    tested = {
        f"v{n}": AnnotatedVideo(f"v{n}", "testing", 20.0, (Instance("jump", 0, 4),))
        for n in range(8)
    }
    right = [Detection("jump", 0, 4, 0.9), Detection("jump", 9, 12, 0.1)]
    found = dict.fromkeys(tested, right)
    good = learn_operating_point(tested, found, subset="testing")
    calibration = program("calibration")
    assert calibration.lost_by_half(tested, found, good) == (0.0, 0.0)
    nothing = replace(good, thresholds={"jump": 1.0}, other=1.0)
    stored, other = calibration.lost_by_half(tested, found, nothing)
    assert (stored, other) == (-1.0, 0.0)
