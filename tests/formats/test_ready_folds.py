"""Folds that somebody has dealt already, in the forms in which programs write them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tsatal.errors import InputError
from tsatal.formats.ready_folds import ReadyFold, check_ids, folds_of, read_folds

from ..conftest import SHARED

A, B, C = ["a1", "a2"], ["b1"], ["c1", "c2"]


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        ([A, B, C], ["0", "1", "2"]),
        ({"anna": A, "bert": B, "carl": C}, ["anna", "bert", "carl"]),
        ({"folds": [A, B, C], "seed": 3}, ["0", "1", "2"]),
        ({"folds": {"x": A, "y": B, "z": C}}, ["x", "y", "z"]),
        ({"test": [A, B, C]}, ["0", "1", "2"]),
        ([{"test": A}, {"name": "two", "test": B}, {"held_out": C}], ["0", "two", "2"]),
        ({"f1": {"val": A}, "f2": {"validation": B}, "f3": {"testing": C}}, ["f1", "f2", "f3"]),
        ({"c1": 10, "a1": 2, "b1": 3, "a2": 2, "c2": 10}, ["2", "3", "10"]),
        ({"a1": "x", "b1": "y", "a2": "x", "c1": "z", "c2": "z"}, ["x", "y", "z"]),
        (((v for v in A), tuple(B), C), ["0", "1", "2"]),
    ],
)
def test_the_forms_of_other_programs_say_the_same(raw: Any, names: list[str]) -> None:
    folds = folds_of(raw, source="f.json")
    assert [f.name for f in folds] == names
    assert [sorted(f.held_out) for f in folds] == [A, B, C]
    assert all(f.train is None for f in folds)


def test_videos_that_are_trained_on_are_those_not_tested() -> None:
    """Validation videos beside tested ones are learned from."""
    raw = {"0": {"train": B, "val": C, "test": A}, "1": {"train": A, "val": C, "test": B}}
    first, _ = folds_of(raw, source="f.json")
    assert first == ReadyFold("0", tuple(A), (*B, *C))
    zipped = folds_of({"train": [B, A], "test": [A, B]}, source="f.json")
    assert [f.train for f in zipped] == [tuple(B), tuple(A)]


def test_whole_numbers_are_ids_and_spelling_is_composed() -> None:
    folds = folds_of([[1, 2], ["cafe\u0301"]], source="f.json")
    assert [f.held_out for f in folds] == [("1", "2"), ("caf\u00e9",)]


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"train": A, "test": B}, "f.json: 'test' names one division, and folds are several"),
        ([A], "f.json: at least two folds are needed, and there is 1"),
        ([A, []], "f.json: fold '1' holds out no video; take it out"),
        ([A, "b1"], "f.json: fold '1': a list of video ids is needed, not 'b1'"),
        ([A, [1.5]], "f.json: fold '1': a video id must be text, is 1.5"),
        ([A, [True]], "f.json: fold '1': a video id must be text, is True"),
        ([{"train": A}, {"train": B}], "f.json: fold '0' has no 'test'"),
        (7, "f.json: a list of lists of video ids, or an object that names such lists"),
        ([A, ["a1"]], "f.json: 'a1' is held out 2 times, by fold '0' and fold '1'"),
        ([A, ["b1", "b1"]], "f.json: 'b1' is held out 2 times, by fold '1'; a video"),
        ({}, "f.json: at least two folds are needed, and there is 0"),
    ],
)
def test_what_is_no_folds_is_told_in_a_line(raw: Any, says: str) -> None:
    with pytest.raises(InputError) as told:
        folds_of(raw, source="f.json")
    assert says in str(told.value)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ([["a1"], ["bl"]], "fold '1' names 1 of 1 videos that are not both annotated and among"),
        (
            [{"train": ["a1", "b1"], "test": ["a1"]}, ["b1"]],
            "fold '0' trains on what it holds out: a1",
        ),
        (
            [{"train": ["b1"], "test": ["a1"]}, ["b1"]],
            "fold '0' neither trains on nor holds out 1 video (c1)",
        ),
    ],
)
def test_ids_that_do_not_fit_are_told_in_a_line(raw: Any, says: str) -> None:
    with pytest.raises(InputError) as told:
        known = ["a1", "b1", "c1"]
        check_ids(folds_of(raw, source="f.json"), known, known, source="f.json")
    assert says in str(told.value)


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text(json.dumps([A, B]))
    assert [f.held_out for f in read_folds(tmp_path / "f.json")] == [tuple(A), tuple(B)]
    (tmp_path / "g.json").write_text("[[")
    with pytest.raises(InputError, match=r"g\.json: not JSON"):
        read_folds(tmp_path / "g.json")
    (tmp_path / "h.json").write_text('{"anna": ["a1"], "bert": ["b1"], "anna": ["c1"]}')
    with pytest.raises(InputError, match=r"h\.json: 'anna' stands more than once .* a fold would"):
        read_folds(tmp_path / "h.json")


@pytest.mark.skipif(not (SHARED / "sbhar" / "folds.json").is_file(), reason="no data")
def test_a_real_file_is_read() -> None:
    folds = read_folds(SHARED / "sbhar" / "folds.json")
    assert len(folds) == 5 and all(f.held_out for f in folds)
