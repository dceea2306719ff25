"""Files and folders as they lie on disks: forms by content, encodings, and hostile ones."""

import json
import logging
import os
import zipfile
from pathlib import Path

import pytest

from tsatal.errors import InputError
from tsatal.extract.sources import VIDEO_EXTENSIONS
from tsatal.formats import limits
from tsatal.formats.annotations import Detection
from tsatal.formats.bundle import MANIFEST
from tsatal.formats.labels import record, tables
from tsatal.formats.labels.find import HowToRead, load_annotations, read_labels
from tsatal.formats.labels.record import MEDIA_ENDINGS, FrameClock, Labels, id_of_media
from tsatal.formats.labels.write import FORMS, write_labels
from tsatal.formats.predictions import predictions_json

from .sample import at_random, content, spans

TABLE = "video,label,start,end\nv,Präzision,1.5,2\n"


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_found_whatever_the_file_is_called(name: str, tmp_path: Path) -> None:
    video_id = "v1"
    made = at_random(0, step=0.001).videos[video_id]
    form, clock = FORMS[name], FrameClock(1000)
    to = tmp_path / f"{video_id}{form.ending}"
    write_labels(Labels("made up", {video_id: made}), to, form, clock)
    other = to.rename(tmp_path / f"{video_id}.bak")
    found = read_labels(other, HowToRead(clock))
    assert found.problems == ()
    assert len(found.videos[video_id].actions) == len(made.actions)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
def test_encodings(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(TABLE.encode(encoding))
    assert spans(read_labels(tmp_path / "a.csv"), "v") == [("Präzision", 1.5, 2)]


def test_a_guessed_encoding_is_told_and_json_has_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(TABLE.encode("cp1252"))
    assert read_labels(tmp_path / "a.csv").remarks[0] == "not in UTF-8; read as Windows-1252"
    (tmp_path / "a.json").write_bytes('{"database": {"ü": {}}}'.encode("cp1252"))
    with pytest.raises(InputError, match="not a text file in UTF-8, as JSON has to be"):
        read_labels(tmp_path / "a.json")


def test_annotations_are_ground_truth_and_their_form_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.csv").write_text(TABLE, encoding="utf-8")
    with caplog.at_level(logging.INFO):
        truth = load_annotations(tmp_path / "a.csv")
    assert caplog.messages == [f"{tmp_path / 'a.csv'}: table of labels, 1 row"]
    assert truth.form == "table of labels, 1 row"
    assert truth.without_subsets
    entry = json.loads(truth.text)["database"]["v"]["annotations"][0]
    assert entry == {"label": "Präzision", "segment": [1.5, 2.0]}


def test_the_first_problem_is_named_and_the_others_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("video,label,start,end\nv,a,2,1\nv,b,2,1\nv,c,2,1\n")
    with pytest.raises(InputError, match=r"a.csv: v: line 2: ends .* \(and 2 more like it;"):
        load_annotations(tmp_path / "a.csv")


def test_detections_are_no_annotations(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(predictions_json({"v": [Detection("a", 0, 1, 0.5)]}))
    with pytest.raises(InputError, match="has no 'database', but detections"):
        load_annotations(tmp_path / "p.json")
    assert read_labels(tmp_path / "p.json").scored


def test_a_folder_has_a_file_for_every_video(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.txt").write_text("1.0\t2.0\trun\n")
    (tmp_path / "deep" / "b.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nrun\n")
    (tmp_path / "c.csv").write_text("labelId,timestamp,endTimestamp\nrun,1,2\n")
    (tmp_path / "none.txt").write_text("\n")
    (tmp_path / "a.mp4").write_bytes(b"\0")
    (tmp_path / ".hidden.csv").write_text("nothing")
    (tmp_path / "README.txt").write_text("how this was made")
    found = read_labels(tmp_path)
    assert {k: len(v.actions) for k, v in found.videos.items()} == {
        "a": 1, "b": 1, "c": 1, "none": 0,
    }  # fmt: skip
    assert found.words.startswith("folder of labels, 1 of")
    assert found.remarks == ("no labels, and left out: 1 file (README.txt)",)


def test_one_video_in_two_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1.0\t2.0\trun\n")
    (tmp_path / "a.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nrun\n")
    with pytest.raises(InputError, match=r"'a' is in a\.srt and in a\.txt; keep one of them"):
        read_labels(tmp_path)


def test_a_table_that_is_none_stops_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("start,end\n1,2\n")
    with pytest.raises(InputError, match=r"a\.csv: a table with .* start, end; .*BORIS"):
        read_labels(tmp_path)


@pytest.mark.parametrize(
    ("content_", "says"),
    [
        (b"", "empty; a file of labels is needed"),
        (b"\x89PNG\r\n\x1a\n\x81\x8d\x8f", "not a text file"),
        (b"abc\0def, 1, 2, 3", "holds NUL characters"),
        (b"PK\3\4\x14\0\6\0", "an Excel workbook, or another archive; save the sheet as CSV"),
        (b"clip,verb,begin\nv,run,1\n", "the columns clip, verb, begin; label, start and end"),
        (b"[1, 2]", "has no 'database' of annotations, nor"),
        (b"{}", "has no 'database' of annotations, nor"),
        (b"[]", "has no 'database' of annotations, nor"),
        (b'{"database"', "not JSON"),
        (b"[" * 100_000, "JSON that cannot be read"),
        (b'{"observations": 5, "behaviors_conf": {}}', "'observations' must be a dict"),
        (b'{"metadata": 1, "attribute": {}, "file": {}, "view": {}}', "must be a dict of dicts"),
        (
            b'video,label,start,end\nv,"run,1,2\n' + b"x" * 200_000,
            "line 3: field larger than field limit",
        ),
        (
            b"video,label,start,end\n" + b"v,run,1,2\n" * 600,
            "more than 500 lines of a table; split the file",
        ),
        (b"1.0\t2.0\trun\n" * 600, "more than 500 labels; split the file"),
    ],
)
def test_hostile_files_give_one_line(
    content_: bytes, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_ROWS", 500)
    monkeypatch.setattr(record, "MAX_ACTIONS", 500)
    path = tmp_path / "a.csv"
    path.write_bytes(content_)
    with pytest.raises(InputError, match=says) as error:
        load_annotations(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_sizes_are_bounded_before_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_allowed", 10)
    (tmp_path / "a.csv").write_text(TABLE, encoding="utf-8")
    with pytest.raises(InputError, match="a.csv: read as a whole it would take"):
        read_labels(tmp_path / "a.csv")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match="a pipe, where a file or folder of labels is needed"):
        read_labels(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match="no such file"):
        read_labels(tmp_path / "absent")
    with pytest.raises(InputError, match="a folder that holds no labels"):
        read_labels(tmp_path)


def test_names_of_media_become_ids() -> None:
    assert VIDEO_EXTENSIONS <= MEDIA_ENDINGS
    for name in ("v.mp4", "a/b/v.MKV", "C:\\x\\v.avi", "v", " v.wav "):
        assert id_of_media(name) == "v"
    assert id_of_media("https://x.org/films/my%20v.mp4?t=1#2") == "my v"
    assert id_of_media("a.b") == "a.b" and id_of_media(".mp4") == ".mp4"


def test_scores_of_a_table_make_detections(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("video,label,start,end,score\nv,a,1,2,0.5\n")
    assert content(read_labels(tmp_path / "d.csv"))["v"][0] == [Detection("a", 1, 2, 0.5)]


def test_a_packed_model_is_told_from_a_workbook(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.tsatal", "w") as archive:
        archive.writestr(MANIFEST, "{}")
    with pytest.raises(InputError, match=r"a packed model of tsatal; `tsatal info` says"):
        read_labels(tmp_path / "m.tsatal")
