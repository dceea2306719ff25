"""A trained head at work: on cached features, and on raw video extracted as they were."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tsatal import pipeline
from tsatal.cli import main
from tsatal.commands import demo
from tsatal.config import Config, load_config
from tsatal.errors import InputError
from tsatal.formats.annotations import ActionnessCurve, Detection
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import FeatureFile
from tsatal.head.detector import load_detector
from tsatal.head.run import RunData, load_run_description
from tsatal.reports.detections import DetectedVideo, detections_csv

SETTINGS = [
    "optim.epochs=25",
    "optim.lr=0.01",
    "model.width=16",
    "data.window_steps=30",
    "model.input_dropout=0",
]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory, write_toy: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    features = write_toy(folder / "f.h5")
    return pipeline.train(features, load_config("paper", SETTINGS), run=folder / "run")


@pytest.fixture(scope="module")
def on_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on features of encoded video; `videos` and `f.h5` lie beside it."""
    folder = tmp_path_factory.mktemp("video")
    demo.write_demo_videos(folder / "videos", training=2, validation=1, duration_sec=6.0, seed=0)
    settings: dict[str, Any] = {
        "weights": "random",
        "crop": 32,
        "resize": 32,
        "seed": 3,
        "device": "cpu",
    }
    pipeline.extract(folder / "videos", folder / "f.h5", **settings)
    config = load_config("paper", ["optim.epochs=1", "model.width=16", "data.window_steps=20"])
    return pipeline.train(folder / "f.h5", config, run=folder / "run")


def tsatal(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_a_loaded_detector_finds_what_evaluation_found(toy: Path) -> None:
    pipeline.evaluate(toy, timelines=0)
    results = json.loads((toy / "predictions.json").read_text())["results"]
    detector = load_detector(toy)
    with FeatureFile(toy.parent / "f.h5") as file:
        found = detector(file.rows("video_2", ("rgb",)), file.time_axis("video_2"))
    assert [d.score for d in found.detections] == [d["score"] for d in results["video_2"]]


def test_actionness_is_high_in_actions_and_low_outside(toy: Path) -> None:
    with FeatureFile(toy.parent / "f.h5") as file:
        curve = load_detector(toy).in_file(file, "video_2").actionness
        truth = file.annotations()
    assert truth is not None and (curve.start_sec, curve.step_sec) == (0.0, 0.5)
    t = np.arange(len(curve.values)) * curve.step_sec
    inside = np.zeros(len(t), dtype=bool)
    for i in truth.videos["video_2"].instances:
        inside |= (i.start_sec < t) & (t < i.end_sec)
    values = np.array(curve.values)
    assert len(values) == 60 and values[inside].mean() > 0.6 > 0.4 > values[~inside].mean()


def test_a_description_is_read_once(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []

    def counted(run_dir: Path, changes: Sequence[str] = ()) -> tuple[Config, RunData]:
        seen.append(run_dir)
        return load_run_description(run_dir, changes)

    monkeypatch.setattr("tsatal.head.detector.load_run_description", counted)
    assert load_detector(toy, changes=["decode.nms_sigma=0.3"]).config.decode.nms_sigma == 0.3
    assert seen == [toy]


def test_rows_of_another_width_are_refused(toy: Path) -> None:
    with FeatureFile(toy.parent / "f.h5") as file, pytest.raises(InputError, match=r"\(T, 8\)"):
        load_detector(toy)(np.zeros((5, 3), np.float32), file.time_axis("video_2"))


def test_detect_on_a_feature_file_writes_json_table_and_pictures(toy: Path, tmp_path: Path) -> None:
    features = toy.parent / "f.h5"
    result = tsatal("detect", features, "--run", toy, "--out", tmp_path / "out", "--top", 2)
    assert result.exit_code == 0, result.output
    lines = [line for line in result.output.splitlines() if line.startswith("video_")]
    assert len(lines) == 6 and all("2 detections; best:" in line for line in lines)
    results = json.loads((tmp_path / "out" / "predictions.json").read_text())["results"]
    assert sorted(results) == [f"video_{n}" for n in range(6)]
    with open(tmp_path / "out" / "detections.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 and {r["video"] for r in rows} == set(results)
    assert float(rows[0]["score"]) == pytest.approx(results["video_0"][0]["score"], abs=1e-5)
    assert len(list((tmp_path / "out" / "timelines").glob("*.png"))) == 6
    assert "done" not in result.output  # nothing was extracted, so nothing is said of it


def test_detections_below_the_least_score_are_left_out(toy: Path, tmp_path: Path) -> None:
    features = toy.parent / "f.h5"
    pipeline.detect([features], toy, out=tmp_path, min_score=0.1)
    results = json.loads((tmp_path / "predictions.json").read_text())["results"]
    scores = [d["score"] for found in results.values() for d in found]
    assert scores and min(scores) >= 0.1


def test_decoding_can_be_changed_without_another_training(toy: Path, tmp_path: Path) -> None:
    out, features = tmp_path / "three", toy.parent / "f.h5"
    changed = ("--set", "decode.max_detections=3", "--out", out)
    for command in (("evaluate", toy, "--timelines", 0), ("detect", features, "--run", toy)):
        result = tsatal(*command, *changed)
        assert result.exit_code == 0, result.output
        results = json.loads((out / "predictions.json").read_text())["results"]
        assert results and {len(found) for found in results.values()} == {3}
    assert load_detector(toy).config.decode.max_detections == 200  # the run is as it was


@pytest.mark.parametrize(
    "setting, says",
    [
        ("optim.epochs=3", "only decode.* can be changed after the training"),
        ("decode.nms_sigm=0.3", "did you mean 'decode.nms_sigma'"),
    ],
)
def test_what_decoding_does_not_know_is_refused(toy: Path, setting: str, says: str) -> None:
    result = tsatal("evaluate", toy, "--set", setting)
    assert result.exit_code == 1 and says in result.output and "Traceback" not in result.output


def test_raw_video_is_extracted_as_the_run_was(on_video: Path, tmp_path: Path) -> None:
    """Crop, size and seed are those of the run, not the defaults, or the rows would differ."""
    videos = on_video.parent / "videos"
    told: list[DetectedVideo] = []
    detected = pipeline.detect(videos, on_video, out=tmp_path, device="cpu", on_video=told.append)
    assert detected.extraction is not None and len(detected.extraction.done) == 3
    assert {v.source for v in told} == set(videos.glob("*.mp4"))
    with (
        FeatureFile(tmp_path / "features.h5") as ours,
        FeatureFile(on_video.parent / "f.h5") as theirs,
    ):
        for video_id in theirs.video_ids:
            rows = ours.rows(video_id, ("rgb",))
            np.testing.assert_array_equal(rows, theirs.rows(video_id, ("rgb",)))
    again = pipeline.detect([videos], on_video, out=tmp_path, device="cpu")
    assert again.extraction is not None and len(again.extraction.already) == 3
    assert dict(again) == {video.video_id: video for video in told} == dict(detected)


def test_videos_are_in_their_order_whichever_was_extracted_before(
    on_video: Path, tmp_path: Path
) -> None:
    videos = sorted((on_video.parent / "videos").glob("*.mp4"))
    for given in (videos[1:2], videos):
        tsatal("detect", *given, "--run", on_video, "--out", tmp_path)
    results = json.loads((tmp_path / "predictions.json").read_text())["results"]
    assert list(results) == [v.stem for v in videos]


def test_pages_and_pictures_of_ids_that_differ_in_case_alone_have_other_names(
    toy: Path, tmp_path: Path
) -> None:
    with FeatureFile(toy.parent / "f.h5") as file:
        video, provenance = file.video("video_2"), file.provenance
    videos = [replace(video, video_id=v) for v in ("V", "v", "w")]
    write_feature_file(tmp_path / "g.h5", videos, provenance=provenance)
    result = tsatal("detect", tmp_path / "g.h5", "--run", toy, "--out", tmp_path / "out", "--view")
    assert result.exit_code == 0, result.output
    for files in ((tmp_path / "out").glob("*.html"), (tmp_path / "out" / "timelines").iterdir()):
        names = [p.stem for p in files]
        assert len({n.casefold() for n in names}) == 3 and "w" in names


def test_a_page_per_video_is_written_when_asked_for(on_video: Path, tmp_path: Path) -> None:
    [video, *_] = sorted((on_video.parent / "videos").glob("*.mp4"))
    truth = on_video.parent / "videos" / "annotations.json"
    result = tsatal(
        "detect", video, "--run", on_video, "--out", tmp_path, "--annotations", truth, "--view"
    )
    page = tmp_path / f"{video.stem}.html"
    assert result.exit_code == 0 and str(page) in result.output, result.output
    text = page.read_text("utf-8")
    assert video.stem in text and '"base64":"' in text and '"truth":[{' in text


def test_one_bad_video_is_named_and_does_not_stop_the_others(
    on_video: Path, tmp_path: Path
) -> None:
    good = sorted((on_video.parent / "videos").glob("*.mp4"))[0]
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    result = tsatal("detect", bad, good, "--run", on_video, "--out", tmp_path / "out")
    assert result.exit_code == 1 and "failed: " in result.output and "bad.mp4" in result.output
    results = json.loads((tmp_path / "out" / "predictions.json").read_text())["results"]
    assert list(results) == [good.stem]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere.mp4"], "nowhere.mp4: no such file"),
        (["{toy}/f.h5"], "features are 8 wide, the run needs 512"),
        (["{videos}", "{videos}/nothing.h5"], "nothing.h5: no such file"),
    ],
)
def test_a_wrong_source_is_one_clear_line(
    arguments: list[str], message: str, toy: Path, on_video: Path, tmp_path: Path
) -> None:
    places = {"toy": toy.parent, "videos": on_video.parent / "videos"}
    given = [a.format(**places) for a in arguments]
    result = tsatal("detect", *given, "--run", on_video, "--out", tmp_path / "out")
    assert result.exit_code == 1 and message in result.output, result.output
    assert not (tmp_path / "out").exists()


def test_a_run_on_features_of_others_takes_no_raw_video(toy: Path, on_video: Path) -> None:
    result = tsatal("detect", on_video.parent / "videos", "--run", toy)
    assert result.exit_code == 1 and "features come from 'toy'" in result.output


def test_the_line_about_a_video_names_its_best_in_the_order_of_time() -> None:
    found = [
        Detection("b", 61.26, 62.0, 0.9),
        Detection("a", 1.0, 2.04, 0.8),
        Detection("c", 70.0, 71.0, 0.7),
        Detection("d", 0.0, 1.0, 0.6),
    ]
    video = DetectedVideo("v", 90.0, found, ActionnessCurve(0.0, 1.0, ()))
    assert str(video) == (
        "v (90 s): 4 detections; best: a 1-2 (0.80), b 61.3-62 (0.90), c 70-71 (0.70)"
    )
    assert str(replace(video, detections=[])) == "v (90 s): 0 detections"


def test_a_table_quotes_what_would_break_it() -> None:
    text = detections_csv({'a,"b': [Detection("x\ny", 0.0, 1.0, 0.5)]})
    [row] = list(csv.DictReader(text.splitlines(keepends=True)))
    assert row["video"] == 'a,"b' and row["label"] == "x\ny"
