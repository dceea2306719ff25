"""Detections times class scores of whole videos, in the forms in which these go round."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsatal.errors import InputError
from tsatal.evaluation.video_scores import note_on_scores, with_video_scores
from tsatal.formats.annotations import Detection
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import VideoFeatures
from tsatal.formats.video_scores import VideoScores, load_video_scores


def write(folder: Path, content: Any) -> Path:
    path = folder / "scores.json"
    path.write_text(json.dumps(content))
    return path


def scores(**by_video: dict[str, float]) -> VideoScores:
    return VideoScores(by_video, "scores.json")


FOUND = {"a": [Detection("High jump", 0, 1, 0.5), Detection("Polo", 2, 3, 0.4)]}


@pytest.mark.parametrize(
    "content",
    [
        {"class": ["High jump", "Polo"], "results": {"a": [0.25, 0.5]}},
        {"results": {"a": {"High_jump": 0.25, "polo": 0.5}}},
        {"a": {"High jump": 0.25, "Polo": 0.5}},
        {
            "results": {
                "a": [{"label": "Polo", "score": 0.5}, {"label": "High jump", "score": 0.25}]
            }
        },
    ],
)
def test_every_form_gives_the_same(tmp_path: Path, content: Any) -> None:
    read = load_video_scores(write(tmp_path, content))
    assert with_video_scores(FOUND, read)["a"] == [
        Detection("Polo", 2, 3, 0.2),
        Detection("High jump", 0, 1, 0.125),
    ]


def test_ids_with_and_without_v_are_one() -> None:
    given = {"v_a": FOUND["a"]}
    assert with_video_scores(given, scores(a={"high jump": 1, "polo": 0}))["v_a"][1].score == 0


def test_proposals_of_any_action_become_the_videos_best_classes() -> None:
    given = {"a": [Detection("action", 0, 1, 0.5), Detection("action", 2, 3, 0.1)]}
    of_video = {"x": 0.1, "high jump": 0.8, "polo": 0.4}
    got = with_video_scores(given, scores(a=of_video), labels=["High jump", "Polo", "X"])["a"]
    assert [(d.label, round(d.score, 3)) for d in got] == [
        ("High jump", 0.4), ("Polo", 0.2), ("High jump", 0.08), ("Polo", 0.04),
    ]  # fmt: skip


def test_a_runs_classes_decide_whatever_one_video_shows() -> None:
    """In a video that shows one class, it is no more a proposal of any action than in others."""
    one_class = {"a": FOUND["a"][:1]}
    of_video = scores(a={"polo": 0.5, "x": 0.1})
    with pytest.raises(InputError, match="no score for the class 'High jump'"):
        with_video_scores(one_class, of_video, classes=["High jump", "Polo"])
    with pytest.raises(InputError, match="no score for the class 'High jump'"):
        with_video_scores(one_class, of_video, labels=["High jump", "Polo"])
    any_action = with_video_scores(one_class, of_video, ["High jump"], classes=["High jump"])
    assert [d.label for d in any_action["a"]] == ["polo", "x"]


def test_the_scores_that_are_stored_beside_rows_are_taken(tmp_path: Path) -> None:
    def video(name: str, stored: list[list[float]] | None) -> VideoFeatures:
        values = None if stored is None else np.array(stored, np.float16)
        return VideoFeatures(name, {"rgb": np.zeros((2, 3))}, 0.1, 0.2, 0.4, scores=values)

    path = tmp_path / "f.h5"
    videos = [video("a", [[0.5, 0.5], [0.0, 1.0]]), video("b", None)]
    write_feature_file(path, videos, provenance={}, classes=("High jump", "Polo"))
    read = load_video_scores(path)
    assert read.of("a") == {"high jump": 0.25, "polo": 0.75} and read.of("b") is None
    write_feature_file(tmp_path / "g.h5", videos[1:], provenance={})
    with pytest.raises(InputError, match="holds no class scores; `tsatal extract --scores`"):
        load_video_scores(tmp_path / "g.h5")


def test_a_note_says_what_was_multiplied() -> None:
    note = note_on_scores(["a", "b"], scores(a={"x": 1.0}))
    assert "scores of whole videos in scores.json, which has none of 1 of the 2 videos" in note
    assert note_on_scores(["a"], scores(a={"x": 1.0})).endswith("scores.json")


def test_a_class_without_a_score_is_named() -> None:
    with pytest.raises(InputError, match=r"^scores.json: has no score for the class 'Polo'$"):
        with_video_scores(FOUND, scores(a={"high jump": 1.0}))


def test_videos_without_scores_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    given = {**FOUND, "b": FOUND["a"]}
    got = with_video_scores(given, scores(a={"high jump": 0.5, "polo": 0.5}))
    assert got["b"] == FOUND["a"]
    assert "has no scores for 1 of 2 videos (b ...)" in caplog.text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([], "not class scores of videos"),
        ({}, "not class scores of videos"),
        ({"results": {"a": [1.0]}}, "a: a score for every class is needed"),
        ({"class": ["x", "y"], "results": {"a": [1.0]}}, "a: a score for every class is needed"),
        ({"a": {"x": -1.0}}, "a: the score of 'x' is negative"),
        ({"a": {"x": "much"}}, "a: 'x' must be a finite number"),
        ({"a": [{"label": "x", "score": "much"}]}, "a: 'x' must be a finite number"),
        ({"a": [{"score": 1.0}]}, "a: "),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: Any, says: str) -> None:
    with pytest.raises(InputError, match=f"scores.json: {says}"):
        load_video_scores(write(tmp_path, content))
