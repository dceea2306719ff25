"""Annotation files: what is accepted, and what each mistake is called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tsatal.errors import InputError
from tsatal.formats.annotations import (
    AnnotatedVideo,
    Annotations,
    Instance,
    annotations_json,
    class_labels,
    parse_annotations,
    read_annotations,
)
from tsatal.formats.json_values import Problem
from tsatal.formats.labels.find import load_annotations

from ..conftest import SHARED


def parsed(database: Any) -> Annotations:
    return parse_annotations(json.dumps({"database": database}), source="a.json")


def video(*annotations: Any, **more: Any) -> dict[str, Any]:
    return {"subset": "training", "duration": 10, "annotations": list(annotations), **more}


def action(start: Any, end: Any, label: Any = "Jump") -> dict[str, Any]:
    return {"label": label, "segment": [start, end]}


def test_videos_keep_the_order_and_the_words_of_the_file() -> None:
    there = parsed({"b": video(action(1, 2.5), action(0, 1, "Kick")), "a": video(subset="val")})
    assert list(there.videos) == ["b", "a"]
    assert there.videos["b"].instances == (Instance("Jump", 1.0, 2.5), Instance("Kick", 0.0, 1.0))
    assert there.videos["a"].subset == "val"
    assert json.loads(there.text)["database"]["a"]["subset"] == "val"


def test_duration_and_annotations_may_be_absent() -> None:
    there = parsed({"a": {"subset": "test"}, "b": {"subset": "test", "annotations": None}})
    assert there.videos["a"].duration_sec is None
    assert there.videos["b"].instances == ()


def test_subsets_may_be_absent_from_all_videos() -> None:
    there = parsed({"a": {"annotations": [action(0, 1)]}, "b": {"subset": None}})
    assert there.without_subsets and there.subset_counts() == {"": 2}
    with pytest.raises(InputError, match=r"'test'; there are: no subset \(2 videos\)"):
        there.subset("test")
    with pytest.raises(InputError, match="b: has no 'subset'"):
        parsed({"a": video(), "b": {}})


def test_segments_of_no_length_and_past_the_end_are_kept() -> None:
    instances = parsed({"a": video(action(3, 3), action(8, 99))}).videos["a"].instances
    assert [(i.start_sec, i.end_sec) for i in instances] == [(3, 3), (8, 99)]


def test_subset_is_narrowed_in_order_and_counted() -> None:
    there = parsed({"a": video(), "b": video(subset="test"), "c": video()})
    assert list(there.subset("training")) == ["a", "c"]
    assert there.subset_counts() == {"training": 2, "test": 1}


def test_a_subset_that_matches_nothing_lists_those_there_are() -> None:
    with pytest.raises(InputError, match=r"'Validation'; there are: training \(1 video\)"):
        parsed({"a": video()}).subset("Validation")
    with pytest.raises(InputError, match="there are: none"):
        parsed({}).subset("training")


def test_ambiguous_is_no_class() -> None:
    there = parsed({"a": video(action(0, 1, "Ambiguous"), action(0, 1, "B"), action(1, 2, "A"))})
    assert class_labels(there.videos.values()) == ["A", "B"]


@pytest.mark.parametrize(
    ("database", "message"),
    [
        (
            {"v1": video(action(2, 1))},
            r"v1: entry 0: .* ends \(1.0 s\) before .* \(2.0 s\)",
        ),
        ({"v1": video(action(0, 1), action(0, "1"))}, "v1: entry 1: 'end' must be a finite number"),
        ({"v1": video(action(float("nan"), 1))}, "'start' must be a finite number, is nan"),
        ({"v1": video(action(0, float("inf")))}, "'end' must be a finite number, is inf"),
        ({"v1": video(action(True, 2))}, "'start' must be a finite number, is True"),
        ({"v1": video(action(0, 10**400))}, "'end' must be a finite number"),
        ({"v1": video({"label": "A", "segment": [1, 2, 3]})}, r"must be \[start, end\]"),
        ({"v1": video({"label": "A", "segment": "1-2"})}, "'segment' must be a list"),
        ({"v1": video({"segment": [1, 2]})}, "entry 0: has no 'label'"),
        ({"v1": video(action(0, 1, label=7))}, "'label' must be a str"),
        ({"v1": video(action(0, 1, label=" "))}, "v1: entry 0: the label is empty"),
        ({"v1": video("jump")}, "has no 'label'"),
        ({"v1": video(duration="ten")}, "v1: 'duration' must be a finite number"),
        ({"v1": video(subset=7)}, "v1: 'subset' must be a str, is 7"),
        ({"v1": []}, "v1: has no 'subset'"),
        ({"v1": {"subset": "test", "annotations": "none"}}, "a list of labelled segments"),
        (["v1"], "'database' must be a dict"),
    ],
)
def test_every_mistake_names_its_place(database: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parsed(database)


def test_what_cannot_be_read_is_listed_and_the_rest_is_kept() -> None:
    database: dict[str, Any] = {
        "a": video(action(0, 1), action(2, 1), action(3, float("nan")), action(4, 5)),
        "b": {"duration": "ten", "annotations": [action(0, 1)]},
        "c": video(action(0, 1), duration=float("inf")),
        "d": [],
        "\ud800": video(action(0, 1)),
    }
    there, problems = read_annotations(json.dumps({"database": database}), source="a.json")
    assert [(i.start_sec, i.end_sec) for i in there.videos["a"].instances] == [(0, 1), (4, 5)]
    assert [len(v.instances) for v in there.videos.values()] == [2, 1, 1, 0]
    assert [v.subset for v in there.videos.values()] == ["training", "", "training", ""]
    assert [v.duration_sec for v in there.videos.values()] == [10, None, None, None]
    assert problems == [
        Problem("", r"'\ud800' is not valid text"),
        Problem("a", "entry 1: the segment ends (1.0 s) before it starts (2.0 s)"),
        Problem("a", "entry 2: 'end' must be a finite number, is nan"),
        Problem("b", "has no 'subset'; ActivityNet-style JSON is needed (docs/feature_file.md)"),
        Problem("c", "'duration' must be a finite number, is inf"),
        Problem("d", "has no 'subset'; ActivityNet-style JSON is needed (docs/feature_file.md)"),
    ]
    with pytest.raises(InputError, match=r"a.json: '\\ud800' is not valid text"):
        parsed(database)


def test_what_is_not_json_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a.json: not JSON \(line 2"):
        parse_annotations('{"database":\n nothing}', source="a.json")
    with pytest.raises(InputError, match="has no 'database'"):
        parse_annotations("[]", source="a.json")
    with pytest.raises(InputError, match="no such file"):
        load_annotations(tmp_path / "absent.json")
    with pytest.raises(InputError, match="a folder"):
        load_annotations(tmp_path)
    (tmp_path / "v.mp4").write_bytes(b"\x00\xff\xfe")
    with pytest.raises(InputError, match="not a text file"):
        load_annotations(tmp_path / "v.mp4")


def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    text = json.dumps({"database": {"a": video()}})
    (tmp_path / "a.json").write_text(text, encoding="utf-8-sig")
    assert load_annotations(tmp_path / "a.json").text == text


@pytest.mark.parametrize(
    ("name", "subset", "videos", "instances", "classes"),
    [
        ("thumos14", "validation", 200, 3096, 20),
        ("thumos14", "test", 212, 3454, 20),
        ("activitynet-1.2", "validation", 2198, 3281, 100),
        ("activitynet-1.2", "testing", 2268, 0, 0),
    ],
)
def test_real_annotations_load(
    name: str, subset: str, videos: int, instances: int, classes: int
) -> None:
    path = SHARED / "annotations" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"real annotations are not at hand: {path.name}")
    chosen = load_annotations(path).subset(subset)
    assert len(chosen) == videos
    assert sum(len(v.instances) for v in chosen.values()) == instances
    assert len(class_labels(chosen.values())) == classes


@pytest.mark.parametrize(
    "text, message",
    [
        ("[" * 99_999, "cannot be read"),
        ('{"database": ' + "9" * 5000 + "}", "cannot be read"),
        ('{"database": {"\\ud800": {"subset": "t"}}}', "is not valid text"),
        ('{"database": {"v": {"subset": "\\udfff"}}}', "is not valid text"),
        ('{"database": {"v": {"subset": "a\\u0000"}}}', "is not valid text"),
        ('{"database": [' + "[[],[]]," * 9999 + "1]}", "must be a dict, is"),
    ],
)
def test_json_that_would_break_what_reads_it_is_one_short_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        parse_annotations(text, source="a.json")
    assert len(str(error.value)) < 200


def test_annotations_are_written_as_they_are_read() -> None:
    videos = [
        AnnotatedVideo("v", "training", 10.0, (Instance("a", 0.5, 2.25), Instance("b", 1.0, 1.0))),
        AnnotatedVideo("w", "test", None, ()),
    ]
    read = parse_annotations(annotations_json(videos), source="written")
    assert list(read.videos.values()) == videos


def test_stretches_that_count_neither_way() -> None:
    entry = {"subset": "training", "annotations": []}
    raw = {"database": {
        "a": {**entry, "annotated": [[30, 40], [10, 20], [15, 25]], "ignore": [[12, 13]]},
        "b": {**entry, "annotated": []},
        "c": {**entry, "annotated": [[0, 5]]},
        "d": entry,
    }}  # fmt: skip
    read = parse_annotations(json.dumps(raw), source="x.json").videos
    assert read["a"].ignored == ((0, 10), (12, 13), (25, 30), (40, 1e9))
    assert read["b"].ignored == ((0, 1e9),) and read["c"].ignored == ((5, 1e9),)
    assert read["d"].ignored == ()
    again = parse_annotations(annotations_json(read.values()), source="x.json").videos
    assert again == read


@pytest.mark.parametrize(
    "wrong", [[[2, 1]], [[1]], [["a", "b"]], "all", [[0, float("inf")]], [0, 30], {}, False]
)
@pytest.mark.parametrize("key", ["annotated", "ignore"])
def test_broken_stretches_are_named(key: str, wrong: Any) -> None:
    raw = {"database": {"a": {"subset": "training", "annotations": [], key: wrong}}}
    with pytest.raises(InputError, match=f"^x.json: a: (entry 0 of )?'{key}'"):
        parse_annotations(json.dumps(raw), source="x.json")
