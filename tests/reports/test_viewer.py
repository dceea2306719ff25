"""What is on the viewer's page, and the command that writes it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tsatal.cli import main
from tsatal.errors import InputError
from tsatal.formats.annotations import ActionnessCurve, Detection, Instance
from tsatal.formats.predictions import predictions_json
from tsatal.reports import viewer
from tsatal.reports.pictures import MUTED, class_colours
from tsatal.reports.viewer import Media, slider, viewer_data, write_viewer

WriteVideo = Callable[..., Path]
FOUND = [
    Detection("wave", 2.5, 3.5, 0.9),
    Detection("jump", 0.5, 1.2, 0.8),
    Detection("jump", 1.6, 2.2, 0.5),
    Detection("wave", 2.4, 3.6, 0.2),
]
TRUTH = [Instance("jump", 0.5, 1.0), Instance("run", 3.0, 3.9)]


def data_of(found: Sequence[Detection], **changed: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"duration_sec": 10.0, "labels": ["jump", "run", "wave"]}
    given |= {"video_id": "v", "detections": found, "media": Media("none"), **changed}
    return viewer_data(**given)


def test_classes_have_the_colours_of_the_pictures_and_only_those_present_are_listed() -> None:
    labels = ["crawl", "jump", "run", "wave"]
    truth = [Instance("run", 0, 1), Instance("Ambiguous", 2, 3)]
    data = data_of([Detection("wave", 0, 1, 0.5)], labels=labels, truth=truth)
    colours = class_colours(labels)
    assert data["classes"] == [
        {"label": "run", "colour": colours["run"]},
        {"label": "wave", "colour": colours["wave"]},
        {"label": "Ambiguous", "colour": MUTED},
    ]


def test_no_annotations_and_no_annotated_action_are_two_things() -> None:
    assert data_of([])["truth"] is None
    assert data_of([], truth=[])["truth"] == []


def test_the_time_line_reaches_past_the_end_where_an_action_does() -> None:
    data = data_of([Detection("jump", 9, 12, 0.5)], truth=[Instance("run", 11, 14)])
    assert (data["duration_sec"], data["extent_sec"]) == (10.0, 14.0)
    assert data_of(FOUND, duration_sec=0.0)["duration_sec"] == 3.6  # of a video nobody could open
    assert data_of([], duration_sec=0.0)["extent_sec"] == 1.0


def test_the_weakest_of_very_many_detections_are_left_out_and_counted() -> None:
    many = [Detection("jump", k / 1000, 1, k / 5000) for k in range(2100)]
    data = data_of(many)
    assert len(data["detections"]) == 2000 and data["left_out"] == 100
    assert data["detections"][0]["score"] == 2099 / 5000


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([], (0.0, 1.0, 0.01, 0.0)),
        ([0.9, 0.5, 0.1], (0.0, 0.9, 0.01, 0.3)),
        ([0.87, 0.28], (0.0, 0.87, 0.01, 0.29)),  # 0.29 is a third of the best
        ([0.0, 0.0], (0.0, 0.0, 0.01, 0.0)),
        ([3.0, -6.0], (-6.0, 3.0, 0.1, -3.0)),  # of programs whose scores are no probabilities
        ([1.0] * 100 + [0.8] * 50, (0.0, 1.0, 0.01, 1.0)),  # a hundred at first
        ([40.0, 20.0], (0.0, 40.0, 0.5, 13.0)),
    ],
)
def test_the_slider_starts_at_a_third_of_the_best_score(
    scores: list[float], expected: tuple[float, ...]
) -> None:
    assert tuple(slider(scores).values()) == pytest.approx(expected)


def test_the_slider_may_be_told_where_to_start() -> None:
    starts = [slider([0.9, 0.5, 0.1], start=s)["start"] for s in (0.0, 0.5, 7.0, -1.0)]
    assert starts == pytest.approx([0.0, 0.5, 0.9, 0.0])


def test_what_reaches_the_thresholds_of_a_run_is_on_the_page_first() -> None:
    """Of very many detections the weakest stay off it, but none that counts."""
    many = [Detection("jump", k, k + 1, 0.5 + k / 10_000) for k in range(2100)]
    rare = Detection("wave", 0, 1, 0.1)
    data = data_of([*many, rare], thresholds={"jump": 0.7, "wave": 0.05})
    assert data["by_thresholds"] and data["thresholds"] == {"jump": 0.7, "wave": 0.05}
    assert data["detections"][-1]["label"] == "wave" and len(data["detections"]) == 2000
    asked = data_of([*many, rare], thresholds={"jump": 0.7}, min_score=0.0)
    assert not asked["by_thresholds"] and asked["slider"]["start"] == 0
    assert data_of([rare])["thresholds"] is None


def test_the_best_detection_is_shown_wherever_the_slider_stands() -> None:
    for best in (1e-7, 0.0123, 0.999, 1.0, 7.77, 12345.6):
        assert slider([best, 0.0])["most"] <= best * (1 + 1e-9)


def test_a_long_curve_keeps_its_peaks_and_its_place() -> None:
    values = [0.1] * 30_000
    values[12_345] = 1.0
    thin = viewer._thinned(ActionnessCurve(0.05, 0.2, tuple(values)))
    assert len(thin.values) <= viewer.MAX_CURVE_POINTS
    at = thin.start_sec + thin.step_sec * thin.values.index(1.0)
    assert at == pytest.approx(0.05 + 0.2 * 12_345, abs=thin.step_sec)
    short = ActionnessCurve(0.05, 0.2, (0.5,))
    assert viewer._thinned(short) == short


def test_the_video_is_inside_the_page_where_it_is_small(
    write_video: WriteVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write_video(tmp_path / "a b.mp4")
    inside = write_viewer(video, tmp_path / "p.html", video_id="v", detections=FOUND)
    assert "inside" in inside and '"src":""' in (tmp_path / "p.html").read_text()
    out = tmp_path / "pages" / "p.html"
    beside = write_viewer(video, out, video_id="v", detections=FOUND, embed=False)
    assert "../a b.mp4" in beside and '"src":"../a%20b.mp4"' in out.read_text()
    monkeypatch.setattr(viewer, "EMBED_BYTES", 10)
    large = write_viewer(video, out, video_id="v", detections=FOUND)
    assert "keep the two together" in large
    forced = write_viewer(video, out, video_id="v", detections=FOUND, embed=True)
    assert "a copy of the video is inside" in forced and "too large" in forced
    assert sorted(p.name for p in out.parent.iterdir()) == ["p.html"]


def test_a_copy_lies_beside_the_page_where_the_video_should(
    write_video: WriteVideo, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "a.avi", codec="mpeg4")
    made = write_viewer(video, tmp_path / "p.html", video_id="v", detections=[], embed=False)
    assert "browsers do not play mpeg4" in made
    copy = next(tmp_path.glob("p.preview.*"))
    assert f'"src":"{copy.name}"' in (tmp_path / "p.html").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.avi", "p.html", copy.name]


def test_a_copy_inside_the_page_leaves_files_of_like_names_alone(
    write_video: WriteVideo, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "a.avi", codec="mpeg4")
    own = [tmp_path / "p.preview.mp4", tmp_path / "p.preview.webm"]
    for path in own:
        path.write_text("of the user")
    made = write_viewer(video, tmp_path / "p.html", video_id="v", detections=[])
    assert "inside" in made and all(p.read_text() == "of the user" for p in own)
    assert sorted(tmp_path.iterdir()) == sorted([video, tmp_path / "p.html", *own])


def test_a_video_that_cannot_be_read_is_named_on_the_page_without_its_folder(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    made = write_viewer(tmp_path / "a.mp4", tmp_path / "p.html", video_id="v", detections=FOUND)
    assert made.startswith("a.mp4: not a video, or cut off before its index; ")
    assert str(tmp_path) not in (tmp_path / "p.html").read_text()
    with pytest.raises(InputError, match=r"b\.mp4: no such video file"):
        write_viewer(tmp_path / "b.mp4", tmp_path / "p.html", video_id="v", detections=[])


def test_without_a_video_the_page_is_as_long_as_it_is_told(tmp_path: Path) -> None:
    made = write_viewer(None, tmp_path / "p.html", video_id="v", detections=FOUND, duration_sec=9.0)
    assert (
        made == "no video was given" and '"duration_sec":9.0' in (tmp_path / "p.html").read_text()
    )


# ---- the command ----


@pytest.fixture
def files(write_video: WriteVideo, tmp_path: Path) -> dict[str, Path]:
    """A video, detections in it, ground truth of it, and where the page goes."""
    paths = {k: tmp_path / f"{k}.json" for k in ("found", "truth")}
    curve = ActionnessCurve(0.0, 0.5, (0.1, 0.9, 0.2))
    found = {"clip": FOUND, "clap": []}
    paths["found"].write_text(predictions_json(found, {"clip": curve}))
    annotations = [{"label": i.label, "segment": [i.start_sec, i.end_sec]} for i in TRUTH]
    database = {"clip": {"subset": "test", "duration": 4.0, "annotations": annotations}}
    paths["truth"].write_text(json.dumps({"database": database}))
    return {**paths, "video": write_video(tmp_path / "clip.mp4"), "out": tmp_path / "clip.html"}


def view(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["view", *map(str, arguments)])


def test_view_writes_the_page_beside_where_it_was_called(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(files["out"].parent)
    caplog.set_level(logging.INFO)
    result = view("clip.mp4", "found.json", "--annotations", "truth.json")
    assert result.exit_code == 0, result.output
    assert result.stdout == "clip.html: the video is inside the page (0.1 MB)\n"
    assert "found.json: holds no thresholds of a run; the page begins at a third" in caplog.text
    text = files["out"].read_text()
    for said in ('"label":"run"', '"start_sec":2.5', '"values":[0.1,0.9,0.2]', '"left_out":0'):
        assert said in text


def test_view_shows_what_counts_for_the_run_unless_it_is_told_otherwise(
    files: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    thresholds = {"jump": 0.6, "wave": 0.1}
    files["found"].write_text(predictions_json({"clip": FOUND}, thresholds=thresholds))
    options = [files["video"], files["found"], "--out", files["out"]]
    assert view(*options).exit_code == 0 and "thresholds" not in caplog.text
    assert '"by_thresholds":true' in files["out"].read_text()
    assert view(*options, "--min-score", 0).exit_code == 0
    text = files["out"].read_text()
    assert '"by_thresholds":false' in text and '"start":0.0' in text
    broken = json.loads(files["found"].read_text()) | {"thresholds": {"jump": "high"}}
    files["found"].write_text(json.dumps(broken))
    refused = view(*options)
    assert refused.exit_code == 1
    assert "found.json: thresholds: 'jump' must be a finite number, is 'high'" in refused.stderr


def test_view_names_the_videos_there_are(files: dict[str, Path]) -> None:
    other = files["video"].rename(files["video"].with_name("clipp.mp4"))
    result = view(other, files["found"], "--out", files["out"])
    assert result.exit_code == 1 and not files["out"].exists()
    assert "no video called 'clipp', but clip, clap" in result.output and "--id" in result.output
    assert view(other, files["found"], "--id", "clip", "--out", files["out"]).exit_code == 0
    missing = view(other, files["found"], "--id", "clap", "--annotations", files["truth"])
    assert missing.exit_code == 1 and "truth.json: has no video called 'clap'" in missing.output


def test_view_overwrites_none_of_its_inputs(files: dict[str, Path]) -> None:
    for name in ("video", "found", "truth"):
        before = files[name].read_bytes()
        result = view(
            files["video"], files["found"], "--annotations", files["truth"], "--out", files[name]
        )
        assert result.exit_code == 1 and files[name].read_bytes() == before
