"""Labels of other programs, from end to end: training, evaluation, extraction, clips."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tsatal import pipeline
from tsatal.cli import main
from tsatal.errors import InputError
from tsatal.formats.features import FeatureFile
from tsatal.head.run import load_run_description

from .reports.test_clips import write_video

SMALL = ["model.width=16", "optim.epochs=1", "data.window_steps=20", "data.least_steps=1"]


@pytest.fixture
def features(tmp_path: Path, write_toy: Callable[..., Path]) -> Path:
    return write_toy(tmp_path / "f.h5")


@pytest.fixture
def table(features: Path, tmp_path: Path) -> Path:
    """The toy's own annotations as a table without subsets, and a video that has no features."""
    with FeatureFile(features) as file:
        truth = file.annotations()
    assert truth
    rows = [
        f"{v.video_id}.mp4;{i.label};{str(i.start_sec).replace('.', ',')};{i.end_sec}"
        for v in truth.videos.values()
        for i in v.instances
    ]
    text = "\n".join(["Video;Label;Start;End", *rows, "other.mp4;run;1;2"])
    (tmp_path / "a.csv").write_text(text, encoding="utf-16")
    return tmp_path / "a.csv"


def test_a_table_trains_with_a_split_and_the_run_keeps_it(
    features: Path, table: Path, tmp_path: Path
) -> None:
    run = pipeline.train(
        features, overrides=SMALL, run=tmp_path / "run", annotations=table, split=0.5, split_seed=1
    )
    _, data = load_run_description(run)
    assert data.annotations == str((run / "annotations.json").resolve())
    kept = json.loads((run / "annotations.json").read_text())["database"]
    subsets = {k: v["subset"] for k, v in kept.items()}
    assert sorted(subsets.values()) == ["", *["training"] * 3, *["validation"] * 3]
    assert subsets["other"] == ""
    report = pipeline.evaluate(run, timelines=0)
    assert report.evaluation.subset == "validation"
    assert len(report.evaluation.matches.videos) == 3
    # Moved with all that is in it, and gone on with.
    moved = shutil.move(run, tmp_path / "moved")
    table.unlink()
    assert pipeline.evaluate(moved, timelines=0).evaluation.subset == "validation"
    assert pipeline.resume(moved) == Path(moved)


def test_annotations_without_subsets_say_to_divide_them(features: Path, table: Path) -> None:
    with pytest.raises(InputError, match="the annotations name no subsets; divide .* --split 0.7"):
        pipeline.train(features, overrides=SMALL, annotations=table)


def test_without_subsets_all_videos_are_measured_and_that_is_said(
    features: Path, table: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = pipeline.train(features, overrides=SMALL, run=tmp_path / "run")
    report = pipeline.evaluate(run, annotations=table, timelines=0)
    assert report.evaluation.subset == "all videos"
    assert "names no subsets: all of its videos are measured on" in caplog.text
    assert len(report.evaluation.matches.videos) == 6
    again = pipeline.report(run, annotations=table)
    assert again.evaluation.average_map == report.evaluation.average_map
    found = pipeline.evaluate_predictions(run / "predictions.json", table)
    assert found.evaluation.subset == "all videos"


def test_labels_are_embedded_with_their_split_and_frames_follow_the_videos(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("a", "b"):
        write_video(videos / f"{name}.mp4", pictures=30, sound=False)
    tasks = [
        {
            "id": n, "data": {"video": f"/data/upload/1/0a1b2c3d-{name}.mp4"},
            "annotations": [{"result": [{
                "type": "timelinelabels",
                "value": {"ranges": [{"start": 6, "end": 10}], "timelinelabels": ["run"]},
            }]}],
        }
        for n, name in enumerate("ab")
    ]  # fmt: skip
    (tmp_path / "ls.json").write_text(json.dumps(tasks))
    settings: Any = {"weights": "random", "resize": 32, "crop": 32, "show_progress": False}
    out = tmp_path / "f.h5"
    pipeline.extract(videos, out, annotations=tmp_path / "ls.json", split=0.5, **settings)
    with FeatureFile(out) as file:
        truth = file.annotations()
    assert truth and truth.subset_counts() == {"training": 1, "validation": 1}
    instance = truth.videos["a"].instances[0]
    assert (instance.start_sec, instance.end_sec) == pytest.approx((0.2, 0.4))
    with pytest.raises(InputError, match="--split divides annotations, and there are none"):
        pipeline.extract(videos, tmp_path / "g.h5", split=0.5, **settings)


def test_check_reads_any_form_and_lists_all_problems(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("video,label,start,end\nv,a,1,2\nv,b,2,1\nw,b,x,1\nw,a,1,2\n")
    result = CliRunner().invoke(main, ["check", str(tmp_path / "a.csv"), "--split", "0.5"])
    assert result.exit_code == 1
    assert "checked table of labels, 4 rows: 2 videos, 2 instances" in result.output
    assert "v: line 3: ends (1 s) before it starts (2 s)" in result.output
    assert "w: line 4: the start is no time: 'x'" in result.output
    assert "[no-subset]" not in result.output
    result = CliRunner().invoke(main, ["check", str(tmp_path / "a.csv")])
    assert "sets of annotations in which no video is in a subset  [no-subset]" in result.output


def test_clips_of_a_subtitle_file(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", sound=False)
    (tmp_path / "v.srt").write_text("1\n00:00:00,400 --> 00:00:00,800\nrun\n")
    line = ["clips", str(tmp_path / "v.srt"), str(tmp_path / "v.mp4"), str(tmp_path / "out")]
    result = CliRunner().invoke(main, line)
    assert result.exit_code == 0, result.output
    assert result.output.endswith("out: 1 clip, index.csv, sheets/\n")
    (tmp_path / "v.srt").write_text("1\n00:00:50,400 --> 00:00:50,800\nrun\n")
    result = CliRunner().invoke(main, line)
    assert result.exit_code == 1 and "failed: " in result.output
