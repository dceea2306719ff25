"""Annotate, train, correct: what the page saves is what training takes, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tsatal import pipeline
from tsatal.annotator.session import Session
from tsatal.cli import main
from tsatal.errors import InputError
from tsatal.formats.annotation_file import Action, AnnotationFile, Labels, Span
from tsatal.formats.annotations import Detection
from tsatal.formats.features import FeatureFile
from tsatal.formats.labels.find import load_annotations
from tsatal.formats.predictions import predictions_json
from tsatal.head.dataset import label_videos

WriteVideo = Callable[..., Path]


def test_training_takes_what_was_saved_as_it_was_meant(
    write_toy: Callable[..., Path], tmp_path: Path
) -> None:
    """Videos of 30 s: done, nothing here, begun, partly looked at, and one not begun."""
    jump = Action(start_sec=5, end_sec=10, label="jump")
    saved = {
        "video_0": Labels(state="done", subset="training", actions=(jump,)),
        "video_1": Labels(state="done", subset="training"),
        "video_2": Labels(state="begun", subset="training", actions=(jump,)),
        "video_3": Labels(
            state="done", subset="training", actions=(jump,),
            unseen=(Span(start_sec=20, end_sec=25),), ignore=(Span(start_sec=1, end_sec=2),),
        ),
    }  # fmt: skip
    file = AnnotationFile(tmp_path / "annotations.json")
    for video_id, labels in saved.items():
        file.save(video_id, labels, file.video(video_id)[1], 30.0)
    truth = load_annotations(file.path)
    assert sorted(truth.videos) == sorted(saved)
    with FeatureFile(write_toy(tmp_path / "f.h5")) as features:
        labelled = label_videos(features, truth.videos, ["jump"])
    seconds = {v.video_id: v.ignored * v.axis.step_sec + v.axis.start_sec for v in labelled}
    counted = {v.video_id: len(v.labels) for v in labelled}
    assert counted == {"video_0": 1, "video_1": 0, "video_2": 1, "video_3": 1}
    assert len(seconds["video_0"]) == len(seconds["video_1"]) == 0
    assert any(a <= 1 and b >= 4.5 for a, b in seconds["video_2"])  # before the action
    assert any(a <= 12 and b >= 29 for a, b in seconds["video_2"])  # after it
    assert sorted((round(a), round(b)) for a, b in seconds["video_3"])[:2] == [(1, 2), (20, 25)]


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    """What would have been served."""
    served: list[Session] = []
    monkeypatch.setattr("tsatal.annotator.server.serve", lambda session, *_: served.append(session))
    return served


@pytest.fixture
def folder(tmp_path: Path, write_video: WriteVideo) -> Path:
    (tmp_path / "videos").mkdir()
    for name in "ab":
        write_video(tmp_path / "videos" / f"{name}.mp4")
    found = {"a": [Detection("jump", 0.5, 1.0, 0.9)], "b": [Detection("jump", 1.0, 2.0, 0.3)]}
    (tmp_path / "p.json").write_text(predictions_json(found))
    return tmp_path


def test_detections_of_a_file_are_suggested_the_least_sure_first(
    folder: Path, sessions: list[Session]
) -> None:
    given: dict[str, Any] = {"predictions": folder / "p.json"}
    pipeline.annotate(folder / "videos", order="useful", **given)
    pipeline.annotate(folder / "videos", **given)
    useful, by_name = sessions
    assert useful.ids == ["b", "a"] and by_name.ids == ["a", "b"]
    assert [d.score for d in by_name.suggestions(0)] == [0.9]
    assert "1 of 1 suggestions are near the threshold" in useful.reason(0)
    assert by_name.reason(0) == "" and by_name.all_labels() == ["jump"]
    assert by_name.file.path == folder / "videos" / "annotations.json"


def test_labels_without_scores_and_of_any_form_are_suggested(
    folder: Path, sessions: list[Session], caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "p.csv").write_text("video,label,start,end\na,jump,0.5,1\nb,run,1,2\nz,run,1,2\n")
    pipeline.annotate(folder / "videos", predictions=folder / "p.csv")
    assert "of no video here, and left out: z" in caplog.text
    assert sessions[0].suggestions(0) == [Detection("jump", 0.5, 1.0, 1.0)]
    assert sessions[0].all_labels() == ["jump", "run"]
    (folder / "p.csv").write_text("video,label,start,end\na,jump,2,1\n")
    with pytest.raises(InputError, match="line 2: ends"):
        pipeline.annotate(folder / "videos", predictions=folder / "p.csv")


def test_an_order_needs_something_to_go_by(folder: Path, sessions: list[Session]) -> None:
    with pytest.raises(InputError, match="--order useful needs detections"):
        pipeline.annotate(folder / "videos", order="useful")
    result = CliRunner().invoke(
        main, ["annotate", str(folder / "videos"), "--classes", "x", "--run", str(folder)]
    )
    assert result.exit_code == 2 and "suggestions come from one of these" in result.output


def test_labels_that_cannot_be_read_are_refused_before_anything_is_served(
    folder: Path, sessions: list[Session]
) -> None:
    (folder / "videos" / "annotations.json").write_text(json.dumps({"labels": []}))
    result = CliRunner().invoke(main, ["annotate", str(folder / "videos")])
    assert result.exit_code == 1 and "which is what is edited" in result.output
    assert not sessions


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("video,label,start,end\na,jump,1,2\n", "tsatal convert"),
        ("", "tsatal convert"),
        ("[]", "tsatal convert"),
        ('{"database": ', "not JSON"),
        ('{"database": {"a": {"annotations": [{}]}}}', "entry 0: has no 'label'"),
    ],
)
def test_what_is_no_annotation_file_says_how_it_becomes_one(
    folder: Path, sessions: list[Session], text: str, says: str
) -> None:
    (folder / "labels").write_text(text)
    command = ["annotate", str(folder / "videos"), "--annotations", str(folder / "labels")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1 and says in result.output and not sessions
