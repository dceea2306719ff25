"""`tsatal convert`: what was read, what was written, and what was lost, in a few lines."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tsatal.cli import main
from tsatal.errors import InputError
from tsatal.exchange.convert import convert_labels
from tsatal.formats.annotations import ActionnessCurve, Detection
from tsatal.formats.labels.find import HowToRead, load_annotations, read_labels
from tsatal.formats.predictions import load_predictions, predictions_json

from ..reports.test_clips import write_video

TABLE = "video,label,start,end,subset\n" + "".join(
    f"v{n},{label},{n},{n + 0.5},\n" for n in range(4) for label in ("run", "jump")
)
FOUND = {"v": [Detection("a", 0, 1, 0.9), Detection("b", 2, 3, 0.1)], "w": []}


def said(*arguments: object) -> str:
    result = CliRunner().invoke(main, ["convert", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "a.csv").write_text(TABLE)
    return tmp_path / "a.csv"


def test_the_account_of_a_conversion(table: Path, tmp_path: Path) -> None:
    out = said(table, tmp_path / "eaf", "--to", "elan")
    assert out.splitlines() == [
        "read: table of labels, 8 rows",
        f"wrote ELAN, 4 videos with 8 labels: {tmp_path / 'eaf' / 'v0.eaf'} and 3 more",
        "ELAN cannot hold: times finer than milliseconds",
    ]
    assert load_annotations(tmp_path / "eaf").videos.keys() == {"v0", "v1", "v2", "v3"}


def test_a_split_goes_into_every_form_that_has_subsets(table: Path, tmp_path: Path) -> None:
    said(table, tmp_path / "a.json", "--split", 0.5)
    assert load_annotations(tmp_path / "a.json").subset_counts() == {"training": 2, "validation": 2}
    said(table, tmp_path / "b.csv", "--split", 0.5)
    assert load_annotations(tmp_path / "b.csv").subset_counts() == {"training": 2, "validation": 2}
    # Other keys of the JSON stay.
    database: dict[str, Any] = {k: {"url": "u", "annotations": []} for k in "ab"}
    raw = {"database": database, "version": "x"}
    (tmp_path / "c.json").write_text(json.dumps(raw))
    assert "cannot hold" not in said(tmp_path / "c.json", tmp_path / "d.json", "--split", 0.5)
    written = json.loads((tmp_path / "d.json").read_text())
    assert written["version"] == "x" and written["database"]["a"]["url"] == "u"
    database["a"]["annotations"] = [{"label": "x", "segment": [0, 1], "note": "n"}]
    (tmp_path / "c.json").write_text(json.dumps(raw))
    assert said(tmp_path / "c.json", tmp_path / "e.csv").endswith(
        "CSV cannot hold: other keys of the file (version), other keys of its videos (url), "
        "other keys of its actions (note)\n"
    )


def test_detections_keep_scores_and_curves_or_become_labels(tmp_path: Path) -> None:
    source = tmp_path / "p.json"
    source.write_text(predictions_json(FOUND, {"v": ActionnessCurve(0, 1, (0.5,))}))
    out = said(source, tmp_path / "q.json", "--min-score", 0.5)
    assert "2 videos with 1 detection:" in out and "left out: 1 detection below --min-score" in out
    assert load_predictions(tmp_path / "q.json") == {"v": FOUND["v"][:1], "w": []}
    assert json.loads((tmp_path / "q.json").read_text())["actionness"]["v"]["values"] == [0.5]
    said(source, tmp_path / "p.csv")
    assert read_labels(tmp_path / "p.csv").videos["v"].actions == tuple(FOUND["v"])
    said(source, tmp_path / "labels.json", "--labels")
    assert len(load_annotations(tmp_path / "labels.json").videos["v"].instances) == 2
    assert "scores of 2 detections" in said(source, tmp_path / "p.boris")


def test_what_a_run_says_of_its_classes_is_kept_or_named(tmp_path: Path) -> None:
    source = tmp_path / "p.json"
    source.write_text(predictions_json(FOUND, {}, ("b", "a"), {"a": 0.5}))
    said(source, tmp_path / "q.json")
    assert json.loads((tmp_path / "q.json").read_text()) == json.loads(source.read_text())
    assert "thresholds of classes" in said(source, tmp_path / "q.csv")


def test_what_was_not_annotated_is_kept_or_named(tmp_path: Path) -> None:
    entry = {"annotations": [], "annotated": [[1, 5]], "ignore": [[2, 2.5]]}
    (tmp_path / "a.json").write_text(json.dumps({"database": {"v": entry, "w": {}}}))
    first = load_annotations(tmp_path / "a.json").videos
    assert "cannot hold" not in said(tmp_path / "a.json", tmp_path / "b.csv")
    assert "v,,5,,yes" in (tmp_path / "b.csv").read_text()
    said(tmp_path / "b.csv", tmp_path / "c.json")
    for name in ("b.csv", "c.json"):
        assert load_annotations(tmp_path / name).videos == first
    assert said(tmp_path / "a.json", tmp_path / "b.boris").splitlines()[-1] == (
        "BORIS cannot hold: 3 stretches that count neither way (ignored, or not annotated)"
    )


def test_frames_follow_the_clock_of_the_video(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", sound=False)  # 25 pictures per second
    (tmp_path / "a.csv").write_text("video,label,start,end\nv,run,0.4,1.2\n")
    ls = tmp_path / "ls.json"
    said(tmp_path / "a.csv", ls, "--to", "label-studio", "--videos", tmp_path / "v.mp4")
    region = json.loads(ls.read_text())[0]["annotations"][0]["result"][0]
    assert region["value"]["ranges"] == [{"start": 11, "end": 30}]
    said(ls, tmp_path / "b.csv", "--videos", tmp_path / "v.mp4")
    assert "v,run,0.4,1.2" in (tmp_path / "b.csv").read_text()
    # What the user says of the rate counts more.
    said(ls, tmp_path / "c.csv", "--videos", tmp_path / "v.mp4", "--label-fps", 10)
    assert "v,run,1,3" in (tmp_path / "c.csv").read_text()


def test_mistakes(table: Path, tmp_path: Path) -> None:
    how = HowToRead()
    with pytest.raises(InputError, match="is what would be converted"):
        convert_labels(table, table, None, how)
    with pytest.raises(InputError, match="its ending does not say a form"):
        convert_labels(table, tmp_path / "x.mp4", None, how)
    (tmp_path / "p.json").write_text(predictions_json(FOUND))
    with pytest.raises(InputError, match="--split divides annotations, and these are detections"):
        convert_labels(tmp_path / "p.json", tmp_path / "x.csv", None, HowToRead(split=0.5))
    (tmp_path / "none.json").write_text('{"database": {}}')
    with pytest.raises(InputError, match="holds no videos to write"):
        convert_labels(tmp_path / "none.json", tmp_path / "x.csv", None, how)
    assert not (tmp_path / "x.csv").exists()
