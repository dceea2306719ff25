"""From which score on a run's detections count: chosen by a training, kept by what it finds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tsatal import pipeline
from tsatal.cli import main
from tsatal.config import load_config
from tsatal.errors import InputError
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import VideoFeatures
from tsatal.head.run import load_operating_point

SETTINGS = [
    "model.width=16", "data.window_steps=20", "optim.epochs=20", "optim.lr=0.005",
    "optim.validate_every=20",
]  # fmt: skip


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory, write_toy: Callable[..., Path]) -> Path:
    return write_toy(tmp_path_factory.mktemp("toy") / "f.h5")


@pytest.fixture(scope="module")
def learned(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned what there is to learn; not to be changed."""
    run = tmp_path_factory.mktemp("runs") / "run"
    return pipeline.train(features, load_config("paper", SETTINGS), run=run, device="cpu")


def tsatal(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_a_run_knows_from_which_score_on_its_detections_count(
    learned: Path, features: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(learned, tmp_path / "run")
    point = json.loads((run / "operating_point.json").read_text())
    assert set(point["thresholds"]) == {"jump", "run"} and point["subset"] == "validation"
    assert set(point["calibration"]["classes"]) == {"jump", "run"}
    report = pipeline.evaluate(run, device="cpu")
    assert (
        "above the run's own thresholds (best F1 at tIoU 0.5 on 6 actions of 'validation')"
        in str(report)
    )
    figures = json.loads((run / "metrics.json").read_text())["events"]
    assert figures == report.to_json()["events"]
    assert figures["all"]["f1"] > 0.9 and figures["all"]["false_alarms_per_hour"] is not None
    assert figures["all"]["segment_f1"]["50"] > 0.9
    again = json.loads((pipeline.report(run).written[-1]).read_text())
    assert again["events"] == figures
    kept = pipeline.detect(features, run, out=tmp_path / "kept", device="cpu")
    every = pipeline.detect(features, run, out=tmp_path / "all", min_score=0.0, device="cpu")
    for video_id, video in every.items():
        above = [d for d in video.detections if d.score >= point["thresholds"][d.label]]
        assert kept[video_id].detections == above
    assert sum(len(v.detections) for v in every.values()) > 2 * figures["all"]["instances"]
    (run / "operating_point.json").write_text('{"thresholds": 3}')
    with pytest.raises(InputError, match="operating_point.json: damaged"):
        pipeline.detect(features, run, out=tmp_path / "bad", device="cpu")
    # As in a run of an older version: the head's own scores, all of them, the same ranking.
    (run / "operating_point.json").unlink()
    old = pipeline.detect(features, run, out=tmp_path / "old", device="cpu")
    for label in ("jump", "run"):
        ours, theirs = ([d for d in v["video_4"].detections if d.label == label]
                        for v in (every, old))  # fmt: skip
        assert [(d.start_sec, d.end_sec) for d in ours] == [
            (d.start_sec, d.end_sec) for d in theirs
        ]
        assert [d.score for d in ours] != [d.score for d in theirs]
    uncalibrated = pipeline.evaluate(run, device="cpu")
    assert uncalibrated.outcome is None and "own thresholds" not in str(uncalibrated)
    for label, values in report.evaluation.per_class.items():
        assert uncalibrated.evaluation.per_class[label].tolist() == values.tolist()


def test_thresholds_of_a_wished_precision_can_be_chosen_before_and_after_a_training(
    features: Path, tmp_path: Path
) -> None:
    run = tmp_path / "asked"
    options = [word for setting in SETTINGS for word in ("--set", setting)]
    result = tsatal(
        "train",
        "--features",
        features,
        "--config",
        "paper",
        "--out",
        run,
        *options,
        "--precision",
        0.97,
    )
    assert result.exit_code == 0, result.output
    asked = load_operating_point(run)
    assert asked and asked.rule == 0.97 and "precision 97%" in asked.in_words
    for wish, rule in (("f1", "f1"), ("0.97", 0.97)):
        measured = tsatal("evaluate", run, "--precision", wish, "--timelines", 0)
        assert measured.exit_code == 0, measured.output
        point = load_operating_point(run)
        assert point and point.rule == rule
    assert point and point.calibration == asked.calibration and point.thresholds == asked.thresholds
    assert "precision 97% at tIoU 0.5 on 6 actions of 'validation'; no threshold" in measured.output
    for others in (["--checkpoint", "best"], ["--set", "decode.nms_sigma=1"]):
        refused = tsatal("evaluate", run, "--precision", 0.9, *others)
        assert (
            refused.exit_code == 2 and "chooses thresholds for the run as it is" in refused.output
        )
    assert tsatal("evaluate", run, "--precision", "most").exit_code == 2
    assert tsatal("train", "--resume", "--out", run, "--precision", 0.9).exit_code == 2


def test_in_a_video_of_background_nothing_is_found_by_default(
    learned: Path, features: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(learned, tmp_path / "run")
    rng = np.random.default_rng(7)
    videos = [
        VideoFeatures(f"empty_{n}", {"rgb": rng.normal(0, 0.1, (60, 8))}, 0.0, 0.5, 30.0)
        for n in range(5)
    ]
    write_feature_file(tmp_path / "empty.h5", videos, provenance={"extractor": "toy"})
    found = pipeline.detect(tmp_path / "empty.h5", run, out=tmp_path / "out", device="cpu")
    assert [len(video.detections) for video in found.values()] == [0] * 5
    every = pipeline.detect(
        tmp_path / "empty.h5", run, out=tmp_path / "all", min_score=0.0, device="cpu"
    )
    assert all(video.detections for video in every.values())


def test_a_wish_that_nothing_can_be_chosen_for_is_refused(features: Path, tmp_path: Path) -> None:
    told = tsatal(
        "train", "--features", features, "--out", tmp_path / "r", "--precision", 0.9,
        "--set", "data.validation_subset=none",
    )  # fmt: skip
    assert told.exit_code == 1 and not (tmp_path / "r").exists()
    assert "--precision chooses thresholds on validation videos" in told.output
