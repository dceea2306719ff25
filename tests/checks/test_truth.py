"""Every fault of annotations is planted by itself in clean data: it is named, and no other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tsatal.checks.findings import ERROR
from tsatal.checks.truth import check_instances, check_subsets, read_leniently
from tsatal.formats.annotations import parse_annotations
from tsatal.formats.subsets import Subsets

from .planted import (
    action,
    clean,
    kinds,
    of_annotations,
    of_features,
    rows_of,
    the,
)


def test_clean_annotations_have_no_finding_at_all() -> None:
    assert of_annotations(clean()) == []


def test_a_clean_feature_file_has_no_finding_at_all(tmp_path: Path) -> None:
    assert of_features(tmp_path, rows_of("abcd").values()) == []


def test_usual_subset_names_are_clean() -> None:
    thumos = {"training": "validation", "validation": "test"}
    three = {**clean(), "e": {**clean()["a"], "subset": "testing"}}
    renamed = {k: {**v, "subset": thumos[v["subset"]]} for k, v in clean().items()}
    assert of_annotations(renamed) == [] and of_annotations(three) == []


def test_a_group_on_both_sides_is_named() -> None:
    database = clean()
    sides = [v["subset"] for v in database.values()]
    assert {"training", "validation"} == set(sides)
    for video in database.values():
        video["group"] = video["subset"]
    assert of_annotations(database) == []
    for video in database.values():
        video["group"] = "ann"
    (found,) = of_annotations(database)
    assert found.kind.name == "divided-group"
    assert found.cases[0].says == "'ann': in 'training', 'validation'"
    # A head of all videos has no other side.
    truth = parse_annotations(json.dumps({"database": database}), source="a.json")
    alone = [replace(v, subset="training") for v in truth.videos.values()]
    assert not list(check_subsets(alone, Subsets("training", "", "training")))


@pytest.mark.parametrize(
    ("kind", "entry", "says"),
    [
        ("beyond-end", action(21, 23), "Jump 21-23 s ends 3 s after the end of the video at 20 s"),
        ("past-end", action(18, 21.5), "Jump 18-21.5 s ends 1.5 s after"),
        ("before-start", action(-0.5, 2), "Jump -0.5-2 s starts 0.5 s before"),
        ("no-length", action(7, 7), "Jump 7-7 s has no length"),
        ("duplicate", action(2, 5), "Jump 2-5 s, 2 times"),
        ("label-spelling", action(7, 8, "jump "), "'Jump' (8), 'jump ' (1)"),
        ("label-spelling", action(7, 8, "ambiguous"), "'Ambiguous' (never a class), 'ambi"),
        ("lone-label", action(7, 8, "Dive"), "'Dive': 1 in 'training' only"),
        ("refused", action(8, 7), "entry 3: the segment ends (7.0 s) before it starts (8.0 s)"),
        ("refused", {"segment": [1, 2]}, "entry 3: has no 'label'"),
        ("refused", {"label": "Jump", "segment": [1]}, "entry 3: 'segment' must be"),
        ("refused", action(1, float("nan")), "entry 3: 'end' must be a finite number"),
        ("refused", "Jump", "entry 3: has no 'label'"),
    ],
)  # fmt: skip
def test_a_fault_of_an_instance_is_named(kind: str, entry: Any, says: str) -> None:
    database = clean()
    database["b"]["annotations"].append(entry)
    found = of_annotations(database)
    if kind == "label-spelling":  # the odd label is in one subset too
        assert kinds(found) == ["label-spelling", "lone-label"]
    else:
        assert kinds(found) == [kind]
    [case] = the(found, kind).cases
    assert says in case.says
    assert case.video_id == ("" if "label" in kind else "b")


def test_all_refused_entries_are_named_at_once_and_the_rest_is_checked() -> None:
    database = clean()
    database["a"]["annotations"] += [action(9, 8), action(30, 31), action(5, 4)]
    database["c"].update(duration="long", annotations=[action(6, 5), action(1, 1)])
    del database["d"]["subset"]
    database["e"] = {"subset": "training", "annotations": {"label": "Jump"}}
    database["f"] = []  # type: ignore[assignment]
    found = of_annotations(database)
    refused = [str(case) for case in the(found, "refused").cases]
    assert [r.partition(" ")[0] + r.split(": ")[1][:7] for r in refused] == [
        "a:entry 3", "a:entry 5", "c:'durati", "c:entry 0", "d:has no ", "e:a list ", "f:has no ",
    ]  # fmt: skip
    assert [c.video_id for c in the(found, "beyond-end").cases] == ["a"]
    assert [c.video_id for c in the(found, "no-length").cases] == ["c"]


def test_a_video_that_stands_twice_is_named() -> None:
    text = json.dumps({"database": clean()})
    twice = text.replace('"b": {', '"a": {')
    _, [case] = read_leniently(twice, source="a.json")
    assert (case.kind, case.says) == ("repeated-key", "'a'")


@pytest.mark.parametrize("past", [0.1, 0.004])
def test_a_rounded_end_is_no_finding(past: float) -> None:
    database = clean()
    database["a"]["annotations"].append(action(15, 20 + past, "Run"))
    assert of_annotations(database) == []


def test_one_percent_of_a_long_instance_is_no_finding() -> None:
    database = clean()
    database["a"].update(duration=119.65, annotations=[action(0, 120), action(3, 5, "Run")])
    assert of_annotations(database) == []


def test_near_duplicates_are_a_note() -> None:
    database = clean()
    database["a"]["annotations"] += [action(12.1, 15), action(12, 14.8, "Run"), action(12, 14)]
    found = of_annotations(database)
    assert kinds(found) == []
    [case] = the(found, "near-duplicate").cases  # (15 - 12.1) / 3 = 0.967
    assert case.says == "Jump 12-15 s and 12.1-15 s"


def test_ambiguous_is_never_a_class() -> None:
    database = clean()
    marks = [action(30, 31, "Ambiguous"), action(1, 1, "Ambiguous"), action(2, 3, "Ambiguous")]
    database["a"]["annotations"] += [*marks, marks[-1]]
    assert of_annotations(database) == []
    database["c"]["annotations"] = marks
    found = of_annotations(database)
    assert kinds(found) == [] and the(found, "no-action").cases[0].video_id == "c"


def test_labels_that_are_tested_on_but_not_trained_are_an_error() -> None:
    database = clean()
    database["c"]["annotations"].append(action(7, 8, "Dive"))
    [found] = of_annotations(database)
    assert found.kind.name == "untrained-label" and found.level == ERROR
    assert found.cases[0].says == "'Dive': 1 in 'validation', none in 'training'"


def test_durations_that_cannot_be_and_that_are_not_said() -> None:
    database = clean()
    database["a"]["duration"] = 0
    del database["b"]["duration"]
    database["b"]["annotations"].append(action(500, 600))
    found = of_annotations(database)
    assert kinds(found) == ["bad-duration"]
    assert the(found, "no-duration").cases[0].video_id == "b"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"training": "Training"}, []),
        ({"validation": "test "}, ["subset-spelling", "subset-roles"]),
        ({"validation": "vaildation"}, ["subset-spelling", "subset-roles"]),
        ({"training": "fold1", "validation": "fold2"}, ["subset-roles"]),
        ({"training": "validation"}, ["one-subset"]),
        ({"validation": "training"}, ["one-subset"]),
    ],
)
def test_subsets_without_a_role_are_named(names: dict[str, str], expected: list[str]) -> None:
    database = {k: {**v, "subset": names.get(v["subset"], v["subset"])} for k, v in clean().items()}
    assert kinds(of_annotations(database)) == expected


def test_a_second_spelling_of_a_subset_is_named_beside_the_first() -> None:
    database = {**clean(), "e": {**clean()["a"], "subset": "Training"}}
    found = the(of_annotations(database), "subset-spelling")
    assert found.cases[0].says == "'Training': is 'training' meant? (1 video)"


def test_subsets_named_by_the_user_have_their_roles() -> None:
    names = {"training": "fold1", "validation": "fold2"}
    database = {k: {**v, "subset": names[v["subset"]]} for k, v in clean().items()}
    assert of_annotations(database, Subsets("fold1", "", "fold2")) == []
    database["e"] = {**database["a"], "subset": "fold3"}
    found = of_annotations(database, Subsets("fold1", "", "fold2"))
    assert kinds(found, above_notes=False) == ["unused-subset"]


def test_videos_without_actions_are_a_note() -> None:
    database = {**clean(), "e": {"subset": "testing", "duration": 5}}
    assert kinds(of_annotations(database), above_notes=False) == ["no-action"]


@pytest.mark.parametrize(
    ("looked", "named"),
    [
        ({"annotated": [[0, 6]]}, False),
        ({"annotated": [[0, 4]]}, False),  # a third of it lies outside
        ({"annotated": [[0, 3]]}, True),
        ({"annotated": []}, True),
        ({"ignore": [[3, 10]]}, True),
        ({"ignore": [[7, 10]]}, False),
    ],
)
def test_an_action_where_nobody_looked_is_named(looked: dict[str, Any], named: bool) -> None:
    entry = {"subset": "training", "duration": 20, "annotations": [action(2, 5)], **looked}
    truth = parse_annotations(json.dumps({"database": {"v": entry}}), source="a.json")
    found = list(check_instances(truth.videos.values(), durations={}))
    assert [(c.kind, str(c)) for c in found] == [("ignored-action", "v: Jump 2-5 s")] * named


@pytest.mark.parametrize(
    ("stretches", "at"),
    [
        ({"ignore": [[0, 3]]}, None),
        ({"ignore": [[900, 1000]]}, 900),
        ({"annotated": [[0, 10.05]]}, None),
        ({"annotated": [[0, 300]]}, 300),
    ],
)
def test_stretches_in_frames_are_told(stretches: dict[str, Any], at: float | None) -> None:
    database = {"v": {"subset": "training", "duration": 10.0, "annotations": [], **stretches}}
    truth = parse_annotations(json.dumps({"database": database}), source="a.json")
    found = list(check_instances(truth.videos.values(), durations={}))
    says = f"v: one begins or ends at {at} s, the video ends at 10 s"
    assert [str(c) for c in found if c.kind == "stretch-beyond-end"] == ([says] if at else [])
