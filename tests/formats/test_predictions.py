"""Prediction files: what is accepted, and what each mistake is called."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import pytest

from tsatal.errors import InputError
from tsatal.formats.annotations import ActionnessCurve, Detection
from tsatal.formats.predictions import (
    json_kind,
    load_actionness,
    load_predictions,
    predictions_json,
)


def action(start: float, end: float) -> dict[str, Any]:
    return {"label": "Jump", "segment": [start, end]}


def results(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"results": content}))
    return path


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"database": {}}', "annotations"),
        ('{"version": 1, "results": {}}', "detections"),
        ('{"a": 1}', None),
        ('["database"]', None),
    ],
)
def test_a_file_is_known_by_its_keys(text: str, kind: str | None, tmp_path: Path) -> None:
    (tmp_path / "f").write_text(text)
    assert json_kind(tmp_path / "f") == kind


def test_predictions_come_back_as_they_were_written(tmp_path: Path) -> None:
    found = {
        "b": [Detection("Jump", 0.25, 1.5, 0.9), Detection("Kick", 1.0, 1.0, -2.0)],
        "a": [],
        "vidéo 3": [Detection("Präzision", 0.1 + 0.2, 1e3, 0.5)],
    }
    path = tmp_path / "p.json"
    path.write_text(predictions_json(found), encoding="utf-8")
    back = load_predictions(path)
    assert back == found
    assert list(back) == list(found)


def test_predictions_are_in_the_submission_format() -> None:
    content = json.loads(predictions_json({"a": [Detection("Jump", 0.0, 1.0, 0.5)]}))
    assert content["results"] == {"a": [{"label": "Jump", "segment": [0.0, 1.0], "score": 0.5}]}
    assert set(content) == {"version", "results", "external_data"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"v1": [action(0, 1)]}, "v1: entry 0: 'score' must be a finite number, is None"),
        ({"v1": [{**action(0, 1), "score": float("nan")}]}, "'score' must be a finite number"),
        ({"v1": [{**action(2, 1), "score": 1}]}, "before it starts"),
        ({"v1": {"label": "A"}}, "a list of labelled segments"),
        ([], "'results' must be a dict"),
    ],
)
def test_every_mistake_in_predictions_names_its_place(
    tmp_path: Path, content: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load_predictions(results(tmp_path, content))


def test_actionness_is_optional_and_comes_back_as_it_was_written(tmp_path: Path) -> None:
    curve = ActionnessCurve(0.1, 0.2, (0.5, 1e-05))
    path = tmp_path / "p.json"
    path.write_text(predictions_json({"a": []}, {"a": curve}))
    assert load_actionness(path) == {"a": curve}
    for content in ("null", "{}"):
        path.write_text(f'{{"results": {{}}, "actionness": {content}}}')
        assert load_actionness(path) == {}
    path.write_text(predictions_json({"a": []}))
    assert load_actionness(path) == {}


@pytest.mark.parametrize("on", [True, False])
def test_reading_detections_leaves_the_garbage_collector_as_it_was(
    tmp_path: Path, on: bool
) -> None:
    (tmp_path / "good.json").write_text('{"results": {}}')
    (tmp_path / "bad.json").write_text("{")
    before = gc.isenabled()
    (gc.enable if on else gc.disable)()
    try:
        load_predictions(tmp_path / "good.json")
        assert gc.isenabled() == on
        with pytest.raises(InputError):
            load_predictions(tmp_path / "bad.json")
        assert gc.isenabled() == on
    finally:
        (gc.enable if before else gc.disable)()
